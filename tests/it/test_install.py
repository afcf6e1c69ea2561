# SPDX-License-Identifier: GPL-2.0-only
"""make install and make uninstall: what they put where, the stock plugin kept and restored, servers that run from it."""
import os
import re
import shutil
import subprocess

import pytest

from helpers import INSTALL, local, need_ours, only_ours
from template import BUILD, TREE, stock_plugin_dir

PLUGINS = '/usr/lib/mysql/plugin'
SO = PLUGINS + '/mysql_clone.so'
DAEMON = '/usr/local/libexec/snapclone/snapcloned'
UNIT = '/usr/local/lib/systemd/system/snapcloned.service'
FILES = {DAEMON: 0o755, '/usr/local/bin/snapclone': 0o755, '/usr/local/share/man/man1/snapclone.1': 0o644,
         '/usr/local/share/man/man8/snapcloned.8': 0o644, UNIT: 0o644, '/usr/local/share/snapclone/snapcloned.conf': 0o644,
         SO: 0o644}


@pytest.fixture(autouse=True)
def built():
    """All tests need our build."""
    only_ours()
    need_ours()


def content(path):
    """Bytes of a file."""
    with open(path, 'rb') as f:
        return f.read()


def files(root):
    """{path below root: mode} of all files that are not symbolic links."""
    found = (os.path.join(d, n) for d, _, names in os.walk(root) for n in names)
    return {p[len(root):]: os.stat(p).st_mode & 0o7777 for p in found if not os.path.islink(p)}


def make(target, **variables):
    """`make TARGET` on the build as it is (-o all: nothing is built again), with no settings of a `make check` around us."""
    settings = [f'{k}={v}' for k, v in {'B': BUILD, 'PLUGIN_DIR': PLUGINS, **variables}.items()]
    subprocess.run(['make', '-s', '-C', TREE, '-o', 'all', target, *settings], check=True, stdout=subprocess.PIPE,
                   env={'PATH': os.environ['PATH']})


