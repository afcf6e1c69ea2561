# SPDX-License-Identifier: GPL-2.0-only
"""CLONE LOCAL on one file system that shares extents: no data moves, and the clone is the donor all the same."""
import json
import os
import re
import shutil
import subprocess

import pytest

from disks import disk, head, logged, on_disk
from helpers import clone_under_load, local, start_donor, unharmed
from proof.damage import flip_bit
from proof.writer import NOISE
from template import BUILD, give


def files_of(target):
    """Lines of files in a clone's manifest."""
    with open(os.path.join(target, '#clone', '#snapclone_manifest.jsonl'), encoding='utf-8') as f:
        return [line for line in map(json.loads, f) if 'kind' in line]


def verify(target):
    """(exit status, output) of snapclone verify."""
    done = subprocess.run([BUILD + '/snapclone', 'verify', target], stdout=subprocess.PIPE, text=True, check=False)
    return done.returncode, done.stdout


def shared_mib(path):
    """Of the extents of a file, those that it shares. Source: filefrag(8)."""
    out = subprocess.run(['filefrag', '-v', '-b4096', path], stdout=subprocess.PIPE, text=True, check=True).stdout
    return sum(int(m.group(1)) for m in re.finditer(r'^\s*\d+:.*?:\s+(\d+):.*shared', out, re.M)) * 4096 / 2**20


@pytest.mark.parametrize('kind', ['xfs', 'btrfs'])
def test_under_load(kind):
    """The full proof; the data is there once; the manifest says what has no digests."""
    with on_disk(kind) as box:
        donor = start_donor(box, megabytes=60, innodb_redo_log_capacity='64M')
        target = box.path('clones') + '/c'
        clone_under_load(box, donor, donor, local(target), target, tuple(NOISE))
        assert head(target)['provider'] == 'reflink' and head(target)['swap_us'] > 0
        assert all(f['shared'] and f['digested'] == 0 and f['xxh3_128'] == '' for f in files_of(target))
        assert logged(donor, 'files are shared with the target directory: pages are not read')
        assert not logged(donor, 'cannot be shared')
        unharmed(donor, donor.pid)


def test_the_data_is_there_once():
    """The clone's tables share their extents; verify checks their pages, and finds damage by these alone."""
    with on_disk('xfs') as box:
        donor = start_donor(box, megabytes=60)
        donor.sql('SET GLOBAL innodb_max_dirty_pages_pct = 0')
        target = box.path('clones') + '/c'
        assert donor.error(local(target)) == (0, '')
        assert shared_mib(target + '/proof/load0.ibd') > 20
        status, said = verify(target)
        assert status == 0 and re.search(r', 0 digests, \d+ files without digests \(shared, not copied\), \d{4,} pages',
                                         said), said
        donor.sql("UPDATE proof.load0 SET n = n + 1")
        assert verify(target)[0] == 0
        flip_bit(target, 'proof/load0.ibd')
        status, said = verify(target)
        assert status == 1 and re.search(r'proof/load0.ibd: page 5 .* is damaged', said), said
        assert donor.sql('CHECK TABLE proof.load0')[0][3] == 'OK'


def test_a_checked_copy():
    """LIVE copies and checks, and its manifest has digests."""
    with on_disk('xfs') as box:
        donor = start_donor(box, megabytes=5)
        donor.sql('SET GLOBAL clone_provider = LIVE')
        target = box.path('clones') + '/c'
        assert donor.error(local(target)) == (0, '')
        assert head(target)['provider'] == 'live'
        assert all('shared' not in f and f['digested'] for f in files_of(target))
        status, said = verify(target)
        assert status == 0 and 'without digests' not in said


def test_another_file_system():
    """Nothing to share with: the files are copied, from their reflink image."""
    with on_disk('xfs') as box, disk('xfs') as elsewhere:
        give(elsewhere)
        donor = start_donor(box, megabytes=20)
        target = elsewhere + '/c'
        clone_under_load(box, donor, donor, local(target), target, ())
        assert head(target)['provider'] == 'reflink'
        assert all('shared' not in f and f['digested'] for f in files_of(target))


def test_below_the_reserve():
    """A target that shares would take the donor's last space later: the files are copied, or there is no clone."""
    with on_disk('xfs', mib=1000) as box:
        donor = start_donor(box, megabytes=5)
        target = box.path('clones') + '/c'
        st = os.statvfs(box.base)
        with open(box.base + '/ballast', 'wb') as f:
            os.posix_fallocate(f.fileno(), 0, st.f_bavail * st.f_frsize - (60 << 20))
        code, message = donor.error(local(target))
        assert code == 3873 and 'the clone needs ' in message, (code, message)
        assert logged(donor, 'files are not shared with the target directory: ')
        assert not os.path.exists(target)
        os.unlink(box.base + '/ballast')
        assert donor.error(local(target)) == (0, '')
        shutil.rmtree(target)
