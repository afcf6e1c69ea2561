# SPDX-License-Identifier: GPL-2.0-only
"""Redo that is lost while an image of one moment is copied: the clone ends with S, the LSN of the image."""
import contextlib
import os
import signal
import time

import pytest

from disks import head, on_disk, snapshots
from helpers import (OURS, Background, copying, fast, local, slow, start_donor, unharmed, wait_for)
from inplace import EndWatcher, in_place, recipient_of, status, tidy
from proof.prove import Case, failures, prove, prove_in_place, table
from proof.writer import NOISE, TABLES, Writers, now_us
from service import Service
from test_inplace_kill import HOOKS, need_hooks
from test_redo_deadline import Ddl
from test_redo_lost import AGAIN, CAPACITY, OtherConsumer, write_over

ENDS = 'the clone ends at the LSN of its image'


class World:
    """A donor on btrfs whose redo is overwritten soon, and the service that makes its images."""

    def __init__(self, box):
        self.box, self.service = box, Service(box)
        self.donor = start_donor(box, megabytes=12, innodb_redo_log_capacity=CAPACITY,
                                 loose_clone_daemon_socket=self.service.path, loose_clone_provider='BTRFS')
        self.donor.sql('SET sql_log_bin = 0', 'CREATE TABLE proof.held (i INT PRIMARY KEY)')
        slow(self.donor, 10)
        self.clones = 0

    def serve(self, **env):
        """Another service in the place of the first one, of the build with hooks."""
        need_hooks()
        assert self.service.end() == 0
        self.service = Service(self.box, build=HOOKS, **env)

    def begin(self):
        """Target and record of the next clone; the tables of the proof are empty. The log of the service from here on is
        this clone's."""
        self.clones += 1
        self.mark = len(self.service.read_log())
        names = [line.split()[5] for line in TABLES.split(';') if line.strip()]
        self.donor.sql('SET sql_log_bin = 0', f'DROP TABLE IF EXISTS proof.myisam, {", ".join(names)}')
        return self.box.path('clones') + f'/c{self.clones}', self.box.path(f'record{self.clones}')

    def log(self):
        """What the service said of this clone."""
        return self.service.read_log()[self.mark:]

    def lose(self, where):
        """The clone is in the middle of its copy; what redo its follower has not read is overwritten."""
        with OtherConsumer(self.donor):
            copying(where)
            os.kill(self.service.pid, signal.SIGSTOP)
            try:
                write_over(self.donor)
            finally:
                os.kill(self.service.pid, signal.SIGCONT)


@pytest.fixture(scope='module')
def world():
    """One for all: each test leaves the donor running."""
    with on_disk('btrfs', mib=6144) as box:
        it = World(box)
        try:
            yield it
        finally:
            ended = it.service.end()
        assert ended == 0 and not snapshots(box)


def ended_at_image(world, datadir):
    """Log and manifest say so; the sentence about it."""
    top = head(datadir)
    assert top['end_lsn'] == top['image_lsn'] >= top['checkpoint_lsn']
    assert (top['provider'], top['binlog_file'], top['binlog_position']) == ('btrfs', '', 0)
    assert top['redo_lost'].startswith(f"The clone ends at the LSN of its image, {top['end_lsn']}")
    assert world.log().count(ENDS) == 1 and AGAIN not in world.log()
    return top['redo_lost']


def test_in_place(world):
    """The recipient is a prefix of the donor's commits, its GTIDs are those of its rows, and it replicates from there."""
    donor, pid = world.donor, world.donor.pid
    recipient = recipient_of(world.box, donor, loose_clone_daemon_socket=world.service.path)
    slow(recipient, 10)
    _, record = world.begin()
    before, began, mark = donor.value('SELECT @@gtid_executed'), now_us(), recipient.log_mark()
    with Writers(donor, record, noise=tuple(NOISE)), EndWatcher(recipient) as watcher:
        runs = len(recipient.statuses())
        with Background(recipient, in_place(donor)) as clone:
            world.lose(recipient)
            assert clone.result(150)[0] in (0, 2006, 2013)
        recipient.wait_restarted(runs)
    tidy(recipient)
    said = ended_at_image(world, recipient.datadir)
    assert status(recipient)['ERROR_MESSAGE'] == said == watcher.end['redo_lost']
    case = Case(donor, recipient.datadir, record, world.box, OURS, began, before, watcher.end)
    results = prove_in_place(case, recipient, mark)
    print(table(results))
    assert failures(results) == []
    unharmed(donor, pid)


@pytest.mark.long
def test_redo_of_the_image(world):
    """The follower has not come to S: it goes on in the image. clone_status of the donor says what it did."""
    donor = world.donor
    world.serve(SNAPCLONE_LOSE_REDO='image')
    target, record = world.begin()
    before, began = donor.value('SELECT @@gtid_executed'), now_us()
    with Writers(donor, record, noise=tuple(NOISE)):
        time.sleep(0.3)
        assert donor.error(local(target)) == (0, '')
    assert 'following the redo of the image from LSN' in world.log()
    said = ended_at_image(world, target)
    row = donor.sql('SELECT state, error_no, error_message, binlog_file, binlog_position, gtid_executed '
                    'FROM performance_schema.clone_status')[0]
    assert tuple(row) == ('Completed', 0, said, '', 0, '')
    results = prove(Case(donor, target, record, world.box, OURS, began, before))
    print(table(results))
    assert failures(results) == []


def begins_anew(world, target, why):
    """The log says so, and why; the clone does not end with S."""
    assert world.log().count(f'{AGAIN} ({why}') == 1 and ENDS not in world.log()
    top = head(target)
    assert top['image_lsn'] is None and 'redo_lost' not in top and top['binlog_file']


@pytest.mark.long
def test_ddl_while_the_image_was_made(world):
    """What such DDL logged and InnoDB did not would be run again by a replica: the clone begins anew."""
    world.serve(SNAPCLONE_LOSE_REDO='image')
    slow(world.donor, 20)
    target, _ = world.begin()
    world.donor.sql('SET GLOBAL clone_ddl_timeout = 1')
    with contextlib.ExitStack() as stack:
        ddl = Ddl(world.donor, await_seal=False)
        stack.enter_context(ddl)
        clone = stack.enter_context(Background(world.donor, local(target)))
        wait_for(lambda: 'image made' in world.log(), what='the image')
        ddl.end()
        assert clone.result() == (0, '')
    begins_anew(world, target, 'DDL ran while the image was made')


def test_after_files_were_copied_again(world):
    """They are newer than S: the clone begins anew."""
    world.serve(SNAPCLONE_LOSE_REDO='pass')
    target, _ = world.begin()
    slow(world.donor, 4)
    with Background(world.donor, local(target)) as clone:
        copying(world.donor)
        for n in (0, 1):  # more than is copied under the lock
            world.donor.sql('SET sql_log_bin = 0', f'ALTER TABLE proof.load{n} ENGINE=InnoDB',
                            f'CREATE TABLE proof.more{n} AS SELECT * FROM proof.load{n}')
        assert clone.running
        fast(world.donor)
        assert clone.result() == (0, '')
    begins_anew(world, target, 'files that DDL changed since the image have been copied again')
