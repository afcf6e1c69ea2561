# SPDX-License-Identifier: GPL-2.0-only
"""Redo that is lost while an image of one moment is copied: the clone ends with S, the LSN of the image."""
import contextlib
import os
import signal

import pytest

from disks import head, on_disk, snapshots
from helpers import (OURS, Background, copying, fast, instance, local, slow, start_donor, start_recipient, unharmed,
                     wait_for)
from inplace import EndWatcher, in_place, own_data, recipient_of
from proof.prove import Case, failures, prove, prove_in_place, table
from proof.writer import NOISE, TABLES, Writers, now_us
from service import Service
from test_redo_lost import AGAIN, CAPACITY, OtherConsumer, write_over

ENDS = 'the clone ends at the LSN of its image'


class World:
    """A donor on btrfs whose redo is overwritten soon, and the service that makes its images."""

    def __init__(self, box):
        self.box, self.service = box, Service(box)
        self.options = {'loose_clone_daemon_socket': self.service.path}
        self.donor = start_donor(box, megabytes=30, innodb_redo_log_capacity=CAPACITY, **self.options)
        self.donor.sql("SET GLOBAL clone_provider = 'BTRFS'")
        self.clones = 0

    def begin(self):
        """Target and record of the next clone; the tables of the proof are empty."""
        self.clones += 1
        names = [line.split()[5] for line in TABLES.split(';') if line.strip()]
        self.donor.sql('SET sql_log_bin = 0', f'DROP TABLE IF EXISTS proof.myisam, {", ".join(names)}')
        return self.box.path('clones') + f'/c{self.clones}', self.box.path(f'record{self.clones}')

    @contextlib.contextmanager
    def stopped(self):
        """The service stands still."""
        os.kill(self.service.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.service.pid, signal.SIGCONT)

    def lose(self, where):
        """The clone is in the middle of its copy; what redo its follower has not read is overwritten."""
        with OtherConsumer(self.donor):
            copying(where)
            with self.stopped():
                write_over(self.donor)
        fast(where)


@pytest.fixture(scope='module')
def world():
    """One for all: each test leaves the donor running."""
    with on_disk('btrfs', mib=6144) as box:
        it = World(box)
        try:
            yield it
        finally:
            status = it.service.end()
        assert status == 0 and not snapshots(box)


def ended_at_image(world, target, mark):
    """Log, manifest and end mark say so."""
    top, log = head(target), world.service.read_log()[mark:]
    assert top['end_lsn'] == top['image_lsn'] >= top['checkpoint_lsn']
    assert (top['provider'], top['binlog_file'], top['binlog_position']) == ('btrfs', '', 0)
    assert top['redo_lost'].startswith(f"The clone ends at the LSN of its image, {top['end_lsn']}")
    assert log.count(ENDS) == 1 and AGAIN not in log
    return top


@pytest.mark.parametrize('how', ['local', 'instance'])
def test_data_directory(world, how):
    """The clone is a prefix of the donor's commits, its GTIDs are those of its rows, and it replicates from there."""
    donor, box, log = world.donor, world.box, len(world.service.read_log())
    target, record = world.begin()
    where = donor if how == 'local' else start_recipient(box, donor)
    slow(where, 10)
    before, began, pid = donor.value('SELECT @@gtid_executed'), now_us(), donor.pid
    with Writers(donor, record, noise=tuple(NOISE)):
        with Background(where, local(target) if how == 'local' else instance(donor, target)) as clone:
            world.lose(where)
            assert clone.result(150) == (0, '')
    top = ended_at_image(world, target, log)
    row = where.sql('SELECT state, error_no, error_message, binlog_file, binlog_position, gtid_executed '
                    'FROM performance_schema.clone_status')[0]
    assert tuple(row) == ('Completed', 0, top['redo_lost'], '', 0, '')
    results = prove(Case(donor, target, record, box, OURS, began, before), f'on-{how}')
    print(table(results))
    assert failures(results) == []
    unharmed(donor, pid)
