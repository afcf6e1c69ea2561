# SPDX-License-Identifier: GPL-2.0-only
"""Writes to a donor and records every commit the donor acknowledged.

Each transaction carries one id into several tables: a row of `ledger`, DETAILS rows of `detail`, and its
writer's row of `hot` (last sequence number, updated in place). A clone that tore a transaction, lost one
or got an old page shows it: see checks_server.py.

The GTID of each commit comes from the server itself, in the OK packet of COMMIT (session_track_gtids =
OWN_GTID; pymysql leaves the session state unparsed at the end of the message). So transactions use
automatic GTIDs as in production, and recording them costs no round trip and no other statement.

The record: one file per thread, one line per acknowledged statement: kind, id, microseconds since the
epoch when the OK packet was read, GTID ('-' if none), written with one write() at once.
"""
import glob
import os
import random
import threading
import time
from collections import namedtuple

import pymysql
from pymysql.constants import CLIENT

DETAILS = 3
TABLES = """
CREATE TABLE IF NOT EXISTS proof.ledger (id BIGINT PRIMARY KEY, writer INT NOT NULL, seq INT NOT NULL,
  UNIQUE (writer, seq));
CREATE TABLE IF NOT EXISTS proof.detail (id BIGINT, k INT, payload VARCHAR(400), PRIMARY KEY (id, k), KEY (k, id));
CREATE TABLE IF NOT EXISTS proof.hot (writer INT PRIMARY KEY, seq INT NOT NULL, payload VARBINARY(3000));
CREATE TABLE IF NOT EXISTS proof.churn (id INT AUTO_INCREMENT PRIMARY KEY, n INT, payload VARCHAR(800), KEY (n));
CREATE TABLE IF NOT EXISTS proof.blobs (id INT AUTO_INCREMENT PRIMARY KEY, payload LONGBLOB);
"""
Ack = namedtuple('Ack', 'kind id us gtid')


def now_us():
    """Wall clock, microseconds since the epoch."""
    return time.time_ns() // 1000


def lenenc(data, at):
    """Length-encoded integer at data[at:]: (value, position behind it)."""
    first = data[at]
    if first < 0xfb:
        return first, at + 1
    size = {0xfc: 2, 0xfd: 3, 0xfe: 8}[first]
    return int.from_bytes(data[at + 1:at + 1 + size], 'little'), at + 1 + size


def gtid_of(message):
    """The GTID in the tail of an OK packet (info text, then session state changes), '-' if none."""
    if not message:
        return '-'
    n, at = lenenc(message, 0)
    at += n
    if at >= len(message):
        return '-'
    n, at = lenenc(message, at)
    end = at + n
    while at < end:
        kind = message[at]
        n, at = lenenc(message, at + 1)
        if kind == 3:  # SESSION_TRACK_GTIDS: encoding byte, length, text
            size, start = lenenc(message, at + 1)
            return message[start:start + size].decode()
        at += n
    return '-'


class Session:
    """A connection that records what is acknowledged on it."""

    def __init__(self, server, path):
        self.conn = server.connect(client_flag=CLIENT.SESSION_TRACK | CLIENT.MULTI_STATEMENTS,
                                   read_timeout=120)
        self.conn.query('SET session_track_gtids = OWN_GTID')
        self.fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def run(self, kind, ident, sql):
        """Run statements (';' between them); record the acknowledgement of the last, and their GTID."""
        self.conn.query(sql)
        messages = [self.conn._result.message]
        while self.conn._result.has_next:
            self.conn.next_result()
            messages.append(self.conn._result.message)
        us = now_us()
        gtid = max(map(gtid_of, messages))  # at most one is not '-'
        os.write(self.fd, f'{kind}\t{ident}\t{us}\t{gtid}\n'.encode())

    def close(self):
        """Close connection and file."""
        self.conn.close()
        os.close(self.fd)


