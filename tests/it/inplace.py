# SPDX-License-Identifier: GPL-2.0-only
"""What the tests of CLONE INSTANCE without DATA DIRECTORY share: the statement, a server's whole state."""
import hashlib
import os
import re
import threading
import time

import pymysql

from helpers import OURS, PASSWORD, USER, start, unharmed
from proof.checks_files import read_end
from proof.load import load
from proof.prove import REPLICA_USER

ENDED = (0, 2006, 2013)  # the statement succeeded; the server may hang up before its answer is read
STAGES = ['DROP DATA', 'FILE COPY', 'PAGE COPY', 'REDO COPY', 'FILE SYNC', 'RESTART', 'RECOVERY']
SYSTEM = "('mysql','sys','information_schema','performance_schema')"
VIEWS = {'#view_status', '#view_progress', '#snapclone_manifest.jsonl'}  # what stays in #clone


def in_place(donor, clause='', user=USER, password=PASSWORD, port=None):
    """CLONE INSTANCE statement that replaces the recipient's data."""
    return f"CLONE INSTANCE FROM '{user}'@'127.0.0.1':{port or donor.port} IDENTIFIED BY '{password}' {clause}"


def recipient_of(box, *donors, name='recipient', plugin=OURS, **options):
    """A recipient that may clone from those donors, after a restart too."""
    donor_list = ','.join(f'127.0.0.1:{d.port}' for d in donors)
    return start(box, name, plugin, **{'loose_clone_valid_donor_list': donor_list, **options})


def own_data(recipient, megabytes=2):
    """Data of the recipient's own: InnoDB, MyISAM, schema names that need encoding, GTIDs, two binary logs."""
    recipient.sql('CREATE SCHEMA own', 'CREATE TABLE own.t (i INT PRIMARY KEY, s TEXT)',
                  "INSERT INTO own.t VALUES (1, 'one'), (2, 'two')",
                  'CREATE TABLE own.m (i INT PRIMARY KEY) ENGINE=MyISAM', 'INSERT INTO own.m VALUES (1), (2), (3)',
                  'CREATE SCHEMA `own-data`', 'CREATE TABLE `own-data`.`a b` (i INT PRIMARY KEY)',
                  'INSERT INTO `own-data`.`a b` VALUES (7)', 'FLUSH BINARY LOGS',
                  'DELETE FROM own.t WHERE i = 2')
    load(recipient, megabytes, tables=1)  # proof.load0, as the donor has


def replicate(replica, source):
    """Make a server replicate from another by auto-position."""
    user, password = REPLICA_USER
    replica.sql(f"CHANGE REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1', SOURCE_PORT={source.port}, "
                f"SOURCE_USER='{user}', SOURCE_PASSWORD='{password}', SOURCE_AUTO_POSITION=1, "
                'GET_SOURCE_PUBLIC_KEY=1, SOURCE_CONNECT_RETRY=1', 'START REPLICA')


# ---- a server's state ---------------------------------------------------------------------------------------


def checksums(server):
    """{table: checksum} of all tables outside the system schemas."""
    rows = server.sql(f"SELECT table_schema, table_name FROM information_schema.tables WHERE table_type='BASE TABLE' "
                      f'AND table_schema NOT IN {SYSTEM}')
    names = ', '.join(f'`{s}`.`{t}`' for s, t in rows)
    return dict(server.sql(f'CHECKSUM TABLE {names}')) if names else {}


def binary_logs(server):
    """[(name, digest of its content)], without the flag that tells whether the log is open."""
    found = []
    for row in server.sql('SHOW BINARY LOGS'):
        with open(os.path.join(server.datadir, row[0]), 'rb') as f:
            data = bytearray(f.read())
        data[21:23] = bytes(2)
        found.append((row[0], hashlib.sha256(data).hexdigest()))
    return found


def channels(server):
    """{channel: (receiver, applier)} as ON, OFF; a receiver that connects is one that runs."""
    rows = server.sql('SELECT c.channel_name, c.service_state, a.service_state FROM '
                      'performance_schema.replication_connection_status c JOIN '
                      'performance_schema.replication_applier_status a USING (channel_name)')
    return {name: [s.replace('CONNECTING', 'ON') for s in states] for name, *states in rows}


def files(datadir):
    """Names in a data directory that only a clone or DDL changes."""
    found = set()
    for path, dirs, names in os.walk(datadir):
        here = os.path.relpath(path, datadir)
        dirs[:] = [d for d in dirs if d not in ('#innodb_redo', '#innodb_temp', '#clone')]
        found.update(os.path.normpath(os.path.join(here, n)) for n in dirs + names)
    return {n for n in found if not re.search(r'(relay-bin\.|performance_schema.*\.sdi$|binlog\.|^ib_buffer_pool|\.pid$|^#clone$)', n)}


def state(server):
    """Everything of a server that a clone that failed must not have changed."""
    executed, purged, uuid, read_only, super_read_only = server.sql(
        'SELECT @@gtid_executed, @@gtid_purged, @@server_uuid, @@read_only, @@super_read_only')[0]
    return {'data': checksums(server), 'gtid_executed': executed, 'gtid_purged': purged, 'server_uuid': uuid,
            'read_only': read_only, 'super_read_only': super_read_only, 'binary logs': binary_logs(server),
            'replication': channels(server), 'files': files(server.datadir)}


