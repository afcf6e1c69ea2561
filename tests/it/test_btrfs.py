# SPDX-License-Identifier: GPL-2.0-only
"""The provider btrfs: a snapshot of the subvolume, made by the service, gone whatever happens."""
import contextlib
import fcntl
import os
import re
import shutil
import signal
import time

import pytest

from disks import disk, head, logged, on_disk, run, snapshots
from helpers import (INSTALL, Background, add_user, clone_under_load, copying, fast, instance, local,
                     slow, start_donor, start_recipient,
                     unharmed, wait_for)
from proof.load import load
from proof.prove import prepare_donor
from proof.writer import NOISE
from service import Reaping, Service
from template import give, server_user


@contextlib.contextmanager
def served():
    """(box, service, options of a donor that uses it) on btrfs."""
    with on_disk('btrfs') as box:
        service = Service(box)
        try:
            yield box, service, {'loose_clone_daemon_socket': service.path}
        finally:
            statuses = [s.end() for s in box.services if s.pid]
        assert not any(statuses) and not snapshots(box)


def subvolume(box, name):
    """A server's directory whose data directory becomes a subvolume of its own."""
    server = box.server(name)
    os.rename(server.datadir, server.datadir + '.plain')
    run('btrfs', 'subvolume', 'create', server.datadir)
    run('cp', '-a', server.datadir + '.plain/.', server.datadir)
    run('rm', '-r', server.datadir + '.plain')
    return server.datadir


@pytest.mark.parametrize('how', ['instance', 'local'])
def test_under_load(how):
    """The clone is the donor at E; it begins with the checkpoint in the snapshot. Local: BTRFS asks for a copy."""
    with served() as (box, _, options):
        donor = start_donor(box, megabytes=60, innodb_redo_log_capacity='64M', **options)
        recipient = start_recipient(box, donor)
        target = box.path('clones') + '/c'
        donor.sql('SET GLOBAL clone_provider = BTRFS')
        where, statement = (recipient, instance(donor, target)) if how == 'instance' else (donor, local(target))
        slow(where, 20)
        clone_under_load(box, donor, where, statement, target, tuple(NOISE))
        top = head(target)
        assert top['provider'] == 'btrfs'
        assert top['checkpoint_lsn'] <= top['image_lsn'] < top['end_lsn']
        assert top['swap_us'] > 0 and top['undo_us'] > 0
        assert not snapshots(box)


def subvolume_id(path):
    """Of the subvolume that it lies in; counted on each file system."""
    return run('btrfs', 'inspect-internal', 'rootid', path)


@pytest.mark.parametrize('where', ['subvolume', 'btrfs'])
def test_redo_elsewhere(where):
    """The redo log is not in the snapshot, also when its subvolume, on another btrfs, has the same id: recovery begins at the
    checkpoint before it."""
    with contextlib.ExitStack() as stack:
        other = stack.enter_context(disk('btrfs', 600)) if where == 'btrfs' else None
        box, service, options = stack.enter_context(served())
        elsewhere = (other or box.base) + '/redo'
        if other:
            os.mkdir(elsewhere)
            assert subvolume_id(elsewhere) == subvolume_id(box.base)
        else:
            run('btrfs', 'subvolume', 'create', elsewhere)
        donor = box.server('donor', plugin='ours', innodb_log_group_home_dir=elsewhere, **options)
        shutil.move(donor.datadir + '/#innodb_redo', elsewhere)
        give(elsewhere)
        donor.start().sql(INSTALL)
        add_user(donor)
        prepare_donor(donor)
        load(donor, 20, tables=2)
        recipient = start_recipient(box, donor)
        target = box.path('clones') + '/c'
        clone_under_load(box, donor, recipient, instance(donor, target), target, ())
        assert head(target)['provider'] == 'btrfs' and head(target)['image_lsn'] is None
        assert "the redo log is not in the data directory's subvolume" in service.read_log()


def test_a_subvolume_of_its_own():
    """The data directory is the root of a subvolume."""
    with served() as (box, _, options):
        datadir = subvolume(box, 'plain')
        donor = box.adopt('donor', datadir, plugin='ours', **options).start()
        donor.sql(INSTALL, 'SET GLOBAL clone_provider = BTRFS')
        target = box.path('clones') + '/c'
        assert donor.error(f"CLONE LOCAL DATA DIRECTORY = '{target}'") == (0, '')
        assert head(target)['provider'] == 'btrfs' and head(target)['image_lsn'] > 0


def test_directories_elsewhere():
    """Undo directory and data home are in the snapshot, in one subvolume; else it is not made, and why is said."""
    with served() as (box, service, options):
        undo, home = box.path('undo'), box.path('home')
        donor = box.server('donor', plugin='ours', innodb_undo_directory=undo, innodb_data_home_dir=home, **options)
        for name, where in (('undo_001', undo), ('undo_002', undo), ('ibdata1', home)):
            shutil.move(f'{donor.datadir}/{name}', where)
            give(where)
        donor.start().sql(INSTALL)
        add_user(donor)
        prepare_donor(donor)
        load(donor, 5, tables=2)
        recipient = start_recipient(box, donor)
        target = box.path('clones') + '/c'
        donor.sql('SET GLOBAL clone_provider = BTRFS')
        clone_under_load(box, donor, recipient, instance(donor, target), target, ('churn',), 0.2, 0.2)
        assert head(target)['provider'] == 'btrfs' and head(target)['image_lsn'] > 0
        run('btrfs', 'subvolume', 'create', undo + '/nested')
        code, message = recipient.error(instance(donor, target + '2'))
        assert code == 3862 and f'nested in {undo} is a subvolume' in message, message
        run('btrfs', 'subvolume', 'delete', undo + '/nested')
        donor.stop()
        os.rename(undo, undo + '.plain')
        run('btrfs', 'subvolume', 'create', undo)
        run('cp', '-a', undo + '.plain/.', undo)
        give(undo)
        donor.start()
        donor.sql('SET GLOBAL clone_provider = AUTO')
        assert recipient.error(instance(donor, target + '2')) == (0, '')
        assert head(target + '2')['provider'] == 'reflink'
        assert f"btrfs is not used: {undo} is not in the data directory's subvolume" in service.read_log()


