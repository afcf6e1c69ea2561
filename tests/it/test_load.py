# SPDX-License-Identifier: GPL-2.0-only
"""Proof under heavy load: at least 20 s of writing during the clone, redo recycled, every kind of noise."""
import pytest

from helpers import (OURS, clone_under_load, instance, local, need_ours, slow, start_donor, start_recipient, unharmed)
from proof.writer import NOISE

SECONDS = 20
# FLUSH STATUS, MyISAM, empty transactions, DROP TABLE IF EXISTS: GTIDs without an InnoDB commit. sysgrow: ibdata1 grows.
ALL = tuple(NOISE)
NO_GTID = tuple(n for n in NOISE if n != 'empty')


@pytest.fixture(autouse=True)
def built():
    """All tests need our build."""
    need_ours()


def redo_lsn(server):
    """Current LSN."""
    return int(server.value("SELECT variable_value FROM performance_schema.global_status "
                            "WHERE variable_name='Innodb_redo_log_current_lsn'"))


def long_clone(box, donor, where, statement, target, noise):
    """A clone slowed down so that writers write for at least SECONDS meanwhile; returns redo bytes written."""
    slow(where, 8 if OURS == 'ours' else 1)
    if where is not donor:
        slow(donor, 0)
    pid, lsn = donor.pid, redo_lsn(donor)
    case, took = clone_under_load(box, donor, where, statement, target, noise)
    written = redo_lsn(donor) - lsn
    print(f'clone took {took:.1f} s, donor wrote {written / 1e6:.0f} MB of redo, {len(case.acks)} statements')
    assert took >= SECONDS or OURS != 'ours'
    unharmed(donor, pid)
    return written


def test_small_redo_local(box):
    """64 MiB redo capacity, written more than once over during the clone: files are recycled under the follower."""
    donor = start_donor(box, megabytes=60, innodb_redo_log_capacity='64M')
    target = box.path('clones') + '/c'
    written = long_clone(box, donor, donor, local(target), target, ALL)
    assert written > 64 << 20


def test_noise_and_undo_tablespaces_instance(box):
    """CLONE INSTANCE, six undo tablespaces, every kind of noise, 64 MiB redo capacity."""
    donor = start_donor(box, megabytes=60, innodb_redo_log_capacity='64M')
    for n in range(4):
        donor.sql('SET sql_log_bin = 0', f"CREATE UNDO TABLESPACE undo_more{n} ADD DATAFILE 'more{n}.ibu'")
    donor.sql('SET GLOBAL innodb_rollback_segments = 16')
    recipient = start_recipient(box, donor)
    target = box.path('clones') + '/c'
    long_clone(box, donor, recipient, instance(donor, target), target, ALL)


@pytest.mark.long
def test_binlog_off_instance(box):
    """A donor without binary log: no GTIDs, the commits themselves are compared."""
    donor = start_donor(box, megabytes=60, skip_log_bin=None, innodb_redo_log_capacity='64M', gtid_mode='OFF',
                        enforce_gtid_consistency='OFF')
    recipient = start_recipient(box, donor)
    target = box.path('clones') + '/c'
    long_clone(box, donor, recipient, instance(donor, target), target, NO_GTID)
