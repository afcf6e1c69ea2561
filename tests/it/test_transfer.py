# SPDX-License-Identifier: GPL-2.0-only
"""What travels and how fast: bandwidth limits, compression, holes and zeroes, the donor's page cache."""
import ctypes
import mmap
import os
import time

import pytest

from disks import disk
from helpers import (Background, copying, daemons, instance, local, need_ours, only_ours, start_donor, start_recipient,
                     unharmed, wait_for)
from template import give

MIB = 1 << 20


@pytest.fixture(autouse=True)
def built():
    """All tests need our build, and are about what stock does not promise."""
    need_ours()
    only_ours()


def counted(recipient):
    """(data, network) bytes of FILE COPY so far."""
    row = recipient.sql("SELECT data, network FROM performance_schema.clone_progress WHERE stage='FILE COPY'")[0]
    return tuple(int(n or 0) for n in row)


def limited_rate(recipient, column, seconds=5):
    """MiB/s of FILE COPY for so many seconds from when the count moves next: never more than there were."""
    was = counted(recipient)[column]
    wait_for(lambda: counted(recipient)[column] != was, what='progress')
    began = time.monotonic()
    first = counted(recipient)[column]
    time.sleep(seconds)
    return (counted(recipient)[column] - first) / (time.monotonic() - began) / MIB


def check_same(box, donor, target, name='clone'):
    """The clone starts and its tables are the donor's."""
    clone = box.adopt(name, target).start()
    tables = ', '.join(f'`{r[0]}`.`{r[1]}`' for r in donor.sql(
        "SELECT table_schema, table_name FROM information_schema.tables WHERE table_schema = 'proof'"))
    assert clone.sql(f'CHECKSUM TABLE {tables}') == donor.sql(f'CHECKSUM TABLE {tables}')
    clone.stop()


@pytest.mark.parametrize('variable, column', [('clone_max_data_bandwidth', 0), ('clone_max_network_bandwidth', 1)])
def test_bandwidth_limits(box, variable, column):
    """Within a tenth of the limit, measured for 5 s in the middle of the copy; a machine that stalls may be slower now and
    then, never faster."""
    limit, rates = 4, []
    donor = start_donor(box, megabytes=60)
    recipient = start_recipient(box, donor)
    recipient.sql(f'SET GLOBAL {variable} = {limit}')
    with Background(recipient, instance(donor, box.path('clones') + '/c')) as clone:
        copying(recipient)
        time.sleep(0.5)
        while not rates or (rates[-1] < 0.9 * limit and len(rates) < 4):
            rates.append(limited_rate(recipient, column))
            assert clone.running, f'the copy was too short to be measured: {rates}'
        print(f'{rates} MiB/s of {limit}')
        assert 0.9 * limit <= max(rates) <= 1.1 * limit
        recipient.sql(f'KILL QUERY {clone.id}')
        assert clone.result()[0] == 1317
    wait_for(lambda: not daemons(donor) and not daemons(recipient), what='the end of both daemons')


def fill_text(donor, table, rows=20000, options=''):
    """Rows that shrink to a few per cent."""
    donor.sql('SET sql_log_bin = 0', f'CREATE TABLE proof.{table} (id INT PRIMARY KEY, t TEXT) {options}',
              'SET SESSION cte_max_recursion_depth = 1000000',
              f'INSERT INTO proof.{table} WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {rows})'
              " SELECT n, REPEAT(CONCAT('row ', n, ' '), 200) FROM s",
              'SET GLOBAL innodb_max_dirty_pages_pct = 0')
    wait_for(lambda: donor.value("SELECT variable_value FROM performance_schema.global_status "
                                 "WHERE variable_name = 'Innodb_buffer_pool_pages_dirty'") == '0', 90, 'clean pages')


def test_compression(box):
    """clone_enable_compression: text shrinks; what does not shrink is sent as it is; the data is the same."""
    donor = start_donor(box, megabytes=5)
    fill_text(donor, 'words')
    recipient = start_recipient(box, donor)
    sent = {}
    for setting in ('OFF', 'ON'):
        target = f"{box.path('clones')}/{setting}"
        recipient.sql(f'SET GLOBAL clone_enable_compression = {setting}', instance(donor, target))
        data, sent[setting] = counted(recipient)
        print(f'{setting}: {data} bytes, {sent[setting]} on the wire')
    assert sent['ON'] < 0.7 * sent['OFF']
    check_same(box, donor, box.path('clones') + '/ON')


