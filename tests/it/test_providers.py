# SPDX-License-Identifier: GPL-2.0-only
"""Who makes the image: the choice, and clone_provider."""
import os
import re
import shutil
import signal
import time

import pytest

from disks import disk, head, logged, on_disk, run
from helpers import (OURS, Background, clone_under_load, copying, daemons, instance, local, slow, start_donor,
                     start_recipient, unharmed, wait_for)
from leftovers import descriptors
from proof.load import load
from proof.writer import NOISE
from template import give

pytestmark = pytest.mark.skipif(OURS != 'ours', reason='about our engine only')

PAIR_MEGABYTES = 5


@pytest.fixture
def shared(pair):
    """The pair; afterwards the variable as it was, and no clone."""
    yield pair
    pair[1].sql('SET GLOBAL clone_provider = DEFAULT')
    shutil.rmtree(pair[0].path('clones') + '/c', ignore_errors=True)


def test_values(shared):
    """The names, the default, and nothing else."""
    donor = shared[1]
    donor.sql('SET GLOBAL clone_provider = DEFAULT')
    assert donor.value('SELECT @@clone_provider') == 'AUTO'
    for name in ('DM', 'btrfs', 'Reflink', 'LIVE', 'AUTO'):
        donor.sql(f'SET GLOBAL clone_provider = {name}')
        assert donor.value('SELECT @@clone_provider') == name.upper()
    assert donor.error('SET GLOBAL clone_provider = LVM')[0] == 1231


@pytest.mark.parametrize('how', ['local', 'instance'])
def test_live_is_forced(shared, how):
    """LIVE always can; log and manifest say who it was."""
    box, donor, recipient = shared
    target = box.path('clones') + '/c'
    donor.sql('SET GLOBAL clone_provider = LIVE')
    where, statement = (donor, local(target)) if how == 'local' else (recipient, instance(donor, target))
    assert where.error(statement) == (0, '')
    assert head(target)['provider'] == 'live'
    assert head(target)['image_lsn'] is None
    assert 'provider live (clone_provider asks for it)' in donor.log_text()


@pytest.mark.parametrize('how', ['local', 'instance'])
def test_refusal_is_the_error(shared, how):
    """What is forced and cannot be done fails the clone, with the reason; nothing is left."""
    box, donor, recipient = shared
    target = box.path('clones') + '/c'
    donor.sql('SET GLOBAL clone_provider = DM')
    where, statement = (donor, local(target)) if how == 'local' else (recipient, instance(donor, target))
    code, message = where.error(statement)
    assert code == (3869 if how == 'local' else 3862), message
    assert 'clone_provider=DM cannot be used: ' in message
    assert not os.path.exists(target)


# ---- what the data directory stands on --------------------------------------

@pytest.mark.parametrize('kind', ['xfs', 'btrfs'])
def test_reflink_under_load(kind):
    """The files are shared, copied from there, and the clone is the donor at E."""
    with on_disk(kind) as box:
        donor = start_donor(box, megabytes=60, innodb_redo_log_capacity='64M')
        recipient = start_recipient(box, donor)
        target = box.path('clones') + '/c'
        slow(recipient, 20)
        clone_under_load(box, donor, recipient, instance(donor, target), target, tuple(NOISE))
        assert head(target)['provider'] == 'reflink'
        assert head(target)['image_lsn'] is None and head(target)['swap_us'] > 0
        assert logged(donor, '; the longest slice took ') and logged(donor, '; 0 files were read while the server ran')
        assert not logged(donor, 'cannot be shared')


def test_nodatacow():
    """A data directory without copy-on-write (chattr +C), and files with it among the others."""
    with on_disk('btrfs') as box:
        os.mkdir(box.base + '/donor')
        run('chattr', '+C', box.base)
        donor = start_donor(box, megabytes=0)
        run('chattr', '+C', donor.datadir)
        donor.sql('SET sql_log_bin = 0')
        load(donor, 10, tables=2)
        assert 'C' in run('lsattr', '-d', donor.datadir).split()[0]
        recipient = start_recipient(box, donor)
        target = box.path('clones') + '/c'
        clone_under_load(box, donor, recipient, instance(donor, target), target, ())
        assert head(target)['provider'] == 'reflink'
        assert not logged(donor, 'cannot be shared')


