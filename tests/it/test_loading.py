# SPDX-License-Identifier: GPL-2.0-only
"""All ways to load the plugin, on a server with ours and one with stock's: the same states and error numbers."""
import os
import shutil
import subprocess

import pytest

from helpers import (INSTALL, OURS, Background, copying, instance, local, need_ours, only_ours, slow, start,
                     start_donor, start_recipient, wait_for)
from sandbox import Sandbox
from template import program, server_user

LOAD = '--plugin-load-add=mysql_clone.so'
UNINSTALL = 'UNINSTALL PLUGIN clone'
STATUS = ("SELECT plugin_status, load_option, plugin_library, plugin_type, plugin_type_version, plugin_license "
          "FROM information_schema.plugins WHERE plugin_name='clone'")


@pytest.fixture(autouse=True)
def built():
    """All tests need our build."""
    need_ours()


@pytest.fixture(scope='module')
def pair():
    """A server for our plugin and one for stock's, not running and without the plugin."""
    with Sandbox() as box:
        yield [box.server('ours', plugin=OURS), box.server('stock', plugin='stock')]


@pytest.fixture
def servers(pair):
    """The pair; what the test leaves running is ended."""
    yield pair
    stop_all(pair)
    for s in pair:
        s.__dict__.pop('argv', None)  # with_file()


def start_all(servers, *options):
    """Start them at the same time."""
    runs = [len(s.statuses()) for s in servers]
    for s in servers:
        s.start(*options, wait=False)
    for s, n in zip(servers, runs):
        s.wait_ready(n)


def stop_all(servers):
    """A quick end; nothing is in progress."""
    for s in servers:
        s.kill()


def refused(servers, *options):
    """All refuse to start, with exit status 1; what each logged."""
    marks = [s.log_mark() for s in servers]
    for s in servers:
        s.start(*options, wait=False)
    assert [s.wait_ended() for s in servers] == [1] * len(servers)
    return [s.log_text(m) for s, m in zip(servers, marks)]


def seen(server, *more):
    """What a client sees of the plugin: state, error numbers of statements about it and of `more`, state again."""
    statements = ('SELECT @@GLOBAL.clone_ddl_timeout', 'SELECT * FROM performance_schema.clone_status',
                  'SELECT * FROM performance_schema.clone_progress', local('relative'), *more)
    return server.sql(STATUS), [server.error(s)[0] for s in statements], server.sql(STATUS)


def same(servers, *more):
    """The same is seen on all; returns it."""
    ours, stock = (seen(s, *more) for s in servers)
    assert ours == stock
    return ours


def with_file(server, *lines):
    """Let the server read an option file with these lines in [mysqld] (the command line goes on to win)."""
    path = os.path.join(server.dir, 'my.cnf')
    with open(path, 'w', encoding='utf-8') as f:
        f.write('\n'.join(['[mysqld]', *lines, '']))
    os.chmod(path, 0o644)
    plain = type(server).argv
    server.argv = lambda extra=(): [a if a != '--no-defaults' else f'--defaults-file={path}' for a in plain(server, extra)]


def changed_plugin(box, old, new):
    """A plugin_dir with our plugin in which a string differs: to it the server is one that lacks something."""
    place = box.path('changed')
    with open(os.path.join(box.our_plugin()[0], 'mysql_clone.so'), 'rb') as f:
        data = f.read()
    assert data.count(old) >= 1 and len(old) == len(new)
    with open(os.path.join(place, 'mysql_clone.so'), 'wb') as f:
        f.write(data.replace(old, new))
    return place


def run(servers, *options):
    """Run mysqld of each to its end, at the same time and without a supervisor; [(exit status, output)]."""
    user = server_user()
    ids = {'user': user.pw_uid, 'group': user.pw_gid, 'extra_groups': []} if os.geteuid() == 0 else {}
    processes = [subprocess.Popen(s.argv(options), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd='/', **ids)
                 for s in servers]
    outputs = [p.communicate()[0].decode('utf-8', 'replace') for p in processes]
    return [(p.returncode, o) for p, o in zip(processes, outputs)]


# ---- activation states -------------------------------------------------------