def test_nested():
    """A subvolume in the data directory would be empty in the snapshot: named, and another provider."""
    with served() as (box, service, options):
        donor = start_donor(box, megabytes=5, **options)
        run('btrfs', 'subvolume', 'create', donor.datadir + '/nested')
        give(donor.datadir + '/nested')
        donor.sql('SET sql_log_bin = 0', 'CREATE TABLE proof.t (i INT)')
        recipient = start_recipient(box, donor)
        target = box.path('clones') + '/c'
        assert recipient.error(instance(donor, target)) == (0, '')
        assert head(target)['provider'] == 'reflink'
        why = 'nested in the data directory is a subvolume or file system of its own'
        assert f'provider btrfs is not used: {why}' in service.read_log()
        donor.sql('SET GLOBAL clone_provider = BTRFS')
        code, message = recipient.error(instance(donor, target + '2'))
        assert code == 3862 and 'clone_provider=BTRFS cannot be used: ' + why in message, message
        assert not os.path.exists(target + '2')


def test_killed():
    """A service that dies leaves its snapshot; the next start removes it, but not that of a service that lives."""
    with served() as (box, service, options):
        donor = start_donor(box, megabytes=20, **options)
        recipient = start_recipient(box, donor)
        slow(recipient, 2)
        target = box.path('clones') + '/c'
        with Background(recipient, instance(donor, target)) as clone:
            copying(recipient)
            assert len(snapshots(box)) == 1
            other = Service(box, name='other')
            assert other.end() == 0  # it reaps before it takes its first visitor, and SIGTERM
            assert len(snapshots(box)) == 1
            with Reaping.alone():  # else a daemon of another test that starts now may be the one
                service.process.kill()
                service.process.wait()
                assert len(snapshots(box)) == 1
                other = Service(box, name='other')
                assert not snapshots(box)  # before it took its first visitor
            assert clone.result()[0] == 3862
        unharmed(donor, donor.pid)
        assert other.end() == 0
        fast(recipient)


def test_lock_of_a_stranger():
    """Everybody may hold the lock of the top: the service starts, and clones take the next provider."""
    with served() as (box, service, options):
        donor = start_donor(box, megabytes=5, **options)
        recipient = start_recipient(box, donor)
        target = box.path('clones') + '/c'
        top = os.open(os.path.dirname(box.base), os.O_RDONLY)
        fcntl.flock(top, fcntl.LOCK_EX)
        try:
            assert recipient.error(instance(donor, target)) == (0, '')
            other = Service(box, name='other')
            assert other.end() == 0
        finally:
            os.close(top)
        assert head(target)['provider'] == 'reflink'
        assert 'cannot get the lock (flock) for snapshot' in service.read_log()
        assert 'cannot lock (flock) the top of the file system' in other.read_log()


@pytest.mark.parametrize('how', ['kill', 'terminate'])
def test_every_other_end(how):
    """KILL of the statement, SIGTERM of the service: nothing is left."""
    with served() as (box, service, options):
        donor = start_donor(box, megabytes=20, **options)
        recipient = start_recipient(box, donor)
        slow(recipient, 2)
        with Background(recipient, instance(donor, box.path('clones') + '/c')) as clone:
            copying(recipient)
            if how == 'kill':
                recipient.sql(f'KILL QUERY {clone.id}')
            else:
                service.process.send_signal(signal.SIGTERM)
            assert clone.result()[0] == (1317 if how == 'kill' else 3862)
        wait_for(lambda: not snapshots(box), what='the end of the snapshot')
        unharmed(donor, donor.pid)


def test_without_privilege():
    """A daemon that mysqld started makes no snapshots; it shares the files."""
    if server_user().pw_uid == 0:
        pytest.skip('mysqld runs as root here')
    with on_disk('btrfs') as box:
        donor = start_donor(box, megabytes=5)
        recipient = start_recipient(box, donor)
        target = box.path('clones') + '/c'
        assert recipient.error(instance(donor, target)) == (0, '')
        assert head(target)['provider'] == 'reflink'
        assert logged(donor, 'provider btrfs is not used: snapshots need CAP_SYS_ADMIN, which only the service has')


def test_stalls_are_told():
    """How long a write may have waited for snapshot and removal is in the log."""
    with served() as (box, service, options):
        donor = start_donor(box, megabytes=5, **options)
        recipient = start_recipient(box, donor)
        began = time.monotonic()
        assert recipient.error(instance(donor, box.path('clones') + '/c')) == (0, '')
        took = 1000 * (time.monotonic() - began)
        made = re.search(r'provider btrfs \(.*\): image made, a write of this server waited at most ([\d.]+) ms',
                         service.read_log())
        undone = re.search(r'provider btrfs: image given back, .* at most ([\d.]+) ms', service.read_log())
        assert 0 < float(made.group(1)) < took and 0 < float(undone.group(1)) < took