def changed(before, after, *but):
    """What differs, as texts; but: names of what may."""
    found = []
    for key, was in before.items():
        now = after[key]
        if was == now or key in but:
            continue
        if isinstance(was, (dict, list, set)):
            was, now = ([x for x in (a.items() if isinstance(a, dict) else a) if
                         x not in (b.items() if isinstance(b, dict) else b)] for a, b in ((was, now), (now, was)))
        found.append(f'{key}: was {was}, is {now}')
    return found


def staged(server):
    """What a clone may not leave in a data directory."""
    found = [n for n in files(server.datadir) if '#clone' in n or 'snapclone' in n]
    clone = os.path.join(server.datadir, '#clone')
    if os.path.isdir(clone):
        found += ['#clone/' + n for n in os.listdir(clone) if n not in VIEWS]
    redo = os.listdir(os.path.join(server.datadir, '#innodb_redo'))
    return sorted(found + [n for n in redo if not n.startswith('#ib_redo')])


def old_schemas(server):
    """Empty directories of schemas that the server does not have. (Letters of other scripts have codes of their own.)"""
    known = {r[0] for r in server.sql('SELECT schema_name FROM information_schema.schemata')}
    found = []
    for name in os.listdir(server.datadir):
        path = os.path.join(server.datadir, name)
        if os.path.isdir(path) and not name.startswith('#') and not os.listdir(path):
            schema = re.sub('@([0-9a-f]{4})', lambda m: chr(int(m.group(1), 16)), name)
            if schema not in known:
                found.append(name)
    return found


def tidy(server, timeout=30):
    """A clone that ended, well or not, has left nothing; what ends it may take a moment."""
    deadline = time.monotonic() + timeout
    while (left := staged(server)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not left, left
    left = old_schemas(server)
    assert not left, left


# ---- cloning ------------------------------------------------------------------------------------------------


def progress(server):
    """[(stage, state)] of clone_progress."""
    return list(server.sql('SELECT stage, state FROM performance_schema.clone_progress ORDER BY id'))


def status(server):
    """The row of clone_status as a dict."""
    conn = server.connect(cursorclass=pymysql.cursors.DictCursor)
    with conn.cursor() as cur:
        cur.execute('SELECT * FROM performance_schema.clone_status')
        row = cur.fetchone()
    conn.close()
    return row


def replace(recipient, statement):
    """Run a clone in place that must succeed; wait until the recipient is the clone."""
    runs = len(recipient.statuses())
    code, message = recipient.error(statement)
    assert code in ENDED, f'{code} {message}'
    recipient.wait_restarted(runs)
    assert recipient.exit_statuses()[-1] == 16
    return recipient


def data_files(server):
    """Names of all tablespaces' files."""
    return {n for n in files(server.datadir) if re.search(r'\.ib[du]$|^undo_\d+$|^ibdata', n)}


def is_clone(recipient, donor, before=None):
    """The recipient has the donor's data and GTIDs, all of it and nothing else; the donor writes nothing meanwhile.

    before: state() of the recipient before the clone.
    """
    if OURS == 'ours':
        tidy(recipient)  # then its plugin has finished
    assert checksums(recipient) == checksums(donor)
    assert recipient.value('SELECT @@gtid_executed') == donor.value('SELECT @@gtid_executed')
    assert data_files(recipient) == data_files(donor)
    assert status(recipient)['STATE'] == 'Completed'
    assert [r for r in progress(recipient) if r[1] != 'Completed'] == []
    if before:
        assert recipient.value('SELECT @@server_uuid') == before['server_uuid']


class Unchanged:
    """`with Unchanged(box, donor, recipient): ...`: what is tried fails and leaves both sides as they were.

    but: names of state() that may differ.
    """

    def __init__(self, box, donor, recipient, *but):
        self.box, self.donor, self.recipient, self.but = box, donor, recipient, but

    def __enter__(self):
        self.pids = self.donor.pid, self.recipient.pid
        self.executed = self.donor.value('SELECT @@gtid_executed')
        self.before = state(self.recipient)
        return self

    def __exit__(self, kind, *_exc):
        if kind:
            return
        tidy(self.recipient)
        found = changed(self.before, state(self.recipient), *self.but)
        assert not found, found
        assert self.recipient.pid == self.pids[1]
        unharmed(self.donor, self.pids[0])
        unharmed(self.recipient, self.pids[1])
        assert self.donor.value('SELECT @@gtid_executed') == self.executed
        deadline = time.monotonic() + 30
        while (left := self.left()) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert left == []

    def left(self):
        """What is left, without a test's own small file system."""
        return [text for text in self.box.leftovers() if not text.startswith('mount')]


class EndWatcher:
    """Reads the end mark of a clone in place while it is there: from the commit until the clone has started."""

    def __init__(self, server):
        self.datadir, self.end = server.datadir, None
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        """Thread body."""
        while not self.stopping.wait(0.005):
            end = read_end(self.datadir)
            if end and 'gtid_executed' in end:
                self.end = end
                return

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_exc):
        self.stopping.set()
        self.thread.join()
