# SPDX-License-Identifier: GPL-2.0-only
"""The plugin as a plugin: what a client sees of it must be what it sees of the stock one."""
import os
import shutil
import threading
import time

import pymysql
import pytest

from helpers import (INSTALL, OURS, Background, copying, fast, instance, local, need_ours, nothing_left, slow, start,
                     start_donor, unharmed, wait_for)
from proof.load import load
from sandbox import Sandbox

STAGES = ['DROP DATA', 'FILE COPY', 'PAGE COPY', 'REDO COPY', 'FILE SYNC', 'RESTART', 'RECOVERY']
OWN_VARIABLES = {'clone_daemon_socket', 'clone_daemon_path', 'clone_data_port', 'clone_data_channel',
                 'clone_drop_data_first', 'clone_provider'}


@pytest.fixture(autouse=True)
def built():
    """All tests need our build."""
    need_ours()


@pytest.fixture(scope='module')
def pair():
    """One server with our plugin, one with stock's, a user each for the privilege checks."""
    with Sandbox() as box:
        servers = [start(box, 'ours', OURS), start(box, 'stock', 'stock')]
        for s in servers:
            load(s, 30, tables=2)
            s.sql("CREATE USER nobody@'%'", "CREATE USER backup@'%'", "GRANT BACKUP_ADMIN ON *.* TO backup@'%'",
                  "CREATE USER reader@'%'", "GRANT SELECT ON performance_schema.* TO reader@'%'")
        yield box, servers[0], servers[1]


def same(pair, statement, **kw):
    """The statement has the same error number, or the same rows, on both; returns it."""
    def ask(server):
        try:
            return server.sql(statement, **kw)
        except pymysql.Error as e:
            return e.args[0]
    ours, stock = (ask(s) for s in pair[1:])
    assert ours == stock, statement
    return ours


def test_install_restart_uninstall(box):
    """ACTIVE at once and after a restart; UNINSTALL takes variables and tables along."""
    server = start(box, 'a')
    status = "SELECT plugin_status, plugin_type, plugin_library, plugin_license FROM information_schema.plugins " \
             "WHERE plugin_name='clone'"
    active = (('ACTIVE', 'CLONE', 'mysql_clone.so', 'GPL'),)
    assert server.sql(status) == active
    assert ('clone', 'ACTIVE', 'CLONE', 'mysql_clone.so', 'GPL') in server.sql('SHOW PLUGINS')
    assert server.error(INSTALL)[0] == 1125
    server.restart()
    assert server.sql(status) == active
    server.sql('SELECT * FROM performance_schema.clone_progress')
    for _ in range(3):
        server.sql('UNINSTALL PLUGIN clone')
        assert server.sql(status) == ()
        assert server.error('SELECT * FROM performance_schema.clone_status')[0] == 1146
        assert server.error('SELECT @@clone_buffer_size')[0] == 1193
        assert server.error(local('/nonexistent/x'))[0] == 1524
        server.sql(INSTALL)
    server.sql('UNINSTALL PLUGIN clone')
    assert server.stop() == 0
    assert '[ERROR]' not in server.log_text()


def test_plugin_load_add(box):
    """--plugin-load-add works, with variables on the command line; FORCE_PLUS_PERMANENT holds."""
    server = box.server('a', plugin=OURS, plugin_load_add='mysql_clone.so', clone='FORCE_PLUS_PERMANENT',
                        clone_buffer_size='8M', clone_ddl_timeout=7).start()
    assert server.sql('SELECT @@clone_buffer_size, @@clone_ddl_timeout') == ((8388608, 7),)
    assert server.error('UNINSTALL PLUGIN clone')[0] == 1702
    assert server.value("SELECT COUNT(*) FROM performance_schema.clone_status") is not None
    assert server.stop() == 0
    assert '[ERROR]' not in server.log_text()


def test_variables(pair):
    """The 14 stock variables: names, values, types, ranges, scope. Ours may have a few more."""
    query = ("SELECT m.variable_name, variable_value, variable_scope, data_type, m.min_value, m.max_value "
             "FROM performance_schema.variables_metadata m JOIN performance_schema.global_variables v "
             "ON v.variable_name=m.variable_name WHERE m.variable_name LIKE 'clone%' ORDER BY 1")
    ours, stock = ({r[0]: r for r in s.sql(query)} for s in pair[1:])
    assert len(stock) == 14
    assert {n: ours.get(n) for n in stock} == stock
    assert set(ours) - set(stock) <= OWN_VARIABLES
    if OURS == 'ours':
        assert {'clone_daemon_socket', 'clone_daemon_path'} <= set(ours)
        assert ours['clone_daemon_socket'][1] == 'AUTO'


