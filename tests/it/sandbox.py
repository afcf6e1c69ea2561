# SPDX-License-Identifier: GPL-2.0-only
"""Sandbox servers: any number of mysqld under one directory, on loopback, gone when the test is.

    with Sandbox() as box:
        donor = box.server('donor', plugin='ours', innodb_redo_log_capacity='64M')
        donor.start()
        donor.sql('SELECT 1')

A Sandbox is a directory (mode 0711). A Server is a directory in it: data/, tmp/, error.log, mysqld.sock,
server.json (what is needed to start it again, also by scripts/sandbox). The supervisor is in
supervisor.py, initialised data directories in template.py, the check for what stayed behind in
leftovers.py.
"""
import atexit
import itertools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import pymysql

import keyring
from leftovers import leftovers
from sql import Sql
from template import (BUILD, bindir, copy_template, give, program, server_user, stock_plugin_dir)

HERE = os.path.dirname(os.path.abspath(__file__))
SNAPCLONED = os.environ.get('SNAPCLONED') or os.path.join(BUILD, 'snapcloned')  # another one: with sanitizers
START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 60
DEFAULTS = {
    'bind_address': '127.0.0.1', 'mysqlx': 'OFF', 'log_error_verbosity': 3, 'pid_file': 'mysqld.pid',
    'innodb_buffer_pool_size': '128M', 'innodb_redo_log_capacity': '100M', 'gtid_mode': 'ON',
    'enforce_gtid_consistency': 'ON', 'log_bin': 'binlog',
    'secure_file_priv': '', 'skip_replica_start': 'ON',
    'character_set_server': 'utf8mb4', 'innodb_buffer_pool_load_at_startup': 'OFF',
    'innodb_buffer_pool_dump_at_shutdown': 'OFF',
}


class ServerError(Exception):
    """mysqld did not start or stop as asked; the text has the end of its error log."""


def free_port():
    """A loopback TCP port that is free now."""
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def option(name, value):
    """One mysqld option: True and None mean a bare flag."""
    name = name.replace('_', '-')
    return f'--{name}' if value is None or value is True else f'--{name}={value}'


