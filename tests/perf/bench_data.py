# SPDX-License-Identifier: GPL-2.0-only
"""Data directories for the benchmarks: made once, kept, keyed by what is in them.

A row has what rows of real tables have: numbers, dates, an enumeration, an e-mail address, a JSON document
(names repeat, values do not) and random bytes. zstd takes such pages to a bit more than half their size.
"""
import os
import shutil
import threading

from sandbox import Sandbox
from template import version

FORMAT = 1  # raise it when the data changes: directories of other formats are not used
LOADERS = 2
BATCH = 10000  # rows per INSERT
DEFINITION = (
    'id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, customer INT UNSIGNED NOT NULL, created DATETIME NOT NULL, '
    "state ENUM ('new', 'paid', 'sent', 'done') NOT NULL, amount DECIMAL(10, 2) NOT NULL, "
    'email VARCHAR(80) NOT NULL, doc TEXT CHARACTER SET latin1 NOT NULL, noise VARBINARY(400) NOT NULL, '
    'KEY (created), KEY (customer)')
ROWS = (
    'INSERT INTO {table} (customer, created, state, amount, email, doc, noise) '
    'WITH RECURSIVE s (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < {rows}) '
    "SELECT RAND() * 1000000, '2020-01-01' + INTERVAL {first} + i SECOND, 1 + FLOOR(RAND() * 4), RAND() * 10000, "
    "CONCAT(LOWER(HEX(RANDOM_BYTES(5))), '@example.com'), "
    "CONCAT('{{\"order\": ', {first} + i, ', \"article\": \"', HEX(RANDOM_BYTES(8)), "
    "'\", \"description\": \"the customer has asked for a delivery on a working day\", \"warehouse\": \"', "
    "ELT(1 + FLOOR(RAND() * 3), 'north', 'south', 'west'), '\", \"checksum\": \"', HEX(RANDOM_BYTES(40)), "
    "'\", \"price\": ', ROUND(RAND() * 1000, 2), '}}'), RANDOM_BYTES(260) FROM s")
SMALL = 'id INT PRIMARY KEY, name VARCHAR(100), KEY (name)'
SERVER = {'innodb_buffer_pool_size': '1G', 'innodb_redo_log_capacity': '1G', 'innodb_flush_log_at_trx_commit': 0,
          'innodb_doublewrite': 'OFF', 'cte_max_recursion_depth': BATCH + 1, 'innodb_adaptive_hash_index': 'OFF'}


def fill(server, table, size):
    """Make one table and fill it until its file has that many bytes."""
    conn = server.connect()
    path = os.path.join(server.datadir, 'bench', table + '.ibd')
    with conn.cursor() as cur:
        cur.execute('SET sql_log_bin = 0')
        cur.execute('USE bench')
        cur.execute(f'CREATE TABLE {table} ({DEFINITION})')
        first = 0
        while os.path.getsize(path) < size:
            cur.execute(ROWS.format(table=table, rows=BATCH, first=first))
            first += BATCH
    conn.close()


def small_tables(server, first, last):
    """Make tables s<first> .. s<last - 1> of a few rows."""
    conn = server.connect()
    with conn.cursor() as cur:
        cur.execute('SET sql_log_bin = 0')
        cur.execute('USE bench')
        for n in range(first, last):
            cur.execute(f'CREATE TABLE s{n} ({SMALL})')
            cur.execute(f'INSERT INTO s{n} VALUES (1, SHA2({n}, 256)), (2, HEX(RANDOM_BYTES(40)))')
    conn.close()


def side_by_side(work):
    """Run the (function, *arguments) in threads; raises what one of them raised."""
    failures = []

    def run(function, *args):
        try:
            function(*args)
        except Exception as e:  # pylint: disable=broad-except
            failures.append(e)

    threads = [threading.Thread(target=run, args=w) for w in work]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if failures:
        raise failures[0]


def make(path, megabytes, small):
    """A new data directory with that much data in a few tables, and that many small tables."""
    with Sandbox(path + '.box') as box:
        server = box.server('maker', **SERVER).start()
        server.sql('ALTER INSTANCE DISABLE INNODB REDO_LOG', 'CREATE SCHEMA bench')
        if megabytes:
            side_by_side([(fill, server, f't{n}', megabytes * 1000000 // LOADERS) for n in range(LOADERS)])
        if small:
            side_by_side([(small_tables, server, n * small // LOADERS, (n + 1) * small // LOADERS)
                          for n in range(LOADERS)])
        server.sql('ALTER INSTANCE ENABLE INNODB REDO_LOG', 'RESET BINARY LOGS AND GTIDS',
                   'SET GLOBAL innodb_fast_shutdown = 0')
        server.stop()
        if os.path.exists(server.datadir + '/auto.cnf'):
            os.unlink(server.datadir + '/auto.cnf')
        os.rename(server.datadir, path)


def datadir(where, megabytes, small=0):
    """Path of a data directory below `where` with `megabytes` (10^6 bytes) of data in tables bench.t* and
    `small` tables bench.s*. Made at the first call; a server may run on it, one at a time."""
    path = os.path.join(where, f'donor-{version()}-{megabytes}-{small}-{FORMAT}')
    if not os.path.isdir(path):
        shutil.rmtree(path + '.box', ignore_errors=True)
        make(path, megabytes, small)
    return path