KNOWN, UNKNOWN = [0, 0, 0, 1525], [1193, 1146, 1146, 1524]  # of the first statements of seen()


@pytest.mark.parametrize('state', ['', 'OFF', 'FORCE', 'FORCE_PLUS_PERMANENT'])
def test_activation_state(servers, state):
    """plugin-load-add with the values of --clone; then INSTALL and UNINSTALL on top of it."""
    start_all(servers, LOAD, *([f'--clone={state}'] if state else []))
    before, codes, after = same(servers, INSTALL, UNINSTALL, UNINSTALL, INSTALL, UNINSTALL)
    assert before == (('DISABLED' if state == 'OFF' else 'ACTIVE', state or 'ON', 'mysql_clone.so', 'CLONE', '1.0', 'GPL'),)
    if state == 'FORCE_PLUS_PERMANENT':
        assert codes == [*KNOWN, 1125, 1702, 1702, 1125, 1702]
        assert after == before
    elif state == 'OFF':
        assert codes[:5] == [*UNKNOWN, 1125]
    else:
        assert codes == [*KNOWN, 1125, 0, 1305, 0, 0]
        assert after == ()


def test_option_file(servers):
    """The same in my.cnf, with variables; the command line wins; plugin-load with the plugin's name."""
    for s in servers:
        with_file(s, 'plugin-load-add = mysql_clone.so', 'clone = FORCE_PLUS_PERMANENT', 'clone_ddl_timeout = 7',
                  'clone-buffer-size = 8M', 'clone_valid_donor_list = h:1,i:2', 'loose_clone_ssl_ca = /x')
    start_all(servers, '--clone-ddl-timeout=8')
    assert same(servers, UNINSTALL)[1] == [*KNOWN, 1702]
    for s in servers:
        assert s.sql('SELECT @@clone_ddl_timeout, @@clone_buffer_size, @@clone_valid_donor_list, @@clone_ssl_ca') == \
            ((8, 8388608, 'h:1,i:2', '/x'),)
    stop_all(servers)
    start_all(servers, '--skip-clone')
    assert same(servers)[0][0][:2] == ('DISABLED', 'OFF')
    stop_all(servers)
    for s in servers:
        with_file(s, 'plugin-load = clone=mysql_clone.so')
    start_all(servers)
    assert same(servers)[0][0][:2] == ('ACTIVE', 'ON')


# ---- INSTALL and UNINSTALL -----------------------------------------------------

def test_install(servers):
    """INSTALL PLUGIN, there after a restart, with persisted variables; UNINSTALL forgets it. plugin-load-add on top: an
    error in the log, nothing more."""
    for s in servers:
        with_file(s)  # --no-defaults would leave out what is persisted
    start_all(servers)
    assert same(servers)[:2] == ((), UNKNOWN)
    assert same(servers, UNINSTALL, INSTALL, INSTALL, 'SET PERSIST clone_ddl_timeout = 77')[1][4:] == [1305, 0, 1125, 0]
    stop_all(servers)
    start_all(servers, LOAD)
    assert same(servers)[0][0][:2] == ('ACTIVE', 'ON')
    for s in servers:
        assert s.value('SELECT @@clone_ddl_timeout') == 77
        assert 'MY-013180' in s.log_text()
    assert same(servers, 'RESET PERSIST clone_ddl_timeout', UNINSTALL, UNINSTALL)[1][4:] == [0, 0, 1305]
    stop_all(servers)
    start_all(servers)
    assert same(servers)[:2] == ((), UNKNOWN)


def test_names(servers):
    """The file's name is given with its suffix and without a path; the plugin's name is clone."""
    start_all(servers)
    codes = same(servers, *(f"INSTALL PLUGIN {plugin} SONAME '{file}'" for plugin, file in [
        ('clone', 'mysql_clone'), ('clone', './mysql_clone.so'), ('clone', '../mysql_clone.so'), ('clone', ''),
        ('clone', 'mysql_clone.so.stock'), ('clone', 'mysql_clone.dll'), ('snapclone', 'mysql_clone.so'),
        ('clone', 'validate_password.so'), ('CLONE', 'mysql_clone.so')]), 'UNINSTALL PLUGIN CLONE')[1][4:]
    assert codes[:3] == [1126, 1124, 1124]
    assert codes[-2:] == [0, 0]


