# SPDX-License-Identifier: GPL-2.0-only
"""snapclone check and cleanup."""
import os
import subprocess

import pytest

from disks import disk, on_disk, run, snapshots
from helpers import Background, copying, instance, slow, start_donor, start_recipient
from service import Reaping, Service
from template import BUILD, server_user


def snapclone(*args, user=None):
    """(exit status, standard output, standard error)."""
    done = subprocess.run([BUILD + '/snapclone', *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          check=False, timeout=30, user=user)
    return done.returncode, done.stdout, done.stderr


def answers(said):
    """{provider: (yes or no, why)} and the last line."""
    lines = said.splitlines()
    table = {line.split()[0]: tuple(line.split(None, 2)[1:]) for line in lines[1:5]}
    return table, lines[5]


@pytest.fixture(name='datadir')
def fixture_datadir(box):
    """A data directory without a server."""
    return box.server('donor').datadir


@pytest.mark.parametrize('kind, want', [('xfs', 'reflink'), ('btrfs', 'btrfs'), ('ext4', 'live')])
def test_choice(kind, want):
    """Root's choice by file system, and why not the others; what CLONE LOCAL would do."""
    with on_disk(kind) as box, disk('xfs') as elsewhere:
        datadir = box.server('donor').datadir
        files = sorted(os.listdir(datadir))
        status, said, _ = snapclone('check', '--config=/dev/null', '--target=' + box.path('clones'), datadir)
        table, chosen = answers(said)
        assert (status, chosen) == (0, 'provider: ' + want)
        assert said.startswith('as root, like the service:\n')
        assert list(table) == ['dm', 'btrfs', 'reflink', 'live']
        assert table['dm'][0] == 'no' and table['live'][0] == 'yes'
        assert table['btrfs'] == (('yes', 'the data directory is on btrfs') if kind == 'btrfs'
                                  else ('no', 'the data directory is not on btrfs'))
        assert table['reflink'][0] == ('no' if kind == 'ext4' else 'yes')
        assert (' would share extents: ' if kind != 'ext4' else ' would copy: ') in said.splitlines()[-1]
        said = snapclone('check', '--config=/dev/null', '--target=' + elsewhere, datadir)[1]
        assert said.splitlines()[-1].startswith(f'CLONE LOCAL to {elsewhere} would copy: ')
        assert sorted(os.listdir(datadir)) == files and not snapshots(box)


def test_asked_for(datadir):
    """--provider: status 1 when it cannot, 2 when there is none of that name."""
    assert snapclone('check', '--provider=LIVE', datadir)[0] == 0
    status, said, _ = snapclone('check', '--provider=btrfs', datadir)
    assert status == 1 and said.endswith('provider: none, clone_provider=btrfs would fail\n')
    status, _, err = snapclone('check', '--provider=lvm', datadir)
    assert status == 2 and 'there is no provider lvm' in err


def test_reserve(tmp_path):
    """The configuration counts."""
    with on_disk('xfs') as box:
        conf = tmp_path / 'conf'
        conf.write_text('image_reserve = 1000000\n')
        status, said, _ = snapclone('check', f'--config={conf}', box.server('donor').datadir)
        table, chosen = answers(said)
        assert status == 0 and chosen == 'provider: live'
        assert 'less than the reserve of 1000000 MiB (option image_reserve)' in table['reflink'][1]


def test_as_another_user():
    """As mysqld's user: what a daemon started by it can."""
    if server_user().pw_uid == 0:
        pytest.skip('mysqld runs as root here')
    with on_disk('btrfs') as box:
        user = server_user().pw_uid
        status, said, _ = snapclone('check', '--config=/dev/null', box.server('donor').datadir, user=user)
        table, chosen = answers(said)
        assert status == 0 and chosen == 'provider: reflink'
        assert said.startswith(f'as {server_user().pw_name}, like a daemon that mysqld of that user starts:\n')
        assert table['btrfs'] == ('no', 'snapshots need CAP_SYS_ADMIN, which only the service has')
        status, _, err = snapclone('cleanup', user=user)
        assert status == 1 and 'only root' in err


def test_directories_elsewhere():
    """Doublewrite files outside rule a snapshot out; the redo directory must be there."""
    with on_disk('btrfs') as box:
        datadir, other = box.server('donor').datadir, box.path('other')
        said = snapclone('check', '--config=/dev/null', '--doublewrite-dir=' + other, datadir)[1]
        assert answers(said)[0]['btrfs'] == ('no', 'innodb_doublewrite_dir lies outside the data directory')
        run('mkdir', datadir + '/#dblwr')
        said = snapclone('check', '--config=/dev/null', f'--doublewrite-dir={datadir}/#dblwr', datadir)[1]
        assert answers(said)[1] == 'provider: btrfs'
        with disk('ext4', mib=512) as elsewhere:
            said = snapclone('check', '--config=/dev/null', f'--external-dir={other}', f'--external-dir={elsewhere}', datadir)[1]
            assert answers(said)[0]['btrfs'] == ('no', f"{elsewhere} is not in the data directory's subvolume")
        status, said, err = snapclone('check', '--redo-dir=' + other, datadir)
        assert status == 2 and '#innodb_redo: No such file' in err


@pytest.mark.parametrize('args', [['check'], ['check', '/a', '/b'], ['check', '--provider='], ['check', '/nonexistent'],
                                  ['cleanup', 'x']])
def test_usage(args):
    """Status 2, and something on standard error."""
    status, said, err = snapclone(*args)
    assert status == 2 and err and not said


def test_cleanup():
    """Removes the snapshot of a service that was killed, not that of one that lives."""
    with on_disk('btrfs') as box:
        service = Service(box)
        donor = start_donor(box, megabytes=20, loose_clone_daemon_socket=service.path)
        recipient = start_recipient(box, donor)
        slow(recipient, 2)
        with Background(recipient, instance(donor, box.path('clones') + '/c')) as clone:
            copying(recipient)
            with Reaping.alone():
                assert snapclone('cleanup')[:2] == (0, '0 images removed\n')
                assert len(snapshots(box)) == 1 and clone.running
                service.process.kill()
                service.process.wait()
                assert snapclone('cleanup')[:2] == (0, '1 image removed\n')
            assert clone.result()[0] == 3862
        assert not snapshots(box)
        os.unlink(service.path)