def script(what, path=None, **env):
    """Run scripts/install; (exit status, output)."""
    names = {'PATH': f'{path}:/usr/bin:/bin' if path else '/usr/bin:/bin', 'B': BUILD, 'DESTDIR': '', **env}
    names.setdefault('DAEMON_PATH', names.get('PREFIX', '') + '/libexec/snapclone/snapcloned')
    done = subprocess.run([os.path.join(TREE, 'scripts', 'install'), what], env=names, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.returncode, done.stdout.decode()


@pytest.fixture
def root(box):
    """An empty system with a stock plugin_dir in it."""
    place = box.path('root')
    os.makedirs(place + PLUGINS)
    for name in os.listdir(stock_plugin_dir()):
        (shutil.copy if name == 'mysql_clone.so' else os.symlink)(os.path.join(stock_plugin_dir(), name),
                                                                 place + PLUGINS + '/' + name)
    return place


def test_install_and_uninstall(root):
    """Every file, with its mode; the stock plugin is kept over a second install and comes back; a newer one (the MySQL
    package was upgraded) is kept instead."""
    stock, before = content(root + SO), files(root)
    for _ in range(2):
        make('install', DESTDIR=root)
        assert files(root) == {**FILES, SO + '.stock': before[SO]}
        assert content(root + SO + '.stock') == stock
        assert content(root + SO) == content(os.path.join(BUILD, 'mysql_clone.so'))
    assert f'\nExecStart={DAEMON}\n' in content(root + UNIT).decode()
    assert '@' not in content(root + UNIT).decode()
    newer = stock + b'newer'
    with open(root + SO, 'wb') as f:
        f.write(newer)
    make('install', DESTDIR=root)
    assert content(root + SO + '.stock') == newer
    for _ in range(2):
        make('uninstall', DESTDIR=root)
        assert set(files(root)) == set(before)
        assert content(root + SO) == newer
    assert not os.path.exists(root + os.path.dirname(DAEMON))


def test_without_stock(root):
    """Nothing to keep: uninstall removes the plugin."""
    os.unlink(root + SO)
    make('install', DESTDIR=root, PREFIX='/opt/x')
    assert SO in files(root) and SO + '.stock' not in files(root)
    unit = content(root + UNIT.replace('/usr/local', '/opt/x')).decode()
    assert '\nExecStart=/opt/x/libexec/snapclone/snapcloned\n' in unit
    make('uninstall', DESTDIR=root, PREFIX='/opt/x')
    assert files(root) == {}


def test_server(box, root):
    """A server runs from what was installed, while it is installed again, and goes back to stock after uninstall."""
    make('install', DESTDIR=root)
    with open(os.path.join(BUILD, 'daemon-path'), encoding='ascii') as f:
        assert f.read().strip().encode() + b'\0' in content(root + SO)
    server = box.server('a', plugin='ours', plugin_dir=root + PLUGINS, loose_clone_daemon_path=root + DAEMON).start()
    server.sql(INSTALL)
    for n in ('1', '2'):
        assert server.error(local(f'{box.path("clones")}/{n}')) == (0, '')
        make('install', DESTDIR=root)
    make('uninstall', DESTDIR=root)
    code, message = server.error(local(f'{box.path("clones")}/3'))
    assert (code, os.path.exists(box.path('clones') + '/3')) == (1815, False)
    assert f'cannot start {root}{DAEMON}' in message
    own = "SELECT COUNT(*) FROM performance_schema.global_variables WHERE variable_name = 'clone_daemon_path'"
    assert server.value(own) == 1
    server.sql('UNINSTALL PLUGIN clone', INSTALL)
    assert server.value(own) == 0
    assert server.error(local(f'{box.path("clones")}/4')) == (0, '')


def fake(place, name, output):
    """A program that prints that."""
    path = os.path.join(place, name)
    with open(path, 'w', encoding='utf-8') as f:
        f.write(f"#!/bin/sh\ncat <<'EOF'\n{output}\nEOF\n")
    os.chmod(path, 0o755)


@pytest.mark.parametrize('mysql_config, mysqld, found', [
    ('/a/plugin', '', '/a/plugin'), ('', 'plugin-dir            /b/plugin/', '/b/plugin'),
    ('/usr/lib/mariadb/plugin', 'x 1\nplugin-dir  /b/plugin', '/b/plugin'), ('/usr/lib/mariadb/plugin', '', None),
])
def test_plugin_dir_found(box, mysql_config, mysqld, found):
    """Without PLUGIN_DIR mysql_config is asked (not MariaDB's), then mysqld; with no answer nothing is installed."""
    path, root = box.path('path'), box.path('root')
    fake(path, 'mysql_config', mysql_config)
    fake(path, 'mysqld', mysqld)
    status, output = script('install', path, DESTDIR=root, PREFIX='/usr')
    if found:
        assert status == 0, output
        assert found + '/mysql_clone.so' in files(root)
    else:
        assert status == 1 and 'make install PLUGIN_DIR=' in output
        assert files(root) == {}


def test_refused(box):
    """Directories that cannot be right are refused before anything is installed."""
    root = box.path('root')
    for settings, text in [({'PREFIX': root, 'PLUGIN_DIR': 'plugin'}, 'PLUGIN_DIR=plugin is not an absolute path'),
                           ({'PREFIX': root, 'PLUGIN_DIR': root + '/no'}, f'plugin_dir {root}/no does not exist'),
                           ({'PREFIX': 'usr', 'PLUGIN_DIR': root}, 'PREFIX=usr is not an absolute path'),
                           ({'PREFIX': root + '/a b', 'PLUGIN_DIR': root}, 'may not contain spaces')]:
        status, output = script('install', **settings)
        assert status == 1 and text in output
        assert files(root) == {}


def test_unit(box):
    """systemd accepts the unit (where systemd-analyze exists), the daemon accepts the sample configuration."""
    root = box.path('root')
    status, output = script('install', PREFIX=root, PLUGIN_DIR=root)
    assert status == 0, output
    sample = os.path.join(root, 'share', 'snapclone', 'snapcloned.conf')
    with open(sample, encoding='utf-8') as f:
        options = [line[1:] for line in f if ' = ' in line and line[:2] != '# ']
    daemon = os.path.join(root, 'libexec', 'snapclone', 'snapcloned')
    text = subprocess.run([daemon, '--help'], stdout=subprocess.PIPE, check=True).stdout.decode()
    known = set(re.findall(r'^  --(\w+)=', text, re.M)) - {'config'}
    assert known == {o.split(' = ')[0] for o in options}
    with open(sample, 'a', encoding='utf-8') as f:
        f.writelines(o for o in options if not o.startswith('allow_user'))
    done = subprocess.run([daemon, f'--config={sample}', '--socket=/nonexistent/s'], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, check=False)
    assert done.returncode == 1 and b'/nonexistent/s' in done.stdout, done.stdout  # 2: options refused
    if shutil.which('systemd-analyze'):
        unit = os.path.join(root, 'lib', 'systemd', 'system', 'snapcloned.service')
        done = subprocess.run(['systemd-analyze', 'verify', '--man=no', unit], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=False)
        assert (done.returncode, done.stdout) == (0, b'')
