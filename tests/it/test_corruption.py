# SPDX-License-Identifier: GPL-2.0-only
"""Damage on the donor's disk before the clone, of every kind in every kind of table: named, and nothing is cloned.

The tables' pages are not in the donor's memory, so what lies on its disk is what a clone sees. Damage in what is
copied is found by tests/unit/test_pages*.c; what doublewrite files repair, in all kinds of pages, is in test_dblwr.py.
"""
import os
import re
import shutil
import time

import pytest

from disks import head
from helpers import OURS, instance, local, need_ours, nothing_left, only_ours, start, start_donor, unharmed
from inplace import Unchanged, in_place, own_data, recipient_of
from proof import damage
from sandbox import Sandbox
from test_btrfs import served
from test_dblwr import candidates

PAGE = 16384
INDEX, COMPRESSED, ENCRYPTED = 17855, 14, 15
ROWS = ('INSERT INTO d.{} (v, b) WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < 800) '
        'SELECT SHA2(i, 256), REPEAT(SHA2(i + 7, 256), 6) FROM s')
# name -> (table options, page size, type of a page of rows on disk)
TABLES = {
    'plain': ('', PAGE, INDEX),
    'zip': ('ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE=8', PAGE // 2, INDEX),
    'packed': ("COMPRESSION='zlib'", PAGE, COMPRESSED),
    'secret': ("ENCRYPTION='Y'", PAGE, ENCRYPTED),
}


class File:
    """A tablespace of the donor, its pages, and another one of the same kind."""

    def __init__(self, donor, name):
        _, self.size, self.kind = TABLES[name]
        self.name, self.path = f'd/{name}.ibd', os.path.join(donor.datadir, 'd', name + '.ibd')
        self.other = os.path.join(donor.datadir, 'd', f'{name}2.ibd')
        with open(self.path, 'rb') as f:
            self.sound = f.read()
        with open(self.other, 'rb') as f:
            self.foreign = f.read()
        self.pages = [n for n in range(len(self.sound) // self.size) if self.page(n)[24:26] == self.kind.to_bytes(2, 'big')
                      and self.foreign[n * self.size + 24:n * self.size + 26] == self.kind.to_bytes(2, 'big')]
        self.a, self.b = self.pages[-1], self.pages[-2]

    def page(self, number, data=None):
        """Bytes of a page."""
        return (data or self.sound)[number * self.size:(number + 1) * self.size]

    def put(self, number, data):
        """Write a page's bytes."""
        damage.overwrite(self.path, number * self.size, data)

    def cut(self, size):
        """Make it shorter, some time ago: a file that was written a moment ago may be about to grow (IMPORT)."""
        os.truncate(self.path, size)
        os.utime(self.path, (time.time() - 3600,) * 2)

    def repair(self):
        """As it was."""
        with open(self.path, 'r+b') as f:
            f.write(self.sound)
            f.truncate(len(self.sound))

    def space(self, data):
        """Tablespace id."""
        return int.from_bytes(data[34:38], 'big')


def bit_flip(file):
    """One bit, where the page certainly has data."""
    page = bytearray(file.page(file.a))
    page[60] ^= 4
    file.put(file.a, page)
    return rf'page {file.a} of {file.name} is corrupted \(checksum mismatch'


def torn(file):
    """Only the begin of the page was written: the rest is another page's."""
    file.put(file.a, file.page(file.a)[:100] + file.page(file.b)[100:])
    return rf'page {file.a} of {file.name} is corrupted \(checksum mismatch'


def swapped(file):
    """Two pages of the file in each other's place."""
    file.put(file.a, file.page(file.b))
    file.put(file.b, file.page(file.a))
    first, second = sorted((file.a, file.b))
    return (rf'page {first} of {file.name} \(byte {first * file.size}\) is not that page but page {second} of tablespace '
            rf'{file.space(file.sound)}, expected tablespace {file.space(file.sound)}')


def foreign(file):
    """The page of that number of another tablespace. One that is encrypted cannot be decrypted here."""
    file.put(file.a, file.page(file.a, file.foreign))
    if file.kind == ENCRYPTED:
        return rf'page {file.a} of {file.name} is corrupted \(checksum mismatch'
    return rf'page {file.a} of {file.name} .*is not that page but page {file.a} of tablespace {file.space(file.foreign)}'


def first_page(file):
    """A bit of page 0, in what it does not say about the tablespace."""
    page = bytearray(file.page(0))
    page[200] ^= 4
    file.put(0, page)
    return rf'page 0 of {file.name} is corrupted \(checksum mismatch'


def truncated(file):
    """The last page is missing."""
    file.cut(len(file.sound) - file.size)
    return rf'{file.name} is truncated: it has {len(file.sound) - file.size} bytes, .* {len(file.sound) // file.size} pages'


def cut(file):
    """Half of the file is missing, and half a page."""
    file.cut(len(file.sound) // 2 + 1000)
    return rf'{file.name} is truncated: it has {len(file.sound) // 2 + 1000} bytes'


KINDS = [bit_flip, torn, swapped, foreign, first_page, truncated, cut]


class World:
    """Donor and recipient for all tests: each leaves both as they were."""

    def __init__(self, box):
        self.box = box
        self.donor = start_donor(box, megabytes=0, keyring_file=True)
        made = [f'CREATE TABLE d.{name}{n} (i INT AUTO_INCREMENT PRIMARY KEY, v VARCHAR(64), b TEXT) {options}'
                for name, (options, _, _) in TABLES.items() for n in ('', '2')]
        self.donor.sql('SET sql_log_bin = 0', 'CREATE SCHEMA d', *made,
                       *[ROWS.format(name + n) for name in TABLES for n in ('', '2')])
        self.donor.restart('--innodb-fast-shutdown=0')
        self.donor.restart()
        self.pid = self.donor.pid
        self.recipient = recipient_of(box, self.donor, keyring_file=True)
        own_data(self.recipient)
        self.files = {name: File(self.donor, name) for name in TABLES}

    def refused(self, how, text):
        """The clone fails with that text and leaves nothing."""
        if how == 'in place':
            with Unchanged(self.box, self.donor, self.recipient):
                code, message = self.recipient.error(in_place(self.donor))
        else:
            target = self.box.path('clones') + '/c'
            server = self.donor if how == 'local' else self.recipient
            code, message = server.error(local(target) if how == 'local' else instance(self.donor, target))
            if not code:
                shutil.rmtree(target)
            nothing_left(self.box, target)
        assert code == (1815 if how == 'local' else 3862), (code, message)
        assert re.search(text, message), (text, message)


@pytest.fixture(scope='module')
def world():
    """Servers, tables of each kind whose pages are on disk only."""
    need_ours()
    only_ours()
    with Sandbox() as box:
        w = World(box)
        yield w
        # Nothing was read by the server meanwhile, and all of it is as it was.
        for name in TABLES:
            for n in ('', '2'):
                assert w.donor.sql(f'CHECK TABLE d.{name}{n} EXTENDED')[-1][-1] == 'OK'
        unharmed(w.donor, w.pid)
        assert box.leftovers() == []


@pytest.mark.parametrize('kind', KINDS, ids=lambda f: f.__name__)
@pytest.mark.parametrize('name', TABLES)
def test_named(world, name, kind):
    """A clone of either way is refused, with the file and the page, and neither server minds."""
    file = world.files[name]
    text = kind(file)
    try:
        world.refused('local', text)
        world.refused('remote', text)
        if name in ('plain', 'secret'):
            world.refused('in place', text)
    finally:
        file.repair()


def test_sound(world):
    """The same clones without damage: nothing of the above was refused for another reason."""
    target = world.box.path('clones') + '/c'
    world.donor.sql(local(target))
    shutil.rmtree(target)
    world.recipient.sql(instance(world.donor, target))
    shutil.rmtree(target)


def test_damaged_while_it_was_down(box):
    """The same when the damage was there before mysqld started: it starts, as it does not read the page."""
    need_ours()
    only_ours()
    donor = start_donor(box, megabytes=0)
    donor.sql('SET sql_log_bin = 0', 'CREATE SCHEMA d', 'CREATE TABLE d.plain (i INT AUTO_INCREMENT PRIMARY KEY, v VARCHAR(64), b TEXT)',
              'CREATE TABLE d.plain2 LIKE d.plain', ROWS.format('plain'), ROWS.format('plain2'))
    donor.restart('--innodb-fast-shutdown=0')
    donor.stop()
    file, target = File(donor, 'plain'), box.path('clones') + '/c'
    text = bit_flip(file)
    donor.start()
    code, message = donor.error(local(target))
    assert code == 1815 and re.search(text, message), message
    nothing_left(box, target)


def test_a_stale_page_cannot_be_found(box):
    """An older version of a page is whole, in its place and not newer than E: neither a clone nor the server sees it.

    docs/limits.md says so. The rest of the table may tell, when its shape has changed: CHECK TABLE.
    """
    need_ours()
    only_ours()
    donor = start(box, 'donor', OURS)
    donor.sql('CREATE SCHEMA d', 'CREATE TABLE d.t (i INT PRIMARY KEY, v CHAR(40))',
              "INSERT INTO d.t WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < 900) SELECT i, 'old' FROM s")
    donor.restart('--innodb-fast-shutdown=0')
    old = os.path.join(box.path('old'), 't.ibd')
    shutil.copy(donor.datadir + '/d/t.ibd', old)
    donor.sql("UPDATE d.t SET v = 'new'")
    donor.restart('--innodb-fast-shutdown=0')
    donor.stop()
    damage.stale_page(donor.datadir, 'd/t.ibd', old)
    donor.start()
    target = box.path('clones') + '/c'
    donor.sql(local(target))
    clone = box.adopt('clone', target, plugin=OURS).start()
    for server in (donor, clone):
        assert server.value("SELECT COUNT(*) FROM d.t WHERE v = 'old'") > 0
        assert server.sql('CHECK TABLE d.t EXTENDED')[-1][-1] == 'OK'
    clone.stop()


def flushed(donor, *tables):
    """Their pages are written, and have copies in the doublewrite files, while the checkpoint stays where it is."""
    for name in tables:
        donor.sql(f'FLUSH TABLES {name} FOR EXPORT', 'UNLOCK TABLES')


def test_torn_pages_of_an_image_are_repaired():
    """In an atomic image a page may be torn, as after a crash: its copy in the doublewrite files is taken."""
    with served() as (box, service, options):
        # Nothing is flushed by itself, so what is dirty holds the checkpoint.
        donor = start_donor(box, megabytes=0, innodb_max_dirty_pages_pct=99, innodb_max_dirty_pages_pct_lwm=0,
                            innodb_idle_flush_pct=0, innodb_adaptive_flushing='OFF', **options)
        donor.sql('SET sql_log_bin = 0', 'CREATE SCHEMA pg', *[
            f'CREATE TABLE pg.{name} (i INT AUTO_INCREMENT PRIMARY KEY, v VARCHAR(64), b TEXT)' for name in ('held', 'torn')])
        donor.sql('SET sql_log_bin = 0', 'SELECT innodb_redo_log_sharp_checkpoint()')
        donor.sql('SET sql_log_bin = 0', *[ROWS.format(name).replace('d.', 'pg.') for name in ('held', 'torn')])
        want = donor.sql('CHECKSUM TABLE pg.torn')
        flushed(donor, 'pg.torn')
        limit = damage.checkpoint(donor.datadir)
        pages = sorted(page for ((path, _), page), lsn in candidates(donor.datadir).items()
                       if path == 'pg/torn.ibd' and lsn >= limit)
        assert len(pages) > 5
        path = donor.datadir + '/pg/torn.ibd'
        for page in pages:
            with open(path, 'rb') as f:
                f.seek(page * PAGE)
                whole = f.read(PAGE)
            damage.overwrite(path, page * PAGE, whole[:512] + bytes(PAGE - 512))
        target = box.path('clones') + '/c'
        donor.sql('SET GLOBAL clone_provider = BTRFS', local(target))
        assert head(target)['provider'] == 'btrfs'
        assert re.search(rf' {len(pages)} repaired from the doublewrite files, 0 taken unchecked', service.read_log())
        clone = box.adopt('clone', target, plugin=OURS).start()
        assert clone.sql('CHECK TABLE pg.torn EXTENDED')[-1][-1] == 'OK'
        assert clone.sql('CHECKSUM TABLE pg.torn') == want
        clone.stop()
