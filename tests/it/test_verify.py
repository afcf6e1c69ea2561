# SPDX-License-Identifier: GPL-2.0-only
"""snapclone verify: a clone is what its manifest says, and what was damaged is named."""
import json
import os
import subprocess

import pytest

import page_tables
from helpers import OURS, instance, local, need_ours, only_ours, start_donor, start_recipient, unharmed
from inplace import in_place, is_clone, recipient_of
from proof.checks_files import SNAPCLONE, read_end
from sandbox import Sandbox

TABLES = ('plain', 'red', 'kbs4', 'zlib', 'lz4', 'gen', 'sys')  # zlib and lz4: files with holes
PLAIN = f'{page_tables.SCHEMA}/plain.ibd'
PAGE = 16384
MANIFEST = '#clone/#snapclone_manifest.jsonl'


@pytest.fixture(autouse=True)
def built():
    """All tests need our build."""
    need_ours()
    only_ours()


@pytest.fixture(scope='module')
def world():
    """A donor with pages of many kinds, for all tests."""
    with Sandbox() as box:
        donor = start_donor(box, megabytes=6)
        page_tables.make(donor, PAGE, TABLES)
        yield box, donor


def verify(datadir, *options):
    """(exit status, lines of both outputs)."""
    ran = subprocess.run([SNAPCLONE, 'verify', *options, datadir], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                         check=False, text=True)
    print(ran.stdout)
    return ran.returncode, ran.stdout.splitlines()


def sound(datadir, what):
    """Nothing differs; returns the last line."""
    status, lines = verify(datadir)
    assert (status, len(lines)) == (0, 1)
    assert lines[0].startswith(what) and lines[0].endswith(': 0 differences')
    return lines[0]


def flip(path, offset):
    """One bit of a file; again: as it was."""
    with open(path, 'r+b') as f:
        f.seek(offset)
        byte = f.read(1)[0]
        f.seek(offset)
        f.write(bytes([byte ^ 4]))


def manifest(datadir):
    """Its lines as dicts: head, files, tail."""
    with open(os.path.join(datadir, MANIFEST), encoding='utf-8') as f:
        lines = [json.loads(line) for line in f]
    return lines[0], lines[1:-1], lines[-1]


def damage_is_named(datadir, path=PLAIN, suffix=''):
    """A flipped bit, before the first start: chunk and page are named, and nothing else."""
    flip(os.path.join(datadir, path + suffix), 5 * PAGE + 3000)
    status, lines = verify(datadir, '--threads=1')
    assert status == 1
    assert lines[0].startswith(f'{path}: chunk 0 (bytes 0 to ')
    assert lines[1] == f'{path}: page 5 (bytes {5 * PAGE} to {6 * PAGE - 1}) is damaged'
    assert len(lines) == 3
    flip(os.path.join(datadir, path + suffix), 5 * PAGE + 3000)
    sound(datadir, 'before the first start: ')


def start_and_stop(box, name, datadir):
    """The server on the clone runs, changes something and ends."""
    clone = box.adopt(name, datadir, plugin=OURS).start()
    clone.sql('CREATE TABLE pg.later (i INT PRIMARY KEY)', 'INSERT INTO pg.later VALUES (1)', 'DROP TABLE pg.red',
              'UPDATE pg.plain SET v = REVERSE(v)')
    status, lines = verify(datadir)
    assert status == 2 and 'a server runs on this directory' in lines[0]
    clone.stop()
    sound(datadir, 'after the first start, pages only: ')
    flip(os.path.join(datadir, PLAIN), 3 * PAGE + 77)
    status, lines = verify(datadir)
    assert status == 1 and lines[:-1] == [f'{PLAIN}: page 3 (bytes {3 * PAGE} to {4 * PAGE - 1}) is damaged']


def test_local(world):
    """CLONE LOCAL: sound, damage is named, also of files; after a start pages only."""
    box, donor = world
    pid, target = donor.pid, box.path('clones') + '/local'
    donor.sql(local(target))
    line = sound(target, 'before the first start: ')
    assert 'redo log' in line and 'encrypted' not in line
    damage_is_named(target)
    os.rename(f'{target}/{PLAIN}', f'{target}/pg/other.ibd')
    status, lines = verify(target)
    assert status == 1 and set(lines[:-1]) == {f'{PLAIN} is missing', 'pg/other.ibd was not cloned, but is there'}
    os.rename(f'{target}/pg/other.ibd', f'{target}/{PLAIN}')
    start_and_stop(box, 'on-local', target)
    unharmed(donor, pid)


def test_instance(world):
    """CLONE INSTANCE over TLS: what the manifest tells is so."""
    box, donor = world
    recipient, target = start_recipient(box, donor, 'beside'), box.path('clones') + '/instance'
    recipient.sql(instance(donor, target, 'REQUIRE SSL'))
    sound(target, 'before the first start: ')
    damage_is_named(target)
    head, files, tail = manifest(target)
    end = read_end(target)
    for key in ('checkpoint_lsn', 'end_lsn', 'binlog_file', 'binlog_position', 'gtid_executed', 'gtid_flushed'):
        assert str(head[key]) == end[key]
    assert head['donor_uuid'] == donor.value('SELECT @@server_uuid')
    assert head['donor_version'] == 'MySQL ' + donor.value('SELECT VERSION()').split('-')[0]
    assert (head['provider'], head['image_lsn'], head['page_size']) == ('live', None, PAGE)
    assert head['streams'] >= 1 and head['wire_bytes'] > 2 << 20 and head['engine'] in ('uring', 'sync')
    assert tail['files'] == len(files)
    for entry in files:
        assert os.path.getsize(f"{target}/{entry['path']}") == entry['size']
        assert len(entry['xxh3_128']) == 32 * -(-entry['digested'] // (1 << 20))
    sparse = next(e for e in files if e['path'] == 'pg/zlib.ibd')
    assert sparse['stored'] < sparse['size']
    mode = os.stat(f'{target}/{MANIFEST}')
    assert (mode.st_mode & 0o777, mode.st_uid) == (0o640, os.stat(target).st_uid)
    recipient.stop()
    start_and_stop(box, 'on-instance', target)


def test_in_place(world):
    """In place: verified while it waits for the restart, and when the server has run on it."""
    box, donor = world
    recipient = recipient_of(box, donor)
    recipient.stop()
    recipient.start(supervised=False)
    assert recipient.error(in_place(donor))[0] == 3707
    assert recipient.wait_ended() == 0
    sound(recipient.datadir, 'before the first start: ')
    damage_is_named(recipient.datadir)
    damage_is_named(recipient.datadir, 'ibdata1', '.#clone')
    recipient.start()
    is_clone(recipient, donor)
    recipient.stop()
    sound(recipient.datadir, 'after the first start, pages only: ')
    assert manifest(recipient.datadir)[0]['donor_uuid'] == donor.value('SELECT @@server_uuid')


def test_what_cannot_be_verified(world):
    """Exit status 2: no clone, a damaged manifest, wrong usage."""
    box, donor = world
    target = box.path('clones') + '/bad'
    status, lines = verify(donor.datadir)
    assert status == 2 and 'there is no manifest' in lines[0]
    donor.sql(local(target))
    flip(f'{target}/{MANIFEST}', 4000)
    status, lines = verify(target)
    assert status == 2 and '#snapclone_manifest.jsonl: line ' in lines[0]
    assert verify(target + '/nowhere')[0] == 2
    assert verify(target, '--threads=0')[0] == 2
