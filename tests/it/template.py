# SPDX-License-Identifier: GPL-2.0-only
"""Where the MySQL programs are, and initialised data directories to start servers from."""
import contextlib
import fcntl
import functools
import hashlib
import json
import os
import pwd
import re
import shutil
import subprocess
import sys

TREE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get('SANDBOX_BUILD') or os.path.join(TREE, 'build')  # ours: mysql_clone.so, snapcloned
CACHE = os.path.join(TREE, 'build', 'mysql')


@functools.lru_cache
def bindir():
    """Directory of mysqld, mysql, innochecksum, ...; unpacked at the first call."""
    out = subprocess.run([os.path.join(TREE, 'scripts', 'mysql-root')], check=True, stdout=subprocess.PIPE)
    return out.stdout.decode().strip()


def program(name):
    """Full path of a MySQL program."""
    return os.path.join(bindir(), name)


@functools.lru_cache
def version():
    """Version of mysqld, e.g. '9.7.4-2'."""
    out = subprocess.run([program('mysqld'), '--no-defaults', '--version'], check=True, stdout=subprocess.PIPE)
    return re.search(r'Ver (\S+)', out.stdout.decode()).group(1)


@functools.lru_cache
def stock_plugin_dir():
    """plugin_dir of the MySQL in use."""
    out = subprocess.run([program('mysqld'), '--no-defaults', '--verbose', '--help'], stdout=subprocess.PIPE,
                         stderr=subprocess.DEVNULL, check=False).stdout.decode()
    return re.search(r'^plugin-dir\s+(\S+)', out, re.M).group(1).rstrip('/')


def can_run(user):
    """True when that user reaches the programs, and the scripts beside this file are not needed."""
    try:
        return subprocess.run([program('mysqld'), '--no-defaults', '--version'], user=user.pw_uid,
                              group=user.pw_gid, extra_groups=[], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, check=False).returncode == 0
    except OSError:
        return False


@functools.lru_cache
def server_user():
    """pwd entry of the user that runs mysqld.

    SANDBOX_USER, else nobody when we are root and nobody reaches the build tree, else ourselves.
    """
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid())
    name = os.environ.get('SANDBOX_USER')
    if name:
        return pwd.getpwnam(name)
    nobody = pwd.getpwnam('nobody')
    if can_run(nobody):
        return nobody
    print(f'sandbox: user nobody cannot reach {TREE}: mysqld runs as root', file=sys.stderr)
    return pwd.getpwuid(0)


def give(path):
    """chown path (recursively) to the server's user.

    Names may vanish meanwhile: a daemon whose mysqld died removes what it staged while the next one starts.
    """
    user = server_user()
    if os.geteuid() != 0 or user.pw_uid == 0:
        return
    os.chown(path, user.pw_uid, user.pw_gid)
    for folder, folders, files in os.walk(path):
        for name in folders + files:
            with contextlib.suppress(FileNotFoundError):
                path = os.path.join(folder, name)
                if os.lstat(path).st_uid != user.pw_uid or os.lstat(path).st_gid != user.pw_gid:
                    os.lchown(path, user.pw_uid, user.pw_gid)


def initialise(datadir, options):
    """Make a new data directory there."""
    argv = [program('mysqld'), '--no-defaults', f'--datadir={datadir}', '--innodb-redo-log-capacity=64M',
            '--innodb-fast-shutdown=0', *options, '--initialize-insecure', '--log-error-verbosity=2']
    if os.geteuid() == 0:
        argv.append('--user=root')
    run = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if run.returncode:
        raise RuntimeError(f'mysqld --initialize failed:\n{run.stdout.decode()}')


def template(page_size=16384, options=()):
    """Directory with an initialised data directory for these options; made at the first call."""
    init = [f'--innodb-page-size={page_size}', *options]
    digest = hashlib.sha256(json.dumps(init).encode()).hexdigest()[:8]
    path = os.path.join(CACHE, f'template-{version()}-{page_size}-{digest}')
    with open(os.path.join(CACHE, 'template.lock'), 'w', encoding='ascii') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.isdir(path):
            new = path + '.new'
            shutil.rmtree(new, ignore_errors=True)
            initialise(new, init)
            if os.path.exists(new + '/auto.cnf'):
                os.unlink(new + '/auto.cnf')
            os.rename(new, path)
    return path


def copy_template(datadir, page_size=16384, options=()):
    """A fresh data directory there, its owner the server's user."""
    subprocess.run(['cp', '-a', '--reflink=auto', template(page_size, options), datadir], check=True)
    os.chmod(datadir, 0o750)
    give(datadir)