def test_too_few_descriptors():
    """More files than descriptors: the rest is read while the server runs, as the log says; forced, it is refused."""
    with on_disk('xfs') as box:
        few = box.path('few') + '/snapcloned'
        with open(few, 'w', encoding='ascii') as f:
            f.write(f'#!/bin/sh\nulimit -n 300\nexec {box.our_plugin()[1]} "$@"\n')
        os.chmod(few, 0o755)
        donor = start_donor(box, megabytes=5, loose_clone_daemon_path=few)
        donor.sql('SET sql_log_bin = 0',
                  'CREATE TABLE proof.many (i INT) PARTITION BY HASH (i) PARTITIONS 300')
        recipient = start_recipient(box, donor)
        target = box.path('clones') + '/c'
        assert recipient.error(instance(donor, target)) == (0, '')
        assert logged(donor, 'cannot be shared, and is read while the server runs, as are others')
        count = int(re.search(r'; (\d+) files were read while the server ran', donor.log_text()).group(1))
        assert 75 <= count <= 320, count
        shutil.rmtree(target)
        donor.sql('SET GLOBAL clone_provider = REFLINK')
        code, message = recipient.error(instance(donor, target))
        assert code == 3862 and 'cannot read ' in message and 'Too many open files' in message, message
        assert logged(donor, 'cannot be shared: too few descriptors; HINT: raise LimitNOFILE')
        assert not os.path.exists(target)


def test_file_system_cannot():
    """ext4 shares nothing: AUTO reads the running files and says why; REFLINK is refused."""
    with on_disk('ext4') as box:
        donor = start_donor(box, megabytes=5)
        target = box.path('clones') + '/c'
        assert donor.error(local(target)) == (0, '')
        assert head(target)['provider'] == 'live'
        assert logged(donor, "provider reflink is not used: the data directory's file system cannot share extents")
        shutil.rmtree(target)
        donor.sql('SET GLOBAL clone_provider = REFLINK')
        code, message = donor.error(local(target))
        assert code == 3869 and 'cannot share extents of files' in message, message
        assert not os.path.exists(target)


def test_killed():
    """SIGKILL of the daemon while a reflink image lives: it has no name, and goes with the daemon."""
    with on_disk('xfs') as box:
        donor = start_donor(box, megabytes=40)
        recipient = start_recipient(box, donor)
        slow(recipient, 2)
        with Background(recipient, instance(donor, box.path('clones') + '/c')) as clone:
            copying(recipient)
            helper, = daemons(donor)
            assert len([link for link in descriptors(helper) if ' (deleted)' in link]) >= 8
            os.kill(helper, signal.SIGKILL)
            assert clone.result()[0] == 3862
        unharmed(donor, donor.pid)
        assert donor.sql('CHECK TABLE proof.load0')[0][3] == 'OK'


def free_mib(path):
    """Free space there."""
    st = os.statvfs(path)
    return st.f_bavail * st.f_frsize >> 20


def stored_mib(path):
    """Space that files below path take, shared or not."""
    return sum(os.lstat(os.path.join(at, name)).st_blocks for at, _, names in os.walk(path) for name in names) >> 11


def overwrite(donor, first):
    """Change pages of 4 MB in place, with little undo and redo."""
    for table in ('load0', 'load1'):
        donor.sql(f'UPDATE proof.{table} SET n = n + 1 WHERE id BETWEEN {first} AND {first + 1999}')


@pytest.mark.parametrize('kind', ['xfs', 'btrfs'])
def test_nearly_full(kind):
    """What the donor overwrites while the image lives takes new blocks: at the reserve the image is given up and the
    clone fails; the donor commits on, and the space is free again (on btrfs an extent stays while part of it is used)."""
    with on_disk(kind, mib=2000) as box:
        donor = start_donor(box, megabytes=240, skip_log_bin=None, gtid_mode='OFF', enforce_gtid_consistency='OFF',
                            innodb_redo_log_capacity='64M')
        recipient = start_recipient(box, donor, skip_log_bin=None)
        reserve = 64 + 20
        run('sync', '-f', box.base)
        with open(box.base + '/ballast', 'wb') as f:
            os.posix_fallocate(f.fileno(), 0, (free_mib(box.base) - reserve - 100) << 20)
        donor.sql('SET GLOBAL clone_provider = REFLINK', 'SET GLOBAL innodb_max_dirty_pages_pct = 0')
        slow(donor, 2)
        slow(recipient, 2)
        together = free_mib(box.base) + stored_mib(box.base)
        with disk('xfs', mib=3000) as elsewhere, Background(recipient, instance(donor, elsewhere + '/c')) as clone:
            give(elsewhere)
            wait_for(lambda: not clone.running or logged(donor, 'provider reflink ('), what='the image')
            first, until = 0, time.monotonic() + 60
            while clone.running and time.monotonic() < until:
                overwrite(donor, first % 110000)
                first += 2000
            code, message = clone.result()
            assert (code, 'image of the donor' in message) == (3862, True), (code, message)
            assert re.search(r'Clone Donor Error: 3873 : .*less than the reserve of \d+ MiB', message), message
            assert not os.path.exists(elsewhere + '/c')
        overwrite(donor, 0)
        if kind == 'xfs':
            wait_for(lambda: free_mib(box.base) + stored_mib(box.base) > together - 10, what='space of the image')
        assert not logged(donor, 'No space left') and not logged(donor, 'is full')
        unharmed(donor, donor.pid)