@pytest.mark.parametrize('name, values', [
    ('buffer_size', ['1048576', '0', '3500000', '300000000', "'x'", 'NULL', '-1']),
    ('ddl_timeout', ['0', '2592001', '1.5']), ('max_concurrency', ['0', '1', '129']),
    ('max_network_bandwidth', ['1048577', '5', '0']), ('max_data_bandwidth', ['1048577', '5', '0']),
    ('block_ddl', ['ON', '0', "'maybe'", '2']), ('enable_compression', ['ON', 'OFF']),
    ('autotune_concurrency', ['OFF', 'ON']), ('delay_after_data_drop', ['3601', '0']),
    ('donor_timeout_after_network_failure', ['31', '0', '5']),
    ('valid_donor_list', ["'h:1'", "'h:1,i:2'", "'h'", "'h:x'", "'h:1, i:2'", "''", "':3'", "'h:99999'", 'NULL', '5',
                          "'h:1,'", "'[::1]:3306'"]),
    ('ssl_key', ["'/x'", 'NULL', "''", '5']), ('ssl_cert', ["'/x'", 'NULL']), ('ssl_ca', ["'/x'", 'NULL']),
])
def test_setting_variables(pair, name, values):
    """The same values are taken, rounded and refused, with the same numbers."""
    for value in [*values, 'DEFAULT']:
        same(pair, f'SET GLOBAL clone_{name} = {value}')
        same(pair, f'SELECT @@GLOBAL.clone_{name}')
    same(pair, f'SET SESSION clone_{name} = DEFAULT')
    same(pair, f'SET PERSIST clone_{name} = DEFAULT')
    same(pair, f'RESET PERSIST clone_{name}')


def test_status_tables(pair):
    """Columns, types and rows before any clone; nobody may write to them."""
    for name in ('clone_status', 'clone_progress'):
        assert same(pair, "SELECT column_name, ordinal_position, column_type, is_nullable, column_default, collation_name "
                          f"FROM information_schema.columns WHERE table_name='{name}' ORDER BY 2")
        same(pair, f'SELECT COUNT(*) FROM performance_schema.{name}')
        same(pair, f'SELECT * FROM performance_schema.{name}', user='nobody')
        same(pair, f'SELECT COUNT(*) FROM performance_schema.{name}', user='reader')
        for statement in (f'DELETE FROM performance_schema.{name}', f'TRUNCATE performance_schema.{name}',
                          f'UPDATE performance_schema.{name} SET id=2', f'DROP TABLE performance_schema.{name}',
                          f'INSERT INTO performance_schema.{name} (id) VALUES (1)'):
            assert same(pair, statement)


def test_refusals(pair):
    """Privileges, directories and donor lists are refused with stock's numbers."""
    box, ours, stock = pair
    codes = {}
    base = box.path('clones')
    for user, statement in [
            ('nobody', f"CLONE LOCAL DATA DIRECTORY '{base}/n'"),
            ('nobody', f"CLONE INSTANCE FROM x@127.0.0.1:1 IDENTIFIED BY 'x' DATA DIRECTORY '{base}/n'"),
            ('backup', "CLONE INSTANCE FROM x@127.0.0.1:1 IDENTIFIED BY 'x'"),
            ('root', "CLONE LOCAL DATA DIRECTORY 'relative'"), ('root', f"CLONE LOCAL DATA DIRECTORY '{base}'"),
            ('root', f"CLONE LOCAL DATA DIRECTORY '/{'x' * 600}'"), ('root', "CLONE LOCAL DATA DIRECTORY ''"),
            ('root', f"CLONE LOCAL DATA DIRECTORY '{base}/not/there/yet/../../../../../../proc/x'"),
            ('root', "CLONE LOCAL DATA DIRECTORY '/proc/x'"), ('root', "CLONE LOCAL DATA DIRECTORY '/proc/x/y'"),
            ('root', "CLONE INSTANCE FROM x@127.0.0.1:1 IDENTIFIED BY 'x'"),
            ('root', f"CLONE INSTANCE FROM x@127.0.0.1:1 IDENTIFIED BY 'x' DATA DIRECTORY '{base}/n'"),
            ('root', "PREPARE p FROM \"CLONE LOCAL DATA DIRECTORY '/x'\"")]:
        codes[statement] = same(pair, statement, user=user)
    assert 0 not in codes.values() and () not in codes.values()
    for server in (ours, stock):
        inside = f"CLONE LOCAL DATA DIRECTORY '{server.datadir}/x'"
        assert server.error(inside)[0] == 3632
    assert box.leftovers(base) == []


