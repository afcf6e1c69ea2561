# SPDX-License-Identifier: GPL-2.0-only
"""A clone never holds the donor's commits: not when its daemon stands still, not when its seal waits for a lock or its
keyring hangs, and DDL does not wait for a daemon that is silent under the lock."""
import contextlib
import itertools
import os
import shutil
import threading
import time

import pytest

from helpers import (Background, copying, daemons, local, need_ours, nothing_left, only_ours, slow, start_donor,
                     unharmed, wait_for)
from proof.writer import Writers
from sandbox import Sandbox
from test_inplace_kill import HOOKS, need_hooks
from test_redo_lost import CAPACITY, OtherConsumer, stopped, write_over

# Of a commit, beside what the disk adds. The deadline is 200 ms, and a busy machine adds its own; a consumer that stays
# holds commits until the daemon goes on.
LONGEST_S = 1.5
TRIES = 3  # of which one must be without a stall of the disk that is worse than those before
ALTERS = "SELECT COUNT(*) FROM information_schema.processlist WHERE state = 'Waiting for table metadata lock'"
WAITS = "SELECT COUNT(*) FROM information_schema.processlist WHERE state = 'Waiting for backup lock'"


class Commits:
    """Small commits, one after the other; how long the longest took, the present one included."""

    def __init__(self, donor):
        donor.sql('SET sql_log_bin = 0', 'CREATE TABLE IF NOT EXISTS proof.tick (i INT PRIMARY KEY, n INT)',
                  'REPLACE INTO proof.tick VALUES (1, 0)')
        self.conn = donor.connect(autocommit=True)
        self.past, self.began, self.count = 0.0, time.monotonic(), 0
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        """Until told to stop."""
        with self.conn.cursor() as cur:
            while not self.stopping.wait(0.001):
                self.began = time.monotonic()
                cur.execute('UPDATE proof.tick SET n = n + 1')
                self.past = self.longest()
                self.count += 1
                self.began = 0

    def longest(self):
        """In seconds."""
        began = self.began
        return max(self.past, time.monotonic() - began if began else 0)

    def forget(self):
        """What was so far."""
        self.past = 0.0

    def calm_s(self, donor):
        """What the longest may take in a clone: some more than without one."""
        self.forget()
        write_over(donor)
        found = LONGEST_S + 2 * self.longest()
        print(f'no commit may take more than {found:.1f} s')
        return found

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_exc):
        self.stopping.set()
        self.thread.join()
        self.conn.close()
        print(f'{self.count} commits, the longest {1000 * self.past:.0f} ms')


@contextlib.contextmanager
def loaded(box, **options):
    """A donor whose redo is overwritten soon, and commits."""
    donor = start_donor(box, megabytes=12, innodb_redo_log_capacity=CAPACITY, **options)
    donor.sql('SET sql_log_bin = 0', 'CREATE TABLE proof.held (i INT PRIMARY KEY)')
    with Writers(donor, box.path('record'), threads=1, noise=('churn', 'load')), Commits(donor) as commits:
        yield donor, commits


@contextlib.contextmanager
def cloned(box, donor, commits):
    """A clone in the middle of its copy."""
    target = box.path('clones') + '/c'
    slow(donor, 8)
    with Background(donor, local(target)) as clone:
        copying(donor)
        commits.forget()
        yield clone, target


class Ddl:
    """An ALTER TABLE that waits for a transaction, and holds the backup lock meanwhile, which a seal waits for.

    await_seal: until one does; else until the statement waits.
    """

    def __init__(self, donor, await_seal=True):
        self.donor, self.reader = donor, donor.connect()
        self.query, self.what = (WAITS, 'a seal that waits') if await_seal else (ALTERS, 'DDL that waits')
        with self.reader.cursor() as cur:
            cur.execute('BEGIN')
            cur.execute('SELECT * FROM proof.held')
        self.alter = Background(donor, 'ALTER TABLE proof.held FORCE, ALGORITHM=COPY')

    def __enter__(self):
        self.alter.__enter__()
        wait_for(lambda: self.donor.value(self.query), 60, self.what)
        return self

    def end(self):
        """The transaction ends; so must the statement."""
        self.reader.close()
        assert self.alter.result() == (0, '')

    def __exit__(self, *exc):
        if self.reader.open:
            self.reader.close()
        self.alter.__exit__(*exc)


@pytest.fixture(autouse=True)
def built():
    """All tests need our build."""
    need_ours()
    only_ours()


def test_daemon_stands_still(box):
    """In the middle of the copy, with redo filling: commits go on. They would not with a consumer that stays."""
    with loaded(box) as (donor, commits):
        limit, longest = commits.calm_s(donor), []
        while not longest or (longest[-1] >= limit and len(longest) < TRIES):
            with cloned(box, donor, commits) as (clone, target):
                with stopped(donor):
                    write_over(donor)
                longest.append(commits.longest())
                assert donor.log_text().count('clone goes on without holding redo files') == len(longest)
                donor.sql(f'KILL QUERY {clone.id}')
                assert clone.result()[0] == 1317
            nothing_left(box, target)
        print(f'with a daemon that stood still the longest commits took {longest} s')
        assert commits.count and longest[-1] < limit
        other = OtherConsumer(donor)
        assert other.value('SELECT innodb_redo_log_consumer_register()') == 0
        commits.forget()
        wait_for(lambda: commits.longest() > limit, 60 + limit, 'a commit that is held')
        other.conn.close()


