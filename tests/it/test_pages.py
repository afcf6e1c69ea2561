# SPDX-License-Identifier: GPL-2.0-only
"""Every kind of page in every page size: cloned, checked, and nothing taken unchecked; damage is named."""
import os
import re
import shutil
from types import SimpleNamespace

import pytest

import page_tables
from helpers import instance, local, need_ours, nothing_left, only_ours, start_donor, start_recipient, unharmed
from proof import checks_files

COUNTS = re.compile(r'copied \d+ files, \d+ MiB; (\d+) pages checked, (\d+) read again, (\d+) repaired from the '
                    r'doublewrite files, (\d+) taken unchecked')


def long_run(value):
    """A value of long runs only."""
    return pytest.param(value, marks=pytest.mark.long)


@pytest.fixture(autouse=True)
def built():
    """All tests need our build."""
    need_ours()
    only_ours()


def sound(target):
    """The clone's files are sound by MySQL's own tool, and their pages in their places."""
    case = SimpleNamespace(datadir=target)
    assert checks_files.innochecksum(case) == []
    assert checks_files.page_identity(case) == []


def proved(box, name, target, want, page_size, **options):
    """The clone starts and has the tables."""
    clone = box.adopt(name, target, plugin='ours', page_size=page_size, **options).start()
    assert page_tables.check(clone) == []
    assert page_tables.checksums(clone) == want
    assert '[ERROR]' not in clone.log_text()
    clone.stop()


def counts(donor, mark):
    """(checked, read again, repaired, unchecked) of each copy since the mark."""
    return [tuple(map(int, m)) for m in COUNTS.findall(donor.log_text(mark))]


@pytest.mark.parametrize('page_size', [4096, long_run(8192), 16384, long_run(32768), 65536])
def test_every_kind(box, page_size):
    """CLONE LOCAL and CLONE INSTANCE while tables of these kinds are written to."""
    donor = page_tables.make(start_donor(box, megabytes=0, page_size=page_size), page_size)
    recipient = start_recipient(box, donor, page_size=page_size)
    want, pid, mark = page_tables.checksums(donor), donor.pid, donor.log_mark()
    one, two = (box.path('clones') + f'/{n}' for n in 'ab')
    with page_tables.Changes(donor, page_size):
        donor.sql(local(one))
        recipient.sql(instance(donor, two))
    for target in (one, two):
        sound(target)
    # Both came through the same checks: one is started for each page size, both for the default.
    for target in (one, two) if page_size == 16384 else (two,):
        proved(box, 'on-' + os.path.basename(target), target, want, page_size)
    copies = counts(donor, mark)
    assert len(copies) == 2
    for checked, _, repaired, unchecked in copies:
        assert checked > 1000
        assert (repaired, unchecked) == (0, 0)
    unharmed(donor, pid)


@pytest.mark.parametrize('page_size', [4096, long_run(8192), long_run(65536)])
def test_every_encrypted_kind(box, page_size):
    """The same, encrypted: every page is decrypted and checked."""
    donor = start_donor(box, megabytes=0, page_size=page_size, keyring_file=True)
    page_tables.make_encrypted(donor, page_size)
    want, mark, target = page_tables.checksums(donor), donor.log_mark(), box.path('clones') + '/c'
    with page_tables.Changes(donor, page_size, encrypted=True):
        donor.sql(local(target))
    sound(target)
    proved(box, 'on-c', target, want, page_size, keyring_file=donor.keyring)
    (checked, _, repaired, unchecked), = counts(donor, mark)
    assert checked > 1000 and (repaired, unchecked) == (0, 0)


def test_system_tablespace_of_two_files(box):
    """Pages are numbered on through its files, and the second file has no page 0."""
    two = '--innodb-data-file-path=ibdata1:12M;ibdata2:12M:autoextend'
    donor = start_donor(box, megabytes=0, init_options=[two])
    page_tables.make(donor, 16384, ('sys', 'plain'))
    for _ in range(5):
        donor.sql('SET sql_log_bin = 0', f'USE {page_tables.SCHEMA}', 'INSERT INTO sys (v, b) SELECT v, b FROM sys')
    donor.restart('--innodb-fast-shutdown=0')
    with open(donor.datadir + '/ibdata2', 'rb') as f:
        assert int.from_bytes(f.read(16384)[4:8], 'big') == 768  # 12 MiB of pages before it
    want, mark, target = page_tables.checksums(donor), donor.log_mark(), box.path('clones') + '/c'
    donor.sql(local(target))
    assert [(repaired, unchecked) for _, _, repaired, unchecked in counts(donor, mark)] == [(0, 0)]
    proved(box, 'on-c', target, want, 16384, init_options=[two])


def pages_of(path, kind):
    """Numbers of the pages of that type in a file of 16K pages."""
    with open(path, 'rb') as f:
        data = f.read()
    return [at // 16384 for at in range(0, len(data), 16384) if data[at + 24:at + 26] == kind.to_bytes(2, 'big')]


def change(path, page, at, data):
    """Overwrite bytes of a page."""
    with open(path, 'r+b') as f:
        f.seek(page * 16384 + at)
        f.write(data)


def test_damage_is_named(box):
    """A flipped bit in a compressed page, and a whole page in another one's place: errors that say so."""
    donor = start_donor(box, megabytes=0)
    page_tables.make(donor, 16384, ('plain', 'zlib', 'lz4'))
    donor.restart('--innodb-fast-shutdown=0')  # nothing is left to be flushed over the damage
    pid, target = donor.pid, box.path('clones') + '/c'
    schema = os.path.join(donor.datadir, page_tables.SCHEMA)
    for name in ('zlib', 'lz4'):
        path = f'{schema}/{name}.ibd'
        page = pages_of(path, 14)[-1]
        shutil.copyfile(path, path + '.sound')
        with open(path, 'rb') as f:
            f.seek(page * 16384 + 46)  # among the first bytes of the compressed data
            change(path, page, 46, bytes([f.read(1)[0] ^ 1]))
        code, message = donor.error(local(target))
        assert code and f'page {page} of {page_tables.SCHEMA}/{name}.ibd is corrupted' in message, message
        nothing_left(box, target)
        shutil.copyfile(path + '.sound', path)
        os.unlink(path + '.sound')
    path = f'{schema}/plain.ibd'
    with open(path, 'rb') as f:
        f.seek(5 * 16384)
        fifth = f.read(16384)
        space = int.from_bytes(fifth[34:38], 'big')
        f.seek(6 * 16384)
        sixth = f.read(16384)
    change(path, 6, 0, fifth)
    code, message = donor.error(local(target))
    assert code and re.search(rf'page 6 of \S+plain.ibd .* is not that page but page 5 of tablespace {space}', message), message
    nothing_left(box, target)
    change(path, 6, 0, sixth)
    donor.sql(local(target))
    unharmed(donor, pid)