class Server(Sql):
    """One sandbox server. Made by Sandbox.server() or Sandbox.adopt()."""

    def __init__(self, box, name, conf):
        self.box, self.name, self.conf = box, name, conf
        self.dir = os.path.join(box.base, name)
        super().__init__(os.path.join(self.dir, 'mysqld.sock'), conf['port'])
        self.datadir = conf.get('datadir') or os.path.join(self.dir, 'data')
        self.errlog = os.path.join(self.dir, 'error.log')
        self.status_file = os.path.join(self.dir, 'status.jsonl')
        self.keyring = conf.get('keyring')
        self._process = None
        self._lifeline = None

    # -- state -------------------------------------------------------------

    def statuses(self):
        """Records of the supervisor: {'pid', 'start', 'end', 'status'}; 'end' is absent while it runs."""
        try:
            with open(self.status_file, encoding='ascii') as f:
                return [json.loads(line) for line in f]
        except FileNotFoundError:
            return []

    def exit_statuses(self):
        """Exit statuses of all runs so far, oldest first (negative: signal)."""
        return [r['status'] for r in self.statuses() if 'status' in r]

    @property
    def pid(self):
        """Process id of the running mysqld, or None."""
        records = self.statuses()
        if not records or 'end' in records[-1]:
            return None
        pid = records[-1]['pid']
        return pid if self._names_us(pid) else None

    @property
    def supervisor_pid(self):
        """Process id of the running supervisor, or None."""
        if self._process:
            return self._process.pid if self._process.poll() is None else None
        try:
            with open(os.path.join(self.dir, 'supervisor.pid'), encoding='ascii') as f:
                pid = int(f.read())
        except (FileNotFoundError, ValueError):
            return None
        return pid if self._names_us(pid) else None

    def _names_us(self, pid):
        """True if that process' command line names our directory (ids are reused)."""
        try:
            with open(f'/proc/{pid}/cmdline', 'rb') as f:
                return self.dir.encode() in f.read()
        except OSError:
            return False

    def argv(self, extra=()):
        """Command line of mysqld."""
        options = dict(DEFAULTS, server_id=self.conf['server_id'], port=self.port, datadir=self.datadir,
                       socket=self.socket, log_error=self.errlog, tmpdir=os.path.join(self.dir, 'tmp'),
                       innodb_page_size=self.conf['page_size'])
        if self.conf['plugin'] == 'ours':
            options['plugin_dir'], options['loose_clone_daemon_path'] = self.box.our_plugin()
            if self.box.copies:
                options['loose_clone_provider'] = 'LIVE'
        mysqld = program('mysqld')
        if self.keyring:
            mysqld, options['plugin_dir'] = keyring.prepare(
                os.path.join(self.dir, 'keyring-conf'), options.get('plugin_dir') or stock_plugin_dir(), self.keyring,
                self.conf.get('keyring_options') or {})
        options.update(self.conf['options'])
        argv = [mysqld, '--no-defaults'] + [option(k, v) for k, v in options.items()]
        if os.geteuid() == 0 and server_user().pw_uid == 0:
            argv.append('--user=root')
        return argv + list(self.conf['init_options']) + list(extra)

    # -- start and stop ----------------------------------------------------

    def start(self, *extra, wait=True, detach=False, supervised=True, env=None):
        """Start under a supervisor; extra mysqld options for this run only. Returns self.

        wait=False: do not wait until it answers. detach=True: it stays when this process ends.
        supervised=False: mysqld knows of no supervisor, RESTART and CLONE cannot restart it. env: more of
        mysqld's environment.
        """
        user = server_user()
        env = {'PATH': '/usr/bin:/bin', 'LC_ALL': 'C.UTF-8', 'TMPDIR': os.path.join(self.dir, 'tmp'),
               **self.box.env, **(env or {})}
        job = {'argv': self.argv(extra), 'env': env, 'uid': user.pw_uid, 'gid': user.pw_gid,
               'status': self.status_file, 'output': self.errlog, 'lifeline': None,
               'supervised': supervised, 'binds': self.conf.get('binds')}
        give(self.datadir)
        lifeline, fds = None, ()
        if not detach:
            lifeline, self._lifeline = os.pipe()
            job['lifeline'], fds = lifeline, (lifeline,)
        job_file = os.path.join(self.dir, 'job.json')
        with open(job_file, 'w', encoding='utf-8') as f:
            json.dump(job, f)
        runs = len(self.statuses())
        self._process = subprocess.Popen(['/usr/bin/python3', '-E', os.path.join(HERE, 'supervisor.py'), job_file],
                                         pass_fds=fds, start_new_session=True, stdin=subprocess.DEVNULL)
        if lifeline is not None:
            os.close(lifeline)
        with open(os.path.join(self.dir, 'supervisor.pid'), 'w', encoding='ascii') as f:
            f.write(str(self._process.pid))
        if wait:
            self.wait_ready(runs)
        return self

    def wait_ready(self, runs=0, timeout=START_TIMEOUT_S):
        """Wait until mysqld answers; at least one start must have been recorded after `runs` records."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if len(self.statuses()) > runs:
                try:
                    self.connect().close()
                    return self
                except pymysql.Error:
                    pass
                if not self.supervisor_pid:
                    raise ServerError(f'{self.name} ended: {self.exit_statuses()}\n{self.log_tail()}')
            time.sleep(0.02)
        raise ServerError(f'{self.name} does not answer after {timeout} s\n{self.log_tail()}')

    def wait_restarted(self, runs, timeout=START_TIMEOUT_S):
        """After CLONE or RESTART: wait for the next run. runs = len(statuses()) before the statement."""
        return self.wait_ready(runs + 1, timeout)

    def wait_ended(self, timeout=STOP_TIMEOUT_S):
        """Wait until mysqld and its supervisor have ended; returns the last exit status."""
        end = time.monotonic() + timeout
        while self.supervisor_pid:
            if time.monotonic() > end:
                raise ServerError(f'{self.name} did not end in {timeout} s\n{self.log_tail()}')
            time.sleep(0.02)
        self._close_lifeline()
        return (self.exit_statuses() or [None])[-1]

    def stop(self, timeout=STOP_TIMEOUT_S):
        """Orderly shutdown. A server that does not end in time is killed, and that is an error."""
        pid = self.supervisor_pid
        if pid:
            os.kill(pid, signal.SIGTERM)
        try:
            return self.wait_ended(timeout)
        except ServerError:
            self.kill()
            raise

    def kill(self):
        """SIGKILL to mysqld; waits for its end."""
        pid, supervisor = self.pid, self.supervisor_pid
        if pid:
            os.kill(pid, signal.SIGKILL)
        elif supervisor:
            os.kill(supervisor, signal.SIGKILL)
        return self.wait_ended()

    def restart(self, *extra):
        """Stop and start."""
        self.stop()
        return self.start(*extra)

    def _close_lifeline(self):
        if self._lifeline is not None:
            os.close(self._lifeline)
            self._lifeline = None

    # -- error log (SQL: see class Sql) -------------------------------------

    def log_mark(self):
        """Position in the error log, for log_text()."""
        return os.path.getsize(self.errlog) if os.path.exists(self.errlog) else 0

    def log_text(self, mark=0):
        """The error log from mark on."""
        with open(self.errlog, 'rb') as f:
            f.seek(mark)
            return f.read().decode('utf-8', 'replace')

    def log_tail(self, lines=25):
        """The last lines of the error log, and before them those that say what went wrong."""
        if not os.path.exists(self.errlog):
            return '(no log)'
        all_lines = self.log_text().splitlines()
        telling = [line for line in all_lines[:-lines] if re.search(r'\[ERROR\]|ssertion|got signal', line)]
        return '\n'.join(telling[-lines:] + all_lines[-lines:])


def shares_extents(path):
    """True on file systems on which a local clone would move no data."""
    return subprocess.run(['stat', '-f', '-c', '%T', path], stdout=subprocess.PIPE, text=True,
                          check=True).stdout.strip() in ('xfs', 'btrfs')


class Sandbox:
    """A directory of servers. Everything in it ends with destroy(), at exit, and when we are killed."""

    ids = itertools.count(1)

    def __init__(self, base=None, keep=False, build=None):
        """build: another build of plugin and daemon than the usual one.

        Without base, below TMPDIR: clones copy there (clone_provider=LIVE), whatever TMPDIR stands on.
        """
        anywhere = base is None
        if anywhere:
            base = tempfile.mkdtemp(prefix='snapclone-', dir=os.environ.get('TMPDIR') or '/tmp')
        self.base = os.path.abspath(base)
        self.keep = keep
        self.build, self.daemon = (build, os.path.join(build, 'snapcloned')) if build else (BUILD, SNAPCLONED)
        self.servers = {}
        self.services = []  # snapcloned (service.py)
        self.env = {}
        os.makedirs(self.base, exist_ok=True)
        os.chmod(self.base, 0o711)
        self.copies = anywhere and shares_extents(self.base)
        bindir()
        if not keep:
            atexit.register(self.destroy)
            end_on_sigterm()

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self.destroy()

    def server(self, name, plugin='stock', page_size=16384, init_options=(), keyring_file=None, keyring_options=None,
               **options):
        """A new server with a fresh data directory, not started. options: mysqld options, and binds: directories
        that are others for this server (supervisor.py).

        keyring_file: path of a keyring file, made when it is not there; True: the server's own. keyring_options: more
        of the component's configuration.
        """
        server = self._new(name, plugin, page_size, init_options, options, keyring_file=keyring_file,
                           keyring_options=keyring_options)
        copy_template(server.datadir, page_size, init_options)
        return server

    def adopt(self, name, datadir, plugin='stock', page_size=16384, init_options=(), keyring_file=None, **options):
        """A new server on an existing data directory (a clone), not started."""
        return self._new(name, plugin, page_size, init_options, options, datadir=os.path.abspath(datadir),
                         keyring_file=keyring_file)

    def _new(self, name, plugin, page_size, init_options, options, datadir=None, keyring_file=None,
             keyring_options=None):
        if keyring_file is True:
            keyring_file = os.path.join(self.base, name, 'keyring')
        binds = options.pop('binds', None)
        conf = {'plugin': plugin, 'page_size': page_size, 'init_options': list(init_options), 'options': options,
                'binds': binds,
                'port': free_port(), 'server_id': os.getpid() % 100000 * 1000 + next(self.ids), 'datadir': datadir,
                'keyring': keyring_file, 'keyring_options': keyring_options}
        server = Server(self, name, conf)
        os.makedirs(os.path.join(server.dir, 'tmp'))
        os.chmod(server.dir, 0o711)
        with open(server.errlog, 'ab'):
            pass
        give(server.dir)
        with open(os.path.join(server.dir, 'server.json'), 'w', encoding='utf-8') as f:
            json.dump(conf, f)
        self.servers[name] = server
        return server

    def load(self):
        """Fill self.servers from the directory (for scripts/sandbox)."""
        for name in sorted(os.listdir(self.base)):
            path = os.path.join(self.base, name, 'server.json')
            if os.path.exists(path):
                with open(path, encoding='utf-8') as f:
                    self.servers[name] = Server(self, name, json.load(f))
        return self

    def path(self, name):
        """Directory base/name that the servers may write to, made when needed."""
        path = os.path.join(self.base, name)
        if not os.path.isdir(path):
            os.makedirs(path)
            give(path)
        return path

    def our_plugin(self):
        """(plugin_dir, daemon path): our build output, copied so that permissions of the tree do not matter."""
        place = os.path.join(self.base, '.plugin')
        daemon = os.path.join(place, 'snapcloned')
        if not os.path.isdir(place):
            os.mkdir(place)
            stock = stock_plugin_dir()
            for name in os.listdir(stock):
                if name != 'mysql_clone.so':
                    os.symlink(os.path.join(stock, name), os.path.join(place, name))
            shutil.copy(os.path.join(self.build, 'mysql_clone.so'), place)
            if os.path.exists(self.daemon):
                shutil.copy(self.daemon, daemon)
            os.chmod(place, 0o755)
        return place, daemon

    def leftovers(self, *directories, running=True):
        """See leftovers.leftovers(); running=False: no server may run any more."""
        servers = [*self.servers.values(), *self.services] if running else []
        return leftovers(self.base, servers, directories)

    def destroy(self):
        """Kill every server, remove the directory."""
        for server in self.servers.values():
            server.kill()
        self.servers = {}
        if not self.keep:
            atexit.unregister(self.destroy)
        shutil.rmtree(self.base, ignore_errors=True)


def end_on_sigterm():
    """SIGTERM ends this process by way of atexit, so that servers and directories go too."""
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
