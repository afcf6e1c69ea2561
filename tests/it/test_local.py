# SPDX-License-Identifier: GPL-2.0-only
"""CLONE LOCAL: right under load, for each page size, for odd tables."""
import time

import pytest

from helpers import (OURS, clone_under_load, local, need_ours, nothing_left, only_ours, start_donor, unharmed,
                     wait_for)
from leftovers import stray_files
from proof.checks_files import read_end

NOISE = ('churn', 'blobs', 'load')
ODD_TABLES = [
    'CREATE SCHEMA `odd schema`',
    'CREATE TABLE `odd schema`.`tä-ble #1` (i INT PRIMARY KEY, t TEXT)',
    'CREATE TABLE `odd schema`.parts (i INT PRIMARY KEY) PARTITION BY HASH (i) PARTITIONS 5',
    'CREATE TABLESPACE gen ADD DATAFILE \'gen.ibd\'',
    'CREATE TABLE `odd schema`.g1 (i INT PRIMARY KEY, t TEXT) TABLESPACE gen',
    'CREATE TABLE `odd schema`.ft (i INT PRIMARY KEY, t TEXT, FULLTEXT (t))',
    'CREATE TABLE `odd schema`.red (i INT PRIMARY KEY, t TEXT) ROW_FORMAT=REDUNDANT',
    'CREATE TABLE `odd schema`.geo (i INT PRIMARY KEY, g POINT NOT NULL SRID 0, SPATIAL INDEX (g))',
    'CREATE VIEW `odd schema`.v AS SELECT 1', 'CREATE SCHEMA `empty`',
    'INSERT INTO `odd schema`.`tä-ble #1` VALUES (1, REPEAT("x", 60000)), (2, "y")',
    'INSERT INTO `odd schema`.parts VALUES (1), (2), (3), (4), (5), (6)',
    'INSERT INTO `odd schema`.g1 VALUES (1, REPEAT("z", 60000))',
    'INSERT INTO `odd schema`.ft VALUES (1, "some words to find")',
    'INSERT INTO `odd schema`.red VALUES (1, REPEAT("r", 9000))',
    'INSERT INTO `odd schema`.geo VALUES (1, POINT(1, 2))',
]
COMPRESSED = [
    'CREATE TABLE `odd schema`.zip (i INT PRIMARY KEY, t TEXT) ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE=4',
    'INSERT INTO `odd schema`.zip VALUES (1, REPEAT("zip", 20000)), (2, REPEAT("x", 100))',
]
PAGE_COMPRESSED = [
    "CREATE TABLE `odd schema`.pc (i INT PRIMARY KEY, t TEXT) COMPRESSION='zlib'",
    'INSERT INTO `odd schema`.pc VALUES (1, REPEAT("pc", 20000)), (2, REPEAT("x", 100))',
]


@pytest.fixture(autouse=True)
def built():
    """All tests need our build."""
    need_ours()


def test_local_under_load(box):
    """20 MB and writers; the clone has everything, the donor nothing new, and clones again."""
    donor = start_donor(box)
    pid, target = donor.pid, box.path('clones') + '/c'
    case, _ = clone_under_load(box, donor, donor, local(target), target, NOISE)
    if OURS == 'ours':
        assert case.status['BINLOG_FILE'].startswith('binlog.')
        assert case.status['SOURCE'] == 'LOCAL INSTANCE'
    unharmed(donor, pid)
    donor.sql(local(target + '2'))
    assert stray_files(target + '2') == []
    unharmed(donor, pid)


@pytest.mark.parametrize('page_size', [4096, 16384, 65536])
def test_page_sizes_and_odd_tables(box, page_size):
    """4K, 16K and 64K pages; general tablespace, partitions, fulltext, spatial, compressed, odd names."""
    donor = start_donor(box, megabytes=6, page_size=page_size)
    donor.sql(*ODD_TABLES, *(COMPRESSED if page_size <= 16384 else []),
              *(PAGE_COMPRESSED if page_size > 4096 else []))
    target = box.path('clones') + '/c'
    clone_under_load(box, donor, donor, local(target), target, ('churn',), before_s=0.3, after_s=0.3,
                     page_size=page_size)


def test_block_ddl(box):
    """clone_block_ddl=ON works too, and DDL is possible again afterwards."""
    donor = start_donor(box, megabytes=6)
    pid, target = donor.pid, box.path('clones') + '/c'
    donor.sql('SET GLOBAL clone_block_ddl = ON')
    clone_under_load(box, donor, donor, local(target), target, ('churn',), before_s=0.2, after_s=0.2)
    unharmed(donor, pid)


def test_idle_donor(box):
    """Nothing happens meanwhile: E is the donor's LSN, and the end mark is whole."""
    donor = start_donor(box, megabytes=0)
    executed, target = donor.value('SELECT @@gtid_executed'), box.path('clones') + '/c'
    donor.sql(local(target))
    assert donor.value('SELECT @@gtid_executed') == executed
    clone = box.adopt('on-c', target, plugin=OURS).start()
    assert clone.value('SELECT @@gtid_executed') == executed
    assert clone.value('SELECT @@server_uuid') != donor.value('SELECT @@server_uuid')
    clone.stop()


def hold_ddl(donor):
    """An ALTER TABLE that waits behind a transaction: (connection to roll back, connection of the DDL)."""
    donor.sql('CREATE TABLE proof.held (i INT)')
    holder, ddl = donor.connect(), donor.connect()
    holder.query('BEGIN')
    holder.query('INSERT INTO proof.held VALUES (1)')
    ddl.query('SET lock_wait_timeout = 60')
    ddl._execute_command(3, b'ALTER TABLE proof.held ADD COLUMN j INT')
    wait_for(lambda: donor.value("SELECT COUNT(*) FROM information_schema.processlist "
                                 "WHERE state = 'Waiting for table metadata lock'"), 60, 'DDL that waits')
    return holder, ddl


def end_ddl(holder, ddl):
    """Let the DDL of hold_ddl() run to its end."""
    holder.query('ROLLBACK')
    ddl._read_query_result()
    holder.close()
    ddl.close()


def test_block_ddl_timeout(box):
    """With clone_block_ddl=ON DDL that runs longer than clone_ddl_timeout is an error; nothing is left."""
    only_ours()
    donor = start_donor(box, megabytes=6)
    pid, target = donor.pid, box.path('clones') + '/c'
    donor.sql('SET GLOBAL clone_ddl_timeout = 1', 'SET GLOBAL clone_block_ddl = ON')
    held = hold_ddl(donor)
    code, message = donor.error(local(target))
    end_ddl(*held)
    assert code in (1205, 3633), message
    nothing_left(box, target)
    unharmed(donor, pid)
    donor.sql(local(target))
    assert read_end(target)


def test_waits_for_ddl(box):
    """DDL that goes on for longer than clone_ddl_timeout: the clone begins nevertheless, and ends when that ends."""
    donor = start_donor(box, megabytes=6)
    target = box.path('clones') + '/c'
    donor.sql('SET GLOBAL clone_ddl_timeout = 1')
    held = hold_ddl(donor)
    clone = donor.connect()
    clone._execute_command(3, local(target).encode())
    time.sleep(5)
    assert donor.value("SELECT STATE FROM performance_schema.clone_status") == 'In Progress'
    end_ddl(*held)
    clone._read_query_result()
    clone.close()
    assert read_end(target)