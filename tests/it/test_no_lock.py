# SPDX-License-Identifier: GPL-2.0-only
"""What a donor may do while it is cloned: everything, until the seal; and what it may be without."""
import os
import re
import shutil
import time

import pytest

from helpers import (INSTALL, Background, copying, fast, instance, local, need_ours, only_ours,
                     slow, start_donor, start_recipient, unharmed, wait_for)
from proof.checks_files import read_end
from proof.writer import Writers
from sandbox import Sandbox

UNDO_STATE = "SELECT state FROM information_schema.innodb_tablespaces WHERE name='more'"
# Each ends soon without a clone; behind a lock that a clone held it would fail after this time, 1205.
SOON_S = 20
SOON = (f'SET lock_wait_timeout = {SOON_S}', 'SET sql_log_bin = 0')


@pytest.fixture(autouse=True)
def built():
    """All tests need our build."""
    need_ours()
    only_ours()


@pytest.fixture(scope='module')
def pair():
    """A donor and a recipient that the tests share."""
    need_ours()
    with Sandbox() as box:
        donor = start_donor(box, megabytes=16)
        donor.sql('SET sql_log_bin = 0', 'CREATE TABLE proof.t (i INT PRIMARY KEY, j INT, t TEXT)',
                  "INSERT INTO proof.t SELECT id, id % 7, REPEAT('text ', id % 300) FROM proof.load0 WHERE id < 3000",
                  "CREATE UNDO TABLESPACE more ADD DATAFILE 'more.ibu'")
        yield box, donor, start_recipient(box, donor)


class SlowClone:
    """`with SlowClone(pair) as clone`: it is copying, for up to 30 seconds (of 100 MB); then it must succeed, soon."""

    def __init__(self, pair, **settings):
        self.box, self.donor, self.recipient = pair
        self.settings = settings
        self.target = self.box.path('clones') + '/c'
        shutil.rmtree(self.target, ignore_errors=True)

    def set(self, on):
        """Variables of the recipient."""
        for name, value in self.settings.items():
            self.recipient.sql(f"SET GLOBAL {name} = {value if on else 'DEFAULT'}")

    def __enter__(self):
        self.set(True)
        slow(self.recipient, 3)
        self.clone = Background(self.recipient, instance(self.donor, self.target)).__enter__()
        copying(self.recipient)
        return self

    def __exit__(self, kind, *exc):
        assert self.clone.running or kind, 'the clone was too fast to see anything'
        fast(self.recipient)
        self.clone.thread.join(0 if kind else 150)
        self.set(False)
        self.clone.__exit__(kind, *exc)
        if not kind:
            assert self.clone.result(150) == (0, '')

    def started(self):
        """A server on the clone."""
        self.box.servers.pop('on-c', None)
        shutil.rmtree(self.box.base + '/on-c', ignore_errors=True)
        return self.box.adopt('on-c', self.target, plugin='ours').start()


def at_once(donor, *statements):
    """They neither fail nor wait."""
    for statement in statements:
        began = time.monotonic()
        assert donor.error(*SOON, statement) == (0, ''), statement
        assert time.monotonic() - began < SOON_S, statement


def empty_undo(donor):
    """An undo tablespace is truncated by the server."""
    at_once(donor, 'ALTER UNDO TABLESPACE more SET INACTIVE')
    wait_for(lambda: donor.value(UNDO_STATE) == 'empty', 90, 'an empty undo tablespace')
    at_once(donor, 'ALTER UNDO TABLESPACE more SET ACTIVE')


def test_everything_goes_on(pair):
    """DDL, STOP REPLICA, PURGE BINARY LOGS and undo truncation in mid-copy; the clone has what they did."""
    donor = pair[1]
    donor.sql("CHANGE REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1', SOURCE_PORT=1, SOURCE_USER='x', SOURCE_PASSWORD='x'")
    with SlowClone(pair) as slow_clone:
        donor.sql('FLUSH BINARY LOGS')
        first, *_, last = [row[0] for row in donor.sql('SHOW BINARY LOGS')]
        at_once(donor, 'START REPLICA', 'STOP REPLICA', f"PURGE BINARY LOGS TO '{last}'",
                'CREATE TABLE proof.made AS SELECT * FROM proof.t', 'ALTER TABLE proof.made ADD PRIMARY KEY (i)',
                'ALTER TABLE proof.t ADD INDEX k (j), ALGORITHM=INPLACE, LOCK=SHARED', 'TRUNCATE TABLE proof.made',
                'CREATE TABLE proof.gone (i INT)', 'DROP TABLE proof.gone', 'RENAME TABLE proof.made TO proof.renamed')
        assert first not in [row[0] for row in donor.sql('SHOW BINARY LOGS')]
        slow(pair[2], 1)  # purge takes its time
        empty_undo(donor)
    clone = slow_clone.started()
    assert [row[0] for row in clone.sql("SHOW TABLES FROM proof LIKE 'renamed'")] == ['renamed']
    for query in ('CHECKSUM TABLE proof.t, proof.renamed', 'SELECT SUM(1), SUM(j) FROM proof.t FORCE INDEX (k)',
                  'CHECK TABLE proof.t, proof.renamed EXTENDED'):
        assert clone.sql(query) == donor.sql(query)
    clone.stop()
    donor.sql('RESET REPLICA ALL')
    unharmed(donor, donor.pid)