def test_uninstall_while_a_clone_runs(box):
    """Refused, 1883, on the recipient; so it is on the donor, but for the moments when it waits for the backup lock. The clone goes on."""
    donor = start_donor(box, megabytes=30)
    recipient = start_recipient(box, donor)
    slow(recipient, 8)
    with Background(recipient, instance(donor, box.path('clones') + '/c')) as clone:
        copying(recipient, OURS)
        assert recipient.error(UNINSTALL)[0] == 1883
        assert donor.error('SET lock_wait_timeout = 1', UNINSTALL)[0] in (1883, 1205)
        done = copying(recipient, OURS)
        wait_for(lambda: copying(recipient, OURS) > done or OURS == 'stock', what='progress')
        recipient.sql(f'KILL QUERY {clone.id}')
        assert clone.result()[0] == 1317
    for s in (donor, recipient):
        wait_for(lambda server=s: server.error(UNINSTALL)[0] == 0, what='UNINSTALL')
        assert s.sql(STATUS) == ()


# ---- failures --------------------------------------------------------------------

def test_not_loaded(servers):
    """clone=FORCE without the plugin: an unknown variable, as with stock; with loose- not. The plugin is not an early one;
    a library that is missing is logged."""
    for log in refused(servers, '--clone=FORCE'):
        assert "MY-000067] [Server] unknown variable 'clone=FORCE'" in log
    start_all(servers, '--early-plugin-load=mysql_clone.so', '--plugin-load-add=nosuch.so', '--loose-clone=FORCE')
    assert same(servers)[0] == ()
    for s in servers:
        assert all(f'[ERROR] [{number}]' in s.log_text() for number in ('MY-013421', 'MY-010901', 'MY-010736'))


@pytest.mark.parametrize('old, new, text', [
    (b'clone_protocol\0', b'clone_protocoX\0', 'the server has no service clone_protocoX; HINT: snapclone needs MySQL'),
    (b'_P23mysql_clone_ssl_contextP12MYSQL_SOCKET\0', b'_P23mysql_clone_ssl_contextP12MYSQL_SOCKEX\0',
     'unknown layout (mysql_clone_connect is not exported); HINT: snapclone needs MySQL'),
    (b'mysql_get_ssl_cipher\0', b'mysql_get_ssl_ciphex\0', 'the server does not export mysql_get_ssl_ciphex; HINT: '),
], ids=['service', 'layout', 'symbol'])
def test_init_fails(servers, old, new, text):
    """A server that lacks something: INSTALL fails as often as tried, the log says what is missing, for which version,
    and what to do; plugin-load-add starts without the plugin, with FORCE not at all."""
    only_ours()
    server, place = servers[0], changed_plugin(servers[0].box, old, new)
    mark = server.log_mark()
    server.start(LOAD, f'--plugin-dir={place}')
    version = server.value('SELECT VERSION()')
    assert server.sql(STATUS) == ()
    assert [server.error(s)[0] for s in (local('/x'), INSTALL, INSTALL, UNINSTALL)] == [1524, 1123, 1123, 1305]
    server.kill()
    log = server.log_text(mark)
    assert log.count("[ERROR] [MY-000000] [Server] Plugin clone reported: 'snapclone ") == 3
    assert log.count(f'cannot be used with server version {version}: ') == log.count(text) == 3
    assert log.count('MY-010202') == 3
    if b'protocol' in old:
        log = refused([server], LOAD, f'--plugin-dir={place}', '--clone=FORCE')[0]
        assert text in log and 'MY-010169] [Server] Failed to initialize dynamic plugins' in log


