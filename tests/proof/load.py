# SPDX-License-Identifier: GPL-2.0-only
"""Fills a donor quickly: tables proof.load0.. by INSERT ... SELECT doubling, several at once."""
import threading

ROW = 1000  # bytes of payload per row
FIRST = 500  # rows made one by one before doubling


def fill(server, table, megabytes, options):
    """Make and fill one table with about that many MB."""
    rows = megabytes * 1000000 // (ROW + 90)
    conn = server.connect()
    with conn.cursor() as cur:
        cur.execute('SET sql_log_bin = 0')
        cur.execute('USE proof')
        cur.execute(f'CREATE TABLE {table} (id INT AUTO_INCREMENT PRIMARY KEY, n INT NOT NULL DEFAULT 0, '
                    f'payload VARCHAR({ROW}) CHARACTER SET latin1 NOT NULL, KEY n (n)) {options}')
        have = min(FIRST, rows)
        cur.execute(f'INSERT INTO {table} (payload) WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s '
                    f'WHERE i < {have}) SELECT LEFT(REPEAT(SHA2(RAND(), 256), {ROW // 64 + 1}), {ROW}) FROM s')
        while have < rows:
            step = min(have, rows - have, 50000)
            cur.execute(f'INSERT INTO {table} (n, payload) SELECT n + 1, REVERSE(payload) FROM {table} LIMIT {step}')
            have += step
    conn.close()


def load(server, megabytes=300, tables=4, options=''):
    """Fill proof.load0 .. load<tables-1>, about `megabytes` in all. Not written to the binary log.

    options: table options, e.g. 'TABLESPACE=innodb_system'. The server needs no particular state;
    schema proof is made when missing.
    """
    server.sql('SET sql_log_bin = 0', 'CREATE SCHEMA IF NOT EXISTS proof')
    threads = [threading.Thread(target=fill, args=(server, f'proof.load{n}', megabytes // tables, options))
               for n in range(tables)]
    for batch in (threads[:tables // 2], threads[tables // 2:]):
        for t in batch:
            t.start()
        for t in batch:
            t.join()
