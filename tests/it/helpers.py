# SPDX-License-Identifier: GPL-2.0-only
"""What the integration tests share: servers with the plugin, clones, damage to look for afterwards."""
import contextlib
import os
import shutil
import subprocess
import threading
import time

import pytest

from leftovers import children_of, read
from proof.load import load
from proof.prove import Case, failures, prepare_donor, prove, table
from proof.writer import Writers, now_us
from template import BUILD, TREE

# TEST_PLUGIN=stock runs the same tests on the stock plugin: what they demand of ours, stock does too.
OURS = os.environ.get('TEST_PLUGIN', 'ours')
INSTALL = "INSTALL PLUGIN clone SONAME 'mysql_clone.so'"
USER, PASSWORD = 'cloner', 'clone pw'


def need_ours():
    """Skip the test when our plugin and daemon are not built."""
    if OURS == 'ours':
        for name in ('mysql_clone.so', 'snapcloned'):
            if not os.path.exists(os.path.join(BUILD, name)):
                pytest.skip(f'{os.path.join(BUILD, name)} is not built')


def only_ours():
    """Skip on the stock plugin: the test is about something stock does not have."""
    if OURS != 'ours':
        pytest.skip('about our plugin only')


def start(box, name, plugin=OURS, **options):
    """A started server with the plugin installed."""
    server = box.server(name, plugin=plugin, **options).start()
    server.sql(INSTALL)
    return server


def add_user(donor, name=USER, privilege='BACKUP_ADMIN', require=''):
    """The user a recipient logs in as. Not written to the binary log."""
    statements = ['SET sql_log_bin = 0', f"CREATE USER {name}@'%' IDENTIFIED BY '{PASSWORD}' {require}"]
    if privilege:
        statements.append(f"GRANT {privilege} ON *.* TO {name}@'%'")
    donor.sql(*statements)


def start_donor(box, name='donor', megabytes=20, plugin=OURS, **options):
    """A donor with data, the clone user and the replication user."""
    donor = start(box, name, plugin, **options)
    add_user(donor)
    prepare_donor(donor)
    if megabytes:
        load(donor, megabytes, tables=2)
    return donor


def start_recipient(box, donor, name='recipient', plugin=OURS, **options):
    """A recipient that may clone from that donor."""
    recipient = start(box, name, plugin, **options)
    recipient.sql(f"SET GLOBAL clone_valid_donor_list = '127.0.0.1:{donor.port}'")
    return recipient


def local(target):
    """CLONE LOCAL statement."""
    return f"CLONE LOCAL DATA DIRECTORY = '{target}'"


def instance(donor, target, clause='', user=USER, password=PASSWORD, port=None):
    """CLONE INSTANCE statement."""
    return (f"CLONE INSTANCE FROM '{user}'@'127.0.0.1':{port or donor.port} IDENTIFIED BY '{password}' "
            f"DATA DIRECTORY = '{target}' {clause}")


def compiled(source, directory):
    """A helper program in C: tests/it/NAME.c, linked with the library of the daemon; its path."""
    out = os.path.join(directory, source.removesuffix('.c'))
    subprocess.run([os.environ.get('CC', 'cc'), '-std=gnu11', '-D_GNU_SOURCE', '-O2', '-g', '-Wall', '-Wextra', '-Werror',
                    '-pthread', '-I.', '-o', out, f'tests/it/{source}', 'build/libsnapclone.a',
                    '-lcrypto', '-lz', '-llz4'], cwd=TREE, check=True)
    return out


class Background:
    """A statement running in a thread: `with Background(server, sql) as b: ...; b.result()`."""

    def __init__(self, server, statement):
        self.server, self.statement = server, statement
        self.code, self.message = None, ''
        self.conn = server.connect()
        self.id = self.conn.thread_id()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        try:
            with self.conn.cursor() as cur:
                cur.execute(self.statement)
            self.code = 0
        except Exception as e:  # pylint: disable=broad-except
            self.code, self.message = e.args[0], str(e.args[1]) if len(e.args) > 1 else repr(e)
        finally:
            self.conn.close()

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, kind, *_exc):
        if kind and self.running:  # the test has failed: do not wait for a slow clone
            self.server.error(f'KILL {self.id}')
        self.thread.join(timeout=60)

    @property
    def running(self):
        """True until the statement has ended."""
        return self.code is None

    def result(self, timeout=60):
        """(error number, message); 0 = success."""
        self.thread.join(timeout)
        assert not self.thread.is_alive(), f'still running after {timeout} s: {self.statement}'
        return self.code, self.message


def wait_for(condition, timeout=20, what='condition'):
    """Wait until condition() is true; returns its value."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f'{what} not seen in {timeout} s')


def copying(server, plugin=OURS):
    """Wait until a clone on that server is in FILE COPY and has copied something; bytes copied.

    Stock's figure moves in steps of 64 MiB only: there, being in FILE COPY is enough, and 1 is returned.
    """
    query = ("SELECT data FROM performance_schema.clone_progress WHERE stage='FILE COPY' AND state='In Progress' "
             'AND data > 0')
    if plugin == 'stock':
        query = "SELECT 1 FROM performance_schema.clone_progress WHERE stage='FILE COPY' AND state='In Progress'"
    return wait_for(lambda: server.value(query), what='FILE COPY in progress')


def slow(server, mib=4):
    """Limit clones on that server, so that a test can do something meanwhile."""
    server.sql(f'SET GLOBAL clone_max_data_bandwidth = {mib}', f'SET GLOBAL clone_max_network_bandwidth = {mib}')


def fast(server):
    """No limit."""
    slow(server, 0)


def daemons(server):
    """Process ids of the helpers started by that server's mysqld."""
    found = []
    for pid in children_of([server.pid]) - {server.pid}:
        if 'snapcloned' in read(f'/proc/{pid}/cmdline'):
            found.append(pid)
    return found


def unharmed(donor, pid):
    """The donor still runs as the same process, holds no lock, and logged no crash."""
    assert donor.pid == pid
    code, message = donor.error('SET sql_log_bin = 0', 'SET lock_wait_timeout = 5',
                                'CREATE TABLE mysql.lock_probe (i INT)', 'DROP TABLE mysql.lock_probe')
    assert code == 0, message
    assert 'mysqld got signal' not in donor.log_text()


def nothing_left(box, target):
    """The directory is gone and nothing else stayed. Helpers may take a moment to end."""
    if OURS != 'ours':
        shutil.rmtree(target, ignore_errors=True)  # stock leaves it
    assert not os.path.exists(target), f'{target} is still there'
    deadline = time.monotonic() + 30
    while box.leftovers(box.path('clones')) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert box.leftovers(box.path('clones')) == []


def clone_under_load(box, donor, where, statement, target, noise, before_s=0.5, after_s=0.5, beside=None, **options):
    """Run the clone statement on `where` while writers write to the donor; prove it.

    beside: a context that is open as long as the writers write; GTIDs of what it writes are in nobody's record.
    options: of the server started on the clone. Returns (Case, seconds the statement took).
    """
    before = donor.value('SELECT @@gtid_executed')
    record = box.path('record-' + os.path.basename(target))
    with Writers(donor, record, noise=noise), beside or contextlib.nullcontext():
        time.sleep(before_s)
        began = now_us()
        where.sql(statement)
        took = (now_us() - began) / 1e6
        time.sleep(after_s)
    case = Case(donor, target, record, box, OURS, began, before, **options)
    results = prove(case, 'on-' + os.path.basename(target))
    print(table(results))
    unknown = ['acked_gtids', 'donor_gtids'] if beside else []
    assert [name for name in failures(results) if name not in unknown] == []
    return case, took