def test_empty_space_costs_little(box):
    """A table of 1 GiB with one row in it: nearly nothing is read or sent, and the clone has the same size."""
    donor = start_donor(box, megabytes=2)
    donor.sql('SET sql_log_bin = 0', "CREATE TABLE proof.empty (id INT PRIMARY KEY) AUTOEXTEND_SIZE = 1G",
              'INSERT INTO proof.empty VALUES (1)')
    recipient = start_recipient(box, donor)
    target = box.path('clones') + '/c'
    began = time.monotonic()
    recipient.sql(instance(donor, target))
    took = time.monotonic() - began
    data, network = counted(recipient)
    print(f'{took:.1f} s, {data} bytes, {network} on the wire')
    assert data > 1 << 30
    assert network < 200 * MIB
    size = os.stat(f'{donor.datadir}/proof/empty.ibd').st_size
    assert os.stat(f'{target}/proof/empty.ibd').st_size == size >= 1 << 30
    check_same(box, donor, target)


def stored(path):
    """Bytes on disk."""
    return os.stat(path).st_blocks * 512


def test_holes_are_kept(box):
    """Transparent page compression lives from holes: locally and remotely the clone has those of the donor."""
    donor = start_donor(box, megabytes=2)
    fill_text(donor, 'squeezed', options="COMPRESSION = 'zlib'")
    path = 'proof/squeezed.ibd'
    here = f'{donor.datadir}/{path}'
    assert stored(here) < 0.6 * os.stat(here).st_size
    recipient = start_recipient(box, donor)
    clones = box.path('clones')
    donor.sql(local(clones + '/l'))
    recipient.sql(instance(donor, clones + '/r'))
    for name in ('l', 'r'):
        there = f'{clones}/{name}/{path}'
        print(f'{name}: {stored(there)} of {stored(here)} bytes on disk')
        assert os.stat(there).st_size == os.stat(here).st_size
        assert stored(there) <= 1.05 * stored(here) + MIB
        check_same(box, donor, f'{clones}/{name}', 'on-' + name)


LIBC = ctypes.CDLL(None, use_errno=True)


def cached(path):
    """Pages of the file that are in the page cache."""
    length = os.stat(path).st_size
    pages = (ctypes.c_ubyte * ((length + 4095) // 4096))()
    LIBC.mmap.restype = ctypes.c_void_p
    with open(path, 'rb') as f:
        at = ctypes.c_void_p(LIBC.mmap(None, ctypes.c_size_t(length), mmap.PROT_READ, mmap.MAP_SHARED, f.fileno(),
                                       ctypes.c_long(0)))
        assert LIBC.mincore(at, ctypes.c_size_t(length), pages) == 0
        LIBC.munmap(at, ctypes.c_size_t(length))
    return sum(page & 1 for page in pages)


@pytest.mark.parametrize('method', ['fsync', 'O_DIRECT'])
def test_page_cache_of_the_donor(box, method):
    """A clone neither fills the donor's page cache nor takes away what is in it."""
    donor = start_donor(box, megabytes=20, innodb_flush_method=method)
    fill_text(donor, 'cold')
    fill_text(donor, 'hot')
    cold, hot = (f'{donor.datadir}/proof/{name}.ibd' for name in ('cold', 'hot'))
    for path in (cold, hot):
        with open(path, 'rb') as f:
            os.fsync(f.fileno())
            os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    with open(hot, 'rb') as f:
        while f.read(MIB):
            pass
    before = cached(cold), cached(hot)
    assert before[0] < 0.1 * before[1]
    donor.sql(local(box.path('clones') + '/c'))
    after = cached(cold), cached(hot)
    print(f'{method}: cold {before[0]} -> {after[0]}, hot {before[1]} -> {after[1]} pages')
    assert after[0] <= before[0] + 16
    if method == 'fsync':
        assert after[1] >= 0.9 * before[1]
    unharmed(donor, donor.pid)
    check_same(box, donor, box.path('clones') + '/c')


@pytest.mark.parametrize('mkfs', ['xfs', 'ext4'])
def test_sectors_of_4k(box, mkfs):
    """Cloned onto a disk with sectors of 4 KiB, and from there back; files whose length is odd among them."""
    donor = start_donor(box, megabytes=5)
    donor.sql('SET sql_log_bin = 0', 'CREATE TABLE proof.small (id INT PRIMARY KEY, t VARCHAR(99)) KEY_BLOCK_SIZE=4',
              "INSERT INTO proof.small VALUES (1, 'a'), (2, 'b')", 'SET GLOBAL innodb_buffer_pool_dump_now = ON')
    wait_for(lambda: os.path.exists(f'{donor.datadir}/ib_buffer_pool'), what='ib_buffer_pool')
    back = box.path('clones') + '/back'
    with disk(mkfs, 600, sector=4096) as there:
        give(there)
        donor.sql(local(there + '/c'))
        middle = box.adopt('middle', there + '/c').start()
        middle.sql(local(back))
        middle.stop()
    assert os.stat(back + '/ib_buffer_pool').st_size % 512 != 0
    check_same(box, donor, back)