def test_file_of_somebody_else(pair):
    """A file that root copies into the data directory in mid-copy, not readable for the server: left out, and said."""
    donor = pair[1]
    path, mark = os.path.join(donor.datadir, 'proof', 'alien.ibd'), donor.log_mark()
    assert os.stat(donor.datadir).st_uid != os.geteuid(), 'the server runs as another user than the test'
    with SlowClone(pair) as slow_clone:
        shutil.copyfile(os.path.join(donor.datadir, 'proof', 'load0.ibd'), path)
        os.chmod(path, 0o600)
    assert 'proof/alien.ibd cannot be read: not a file of the server' in donor.log_text(mark)
    assert not os.path.exists(slow_clone.target + '/proof/alien.ibd')
    os.unlink(path)
    clone = slow_clone.started()
    assert clone.sql('CHECKSUM TABLE proof.load0') == donor.sql('CHECKSUM TABLE proof.load0')
    clone.stop()


def test_uninstall(pair):
    """UNINSTALL PLUGIN on a donor that is cloned returns at once, and neither clone nor donor is harmed."""
    donor = pair[1]
    with SlowClone(pair):
        began = time.monotonic()
        code, message = donor.error(*SOON, 'UNINSTALL PLUGIN clone')
        assert time.monotonic() - began < SOON_S
        print(f'UNINSTALL PLUGIN clone: {code} {message}')
        assert code in (0, 1883), message
    if code == 0:
        assert donor.error(INSTALL)[0] in (0, 1125)
    unharmed(donor, donor.pid)


def test_block_ddl(pair):
    """clone_block_ddl=ON: DDL waits until the clone has ended; DML goes on."""
    donor = pair[1]
    with SlowClone(pair, clone_block_ddl='ON') as blocking:
        assert donor.error('SET lock_wait_timeout = 1', 'CREATE TABLE proof.waits (i INT)')[0] == 1205
        at_once(donor, 'UPDATE proof.t SET j = j + 1 WHERE i < 9')
        ddl = Background(donor, 'CREATE TABLE proof.waits (i INT)').__enter__()
        time.sleep(1)
        assert ddl.running and blocking.clone.running
    ddl.__exit__(None, None, None)
    assert ddl.result() == (0, '')
    clone = blocking.started()
    assert clone.sql("SHOW TABLES FROM proof LIKE 'waits'") == ()
    clone.stop()
    donor.sql('DROP TABLE proof.waits')


def test_ddl_that_began_before(pair):
    """An index that is being built when the clone begins, and after clone_ddl_timeout still is: the clone has all of it."""
    donor, mark = pair[1], pair[1].log_mark()
    holder = donor.connect()
    holder.query('BEGIN')
    holder.query('SELECT * FROM proof.load0 LIMIT 1')
    with Background(donor, 'ALTER TABLE proof.load0 ADD INDEX early (payload(300)), ALGORITHM=INPLACE, LOCK=SHARED') as ddl:
        with SlowClone(pair, clone_ddl_timeout=1) as around:
            assert ddl.running
            holder.query('ROLLBACK')
            assert ddl.result() == (0, '')
    holder.close()
    assert 'clone begins while DDL runs that began more than clone_ddl_timeout=1 s ago' in donor.log_text(mark)
    clone = around.started()
    assert clone.sql('CHECK TABLE proof.load0 EXTENDED')[0][3] == 'OK'
    query = 'SELECT SUM(1), SUM(CRC32(payload)) FROM proof.load0 FORCE INDEX (early)'
    assert clone.sql(query) == donor.sql(query)
    clone.stop()


def windows(donor, mark):
    """Milliseconds for which clones held DDL off, from the error log."""
    return sorted(int(ms) for ms in re.findall(r'clone held DDL off for (\d+) ms', donor.log_text(mark)))


def test_lock_window(box):
    """Two moments in each clone hold DDL off, and they are short when nothing was rebuilt."""
    donor = start_donor(box, megabytes=30)
    mark = donor.log_mark()
    with Writers(donor, box.path('record')):
        for n in range(3):
            donor.sql(local(f"{box.path('clones')}/c{n}"))
    found = windows(donor, mark)
    print(f'held DDL off for (ms): {found}')
    assert len(found) == 6
    assert found[len(found) // 2] < 1000  # on a machine that runs other tests, too


# ---- without performance_schema ---------------------------------------------

def test_performance_schema_off(box):
    """performance_schema=OFF on the donor, and on both."""
    donor = start_donor(box, megabytes=8, performance_schema='OFF')
    executed = donor.value('SELECT @@gtid_executed')
    recipients = [start_recipient(box, donor), start_recipient(box, donor, 'without', performance_schema='OFF')]
    for n, where in enumerate([donor, *recipients]):
        target = f"{box.path('clones')}/c{n}"
        assert where.error(local(target) if where is donor else instance(donor, target)) == (0, '')
        assert read_end(target)['gtid_executed'].replace('\n', '') == executed.replace('\n', '')
        clone = box.adopt(f'on-c{n}', target, plugin='ours').start()
        assert clone.value('SELECT @@gtid_executed') == executed
        assert clone.sql('CHECKSUM TABLE proof.load0') == donor.sql('CHECKSUM TABLE proof.load0')
        clone.stop()