def test_wrong_file(servers):
    """A file that needs a symbol the server has not, or that cannot be loaded at all: 1126 names the reason, which is in
    the log of a start too; with FORCE the server does not start."""
    only_ours()
    server, symbol = servers[0], b'_Z19clone_handle_createPKc\0'
    place = changed_plugin(server.box, symbol, symbol.replace(b'handle', b'hamdle'))
    server.start(LOAD, f'--plugin-dir={place}')
    code, message = server.error(INSTALL)
    assert code == 1126 and 'undefined symbol: _Z19clone_hamdle_createPKc' in message
    os.truncate(os.path.join(place, 'mysql_clone.so'), 0)
    code, message = server.error(INSTALL)
    assert code == 1126 and 'file too short' in message
    server.kill()
    assert 'file too short' in refused([server], LOAD, f'--plugin-dir={place}', '--clone=FORCE')[0]


# ---- other starts of the server ----------------------------------------------------

def test_initialize(box):
    """--initialize ignores plugin-load-add with a warning and does not know --clone; the new server loads the plugin."""
    servers = [box.server(name, plugin=p) for name, p in (('ours', OURS), ('stock', 'stock'))]
    for options, status, text in [(['--initialize', '--clone=FORCE'], 1, "unknown variable 'clone=FORCE'"),
                                  (['--initialize-insecure', '--loose-clone=FORCE'], 0, 'created with an empty password')]:
        for s in servers:
            shutil.rmtree(s.datadir)
        marks = [s.log_mark() for s in servers]
        assert [r[0] for r in run(servers, LOAD, *options)] == [status] * 2
        for s, mark in zip(servers, marks):
            log = s.log_text(mark)
            assert 'MY-013501' in log and text in log
    start_all(servers, LOAD, '--loose-clone=FORCE')
    assert same(servers)[0][0][:2] == ('ACTIVE', 'FORCE')


def test_upgrade(servers):
    """A server that upgrades itself (--upgrade=FORCE) loads the plugin, as with stock: only 8.0's upgrade from 5.7
    refuses it (MY-013238). The tables in performance_schema survive."""
    start_all(servers, LOAD, '--clone=FORCE', '--upgrade=FORCE')
    assert same(servers)[:2] == ((('ACTIVE', 'FORCE', 'mysql_clone.so', 'CLONE', '1.0', 'GPL'),), KNOWN)
    for s in servers:
        assert 'MY-013381' in s.log_text()
        assert 'MY-013238' not in s.log_text()


def variables(text):
    """{name: value} of the clone variables in the table that mysqld --verbose --help prints."""
    rows = (line.split(None, 1) for line in text.partition('\nVariables (--variable-name=value)')[2].splitlines())
    return {r[0]: r[-1].strip() for r in rows if r and r[0].startswith('clone')}


def test_help(servers):
    """mysqld --verbose --help with plugin-load-add lists our variables: stock's with the same defaults, and our own."""
    ours, stock = run(servers, LOAD, '--verbose', '--help')
    assert (ours[0], stock[0]) == (0, 0)
    ours, stock = variables(ours[1]), variables(stock[1])
    assert len(stock) == 15  # with `clone` itself
    assert {n: ours.get(n) for n in stock} == stock
    if OURS == 'ours':
        assert {'clone-daemon-socket', 'clone-daemon-path'} <= set(ours) - set(stock)


def test_two_servers(box):
    """Two servers on one host, of different page sizes and plugin_dirs, one file under another name: both clone at once."""
    only_ours()
    source, place = os.path.join(box.our_plugin()[0], 'mysql_clone.so'), box.path('elsewhere')
    shutil.copy(source, os.path.join(place, 'other_name.so'))
    first = start(box, 'first')
    second = box.server('second', plugin='ours', page_size=4096, plugin_dir=place).start()
    assert second.error(INSTALL)[0] == 1126
    second.sql("INSTALL PLUGIN clone SONAME 'other_name.so'")
    assert second.value(STATUS.replace('plugin_status', 'plugin_library')) == 'other_name.so'
    target = box.path('clones')
    with Background(first, local(f'{target}/1')) as one, Background(second, local(f'{target}/2')) as two:
        assert (one.result(), two.result()) == ((0, ''), (0, ''))
    for n, size in (('1', 16384), ('2', 4096)):
        page = subprocess.run([program('innochecksum'), '--page-type-summary', f'{target}/{n}/mysql.ibd'], check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT).returncode
        assert page == 0, (n, size)