def test_loopback_and_list(pair):
    """A donor that is not in the list is refused; a server may clone itself into a directory, as with stock."""
    box, target = pair[0], pair[0].path('clones') + '/loop'
    codes = []
    for s in pair[1:]:
        s.sql(f"SET GLOBAL clone_valid_donor_list = '127.0.0.1:{s.port}'", "CREATE USER IF NOT EXISTS cloner@'%' "
              "IDENTIFIED BY 'clone pw'", "GRANT BACKUP_ADMIN ON *.* TO cloner@'%'")
        codes.append([s.error(instance(s, target, port=1))[0], s.error(instance(s, target))[0]])
        if os.path.exists(target):
            shutil.rmtree(target)
        s.sql('SET GLOBAL clone_valid_donor_list = NULL')
    assert codes[0] == codes[1]
    nothing_left(box, target)


def rows(server, table, columns):
    """Rows of a status table."""
    return server.sql(f'SELECT {columns} FROM performance_schema.{table} ORDER BY 1')


def test_local_clone_status(pair):
    """After a clone and after a failed one the status tables say what stock's say."""
    box = pair[0]
    for n, s in enumerate(pair[1:]):
        s.sql(local(f"{box.path('clones')}/s{n}"))
        assert [r[0] for r in s.sql('SELECT stage FROM performance_schema.clone_progress')] == STAGES
    status = [[tuple(c.replace('/s1', '/s0') if isinstance(c, str) else c for c in r) for r in
               rows(s, 'clone_status', 'id, pid > 0, state, source, destination, error_no, error_message')] for s in pair[1:]]
    assert status[0] == status[1]
    progress = [s.sql("SELECT stage, state, begin_time IS NULL, end_time IS NULL FROM performance_schema.clone_progress")
                for s in pair[1:]]
    assert progress[0] == progress[1]
    sums = [s.sql("SELECT estimate > 0, data > 0, estimate >= data, network FROM performance_schema.clone_progress "
                  "WHERE stage='FILE COPY'") for s in pair[1:]]
    assert sums[0] == sums[1]
    for s in pair[1:]:
        assert rows(s, 'clone_status', "TIMESTAMPDIFF(SECOND, begin_time, end_time) < 60, begin_time > NOW() - INTERVAL 1 "
                                       'MINUTE') == ((1, 1),)


def test_kill_and_uninstall_while_running(pair):
    """UNINSTALL is refused: 1883. Readers see the clone live. KILL QUERY ends it with 1317, all gone."""
    box, seen = pair[0], []
    for s in pair[1:]:
        pid, target = s.pid, box.path('clones') + '/killed'
        slow(s, 1)
        with Background(s, local(target)) as clone:
            first = copying(s, s.conf['plugin'])
            # It waits for the backup lock before it looks, if that is just held: 1205
            uninstall = s.error('SET lock_wait_timeout = 1', 'UNINSTALL PLUGIN clone')[0]
            assert uninstall == 1883 or (uninstall == 1205 and s.conf['plugin'] == 'ours')
            codes = [s.error(local(target + '2'))[0]]
            states = rows(s, 'clone_status', 'state, pid, source, destination')[0]
            assert states[1] == clone.id
            # Stock's numbers move in steps of 64 MiB, which is all there is.
            assert s.conf['plugin'] == 'stock' or wait_for(lambda: copying(s) > first, what='progress')
            readers = [threading.Thread(target=lambda: [s.sql('SELECT * FROM performance_schema.clone_progress p, '
                                                              'performance_schema.clone_progress q') for _ in range(20)])
                       for _ in range(4)]
            for r in readers:
                r.start()
            for r in readers:
                r.join()
            t = time.monotonic()
            s.sql(f'KILL QUERY {clone.id}')
            codes.append(clone.result()[0])
            assert time.monotonic() - t < 20
        fast(s)
        if s.conf['plugin'] == 'stock':
            shutil.rmtree(target)  # stock leaves it
        nothing_left(box, target)
        unharmed(s, pid)
        seen.append((codes, states[0], rows(s, 'clone_status', 'state, error_no, error_message')))
    assert seen[0] == seen[1]
    assert seen[0][0] == [3634, 1317]


def test_client_gone(box):
    """KILL of the connection in mid-clone ends the job too."""
    donor = start_donor(box, megabytes=30)
    pid, target = donor.pid, box.path('clones') + '/gone'
    slow(donor, 2)
    with Background(donor, local(target)) as clone:
        copying(donor)
        donor.sql(f'KILL {clone.id}')
        assert clone.result()[0] in (1317, 2013)
    wait_for(lambda: donor.value("SELECT state FROM performance_schema.clone_status") == 'Failed')
    nothing_left(box, target)
    unharmed(donor, pid)


def test_shutdown_in_mid_clone(box):
    """An orderly shutdown ends a running clone and does not hang."""
    donor = start_donor(box, megabytes=30)
    target = box.path('clones') + '/down'
    slow(donor, 2)
    with Background(donor, local(target)) as clone:
        copying(donor)
        assert donor.stop(timeout=30) == 0
        assert clone.result()[0] != 0
    nothing_left(box, target)