@pytest.mark.long
def test_seal_waits_for_ddl(box):
    """DDL holds the lock that the seal wants, while redo is overwritten; the clone succeeds when it has ended. A global
    read lock, which holds commits itself, does not stand in the way either."""
    with loaded(box) as (donor, commits):
        limit, longest = commits.calm_s(donor), []
        while not longest or (longest[-1] >= limit and len(longest) < TRIES):
            with cloned(box, donor, commits) as (clone, target):
                with Ddl(donor) as ddl:
                    write_over(donor)
                    assert clone.running and ddl.alter.running
                    longest.append(commits.longest())
                    holder = donor.connect()
                    with holder.cursor() as cur:
                        ddl.end()
                        cur.execute('FLUSH TABLES WITH READ LOCK')
                    time.sleep(0.5)
                    holder.close()
                assert clone.result() == (0, '')
            assert 'clone goes on without holding redo files' not in donor.log_text()
            shutil.rmtree(target)
        assert commits.count and longest[-1] < limit, longest


def test_daemon_silent_under_the_lock():
    """DDL waits for it as long as the plugin has patience, then the clone fails; the server goes on."""
    need_hooks()
    with Sandbox(build=HOOKS) as box:
        box.env['SNAPCLONE_SILENT_MS'] = '10000'
        with loaded(box) as (donor, commits):
            pid, number = donor.pid, itertools.count()
            limit, longest = commits.calm_s(donor), []
            while not longest or (longest[-1] >= limit and len(longest) < TRIES):
                with cloned(box, donor, commits) as (clone, target), Ddl(donor) as ddl:
                    with stopped(donor):
                        ddl.end()
                        # The plugin has the lock then, and its daemon says nothing.
                        wait_for(lambda: donor.error('SET lock_wait_timeout = 1',
                                                     f'CREATE TABLE proof.m{next(number)} (i INT)')[0] == 1205,
                                 30, 'DDL that waits')
                        assert donor.error('SET lock_wait_timeout = 60',
                                           f'CREATE TABLE proof.m{next(number)} (i INT)') == (0, '')
                        code, message = clone.result()
                    assert code == 1815 and 'the daemon was silent for 10 s while DDL was held off' in message, message
                longest.append(commits.longest())
                nothing_left(box, target)
            assert longest[-1] < limit, longest
            wait_for(lambda: not daemons(donor), what='the end of the daemon')
            unharmed(donor, pid)
        assert box.leftovers() == []


def test_keyring_hangs():
    """The donor's keyring answers after 20 s: commits go on meanwhile, and the clone can be killed."""
    need_hooks()
    with Sandbox(build=HOOKS) as box:
        box.env['SNAPCLONE_KEYRING_MS'] = '20000'
        target = box.path('clones') + '/c'
        with loaded(box, keyring_file=True, default_table_encryption='ON') as (donor, commits):
            pid, limit = donor.pid, commits.calm_s(donor)
            commits.forget()
            with Background(donor, local(target)) as clone:
                wait_for(lambda: 'clone goes on without holding redo files' in donor.log_text(), 15,
                         'a consumer that gives up')
                time.sleep(3)  # what is left of the redo log is full then, if it did not
                print(f'with a keyring that hung the longest commit took {1000 * commits.longest():.0f} ms')
                assert clone.running and commits.longest() < limit
                donor.sql(f'KILL QUERY {clone.id}')
                assert clone.result()[0] == 1317
            unharmed(donor, pid)
        nothing_left(box, target)
        assert box.leftovers() == []


# ---- a clone that has failed ----------------------------------------------------------------------------------------


def test_killed_under_the_lock(box):
    """The lock is held, and the daemon does not end by itself: DDL goes on at once, before it was ended."""
    donor = start_donor(box, megabytes=12)
    pid, target = donor.pid, box.path('clones') + '/c'
    donor.sql('SET GLOBAL clone_block_ddl = ON')
    slow(donor, 4)
    with Background(donor, local(target)) as clone:
        copying(donor)
        with stopped(donor):
            assert donor.error('SET lock_wait_timeout = 1', 'DROP TABLE IF EXISTS proof.m')[0] == 1205
            donor.sql(f'KILL QUERY {clone.id}')
            began = time.monotonic()
            donor.sql('SET lock_wait_timeout = 30', 'SET sql_log_bin = 0', 'DROP TABLE IF EXISTS proof.m')
            took = time.monotonic() - began
        assert clone.result()[0] == 1317
    print(f'DDL waited for {took:.2f} s')
    assert took < 4  # the daemon is killed after 6 s
    nothing_left(box, target)
    unharmed(donor, pid)


def test_failed_before_the_daemon_has_a_job(box):
    """Nobody waits for the end of a job that never began."""
    donor = start_donor(box, megabytes=0)
    gone, target = box.path('gone'), box.path('clones') + '/c'
    donor.sql(f"SET GLOBAL innodb_tmpdir = '{gone}'")
    os.rmdir(gone)
    took = []
    while not took or (took[-1] > 3 and len(took) < 3):  # it flushes: the disk may take its time
        began = time.monotonic()
        code, message = donor.error(local(target))
        took.append(time.monotonic() - began)
        assert code and f'cannot open the temporary directory {gone}' in message, (code, message)
    print(f'the clone failed after {took} s')
    assert took[-1] < 3
    nothing_left(box, target)