def text(n):
    """n random printable characters."""
    return random.randbytes((n + 1) // 2).hex()[:n]


def transaction(writer, seq):
    """The statements of one transaction and its id."""
    ident = writer * 100000000 + seq
    rows = ','.join(f"({ident},{k},'{text(200)}')" for k in range(DETAILS))
    return ident, (f'BEGIN; INSERT INTO proof.ledger VALUES ({ident},{writer},{seq});'
                   f'INSERT INTO proof.detail VALUES {rows};'
                   f"UPDATE proof.hot SET seq={seq}, payload='{text(random.randrange(100, 3000))}' "
                   f'WHERE writer={writer}; COMMIT')


# Background noise: name -> (pause between two in seconds, function of n that returns statements).
NOISE = {
    'flush': (0.05, lambda n: 'FLUSH STATUS'),
    'myisam': (0.05, lambda n: f"INSERT INTO proof.myisam VALUES ({n}, '{text(100)}')"),
    'empty': (0.05, lambda n: f"SET gtid_next='5eed0000-0000-0000-0000-000000000001:{n}'; BEGIN; COMMIT; "
                              "SET gtid_next='AUTOMATIC'"),
    'drop': (0.1, lambda n: f'DROP TABLE IF EXISTS proof.never_there_{n % 7}'),
    'sysgrow': (0.02, lambda n: f"INSERT INTO proof.sysgrow VALUES ({n}, REPEAT('{text(50)}', 2000))"),
    'churn': (0.005, lambda n: (f"INSERT INTO proof.churn (n, payload) VALUES ({n % 97}, '{text(700)}')",
                                f"UPDATE proof.churn SET payload='{text(300)}' WHERE n={n * 7 % 97} LIMIT 5",
                                f'DELETE FROM proof.churn WHERE n={n * 31 % 97} LIMIT 2')[n % 3]),
    'blobs': (0.1, lambda n: f"INSERT INTO proof.blobs (payload) VALUES (REPEAT('{text(100)}', 20000))" if n % 3
              else 'DELETE FROM proof.blobs ORDER BY id LIMIT 1'),
    'load': (0.01, lambda n: f'UPDATE proof.load0 SET payload=REVERSE(payload), n=n+1 WHERE id={1 + n * 7919 % 20000}'),
}
NOISE_TABLES = {
    'myisam': 'CREATE TABLE IF NOT EXISTS proof.myisam (id INT PRIMARY KEY, payload VARCHAR(200)) ENGINE=MyISAM',
    'sysgrow': 'CREATE TABLE IF NOT EXISTS proof.sysgrow (id INT PRIMARY KEY, payload LONGTEXT) TABLESPACE=innodb_system',
}


class Writers:
    """Threads that write until stop(). Records go to the directory `record`."""

    def __init__(self, server, record, threads=4, noise=('churn',), pause=0.0):
        self.server, self.record, self.pause = server, record, pause
        self.stopping = threading.Event()
        self.errors = []
        os.makedirs(record, exist_ok=True)
        self.prepare(threads, noise)
        self.threads = [threading.Thread(target=self.guard, args=(self.write, w), daemon=True)
                        for w in range(1, threads + 1)]
        self.threads += [threading.Thread(target=self.guard, args=(self.make_noise, name), daemon=True)
                         for name in noise]

    def prepare(self, threads, noise):
        """Make the tables (not written to the binary log: they are there before any clone)."""
        tables = [t for t in TABLES.split(';') if t.strip()] + [NOISE_TABLES[n] for n in noise if n in NOISE_TABLES]
        self.server.sql('SET sql_log_bin = 0', 'CREATE SCHEMA IF NOT EXISTS proof', *tables,
                        *(f"INSERT IGNORE INTO proof.hot VALUES ({w}, 0, '')" for w in range(1, threads + 1)))

    def guard(self, function, arg):
        """Thread body: keep the first error for stop()."""
        session = None
        try:
            session = Session(self.server, os.path.join(self.record, f'{arg}.acks'))
            function(session, arg)
        except Exception as e:  # pylint: disable=broad-except
            self.errors.append(f'{arg}: {e!r}')
        finally:
            if session:
                session.close()

    def write(self, session, writer):
        """Transactions, one after the other; a deadlock is tried again."""
        seq = self.server.value(f'SELECT seq FROM proof.hot WHERE writer={writer}')
        while not self.stopping.is_set():
            ident, sql = transaction(writer, seq + 1)
            try:
                session.run('trx', ident, sql)
                seq += 1
            except pymysql.err.OperationalError as e:
                if e.args[0] not in (1205, 1213):
                    raise
                session.conn.query('ROLLBACK')
            if self.pause:
                time.sleep(self.pause)

    def make_noise(self, session, name):
        """One kind of noise."""
        pause, statements = NOISE[name]
        n = int(time.time()) % 1000000 * 1000
        while not self.stopping.wait(pause):
            n += 1
            session.run(name, n, statements(n))

    def start(self):
        """Start all threads; returns self."""
        for t in self.threads:
            t.start()
        return self

    def stop(self):
        """Stop and wait; raises when a thread had failed (then its record is not complete)."""
        self.stopping.set()
        for t in self.threads:
            t.join()
        if self.errors:
            raise RuntimeError('; '.join(self.errors))

    def __enter__(self):
        return self.start()

    def __exit__(self, *_exc):
        self.stop()


def read_record(record):
    """All Acks in a record directory, in no particular order."""
    acks = []
    for path in glob.glob(os.path.join(record, '*.acks')):
        with open(path, encoding='ascii') as f:
            for line in f:
                kind, ident, us, gtid = line.rstrip('\n').split('\t')
                acks.append(Ack(kind, int(ident), int(us), gtid))
    return acks
