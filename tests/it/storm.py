# SPDX-License-Identifier: GPL-2.0-only
"""A storm of DDL: threads that change tables, schemas and tablespaces of a donor, all kinds of it, by a seed.

Each thread has schemas of its own, so that no statement fails for what another thread did; beside it a thread changes
rows of its tables. Everything is written to the binary log and recorded as proof.writer does, but for schema
storm_apart (import and discard: a replica has no file) and undo tablespaces. The seed gives the statements of each
thread and their order; how they fall together is chance.
"""
import os
import random
import shutil
import threading
import time

import pymysql

from proof.writer import Session, now_us
from storm_turf import COLUMNS, COPIED, Turf, base_rows
from template import give

APART = 'storm_apart'  # not in the binary log
# Rows changed while their table is dropped, renamed, discarded or rebuilt.
DML_MAY_FAIL = (1051, 1054, 1100, 1146, 1205, 1213, 1412, 1526, 1814, 1815, 1062, 3572)


class Log:
    """Every statement, with when it began and ended, for a failure's message."""

    def __init__(self):
        self.lock, self.lines = threading.Lock(), []
        self.began = time.monotonic()

    def add(self, who, began, statement, outcome=''):
        """One line."""
        with self.lock:
            self.lines.append(f'{began - self.began:8.3f} {time.monotonic() - self.began:8.3f} {who}: {statement}'
                              + (f' -> {outcome}' if outcome else ''))

    def text(self):
        """All of them, by the time when they began."""
        with self.lock:
            return '\n'.join(sorted(self.lines))


class Apart:
    """Tablespaces exchanged as files, and undo tablespaces; nothing of it in the binary log."""

    def __init__(self, seed, server, aside):
        self.rng = random.Random(f'{seed}-apart')
        self.server, self.aside = server, aside
        self.undo, self.count = [], 0

    def setup(self):
        """Two tables, their files copied aside."""
        self.server.sql('SET sql_log_bin = 0', f'CREATE SCHEMA {APART}')
        for name, rows in (('small', 500), ('big', 20000)):
            self.server.sql('SET sql_log_bin = 0', f'CREATE TABLE {APART}.{name} ({COLUMNS}, KEY (n), KEY (m, t))',
                            f'INSERT INTO {APART}.{name} ({COPIED}) SELECT {COPIED} FROM storm.base LIMIT {rows}')
            conn = self.server.connect()
            with conn.cursor() as cur:
                cur.execute(f'FLUSH TABLES {APART}.{name} FOR EXPORT')
                for end in ('ibd', 'cfg'):
                    shutil.copy(self.path(name, end), self.aside)
            conn.close()

    def path(self, name, end):
        """A table's file."""
        return os.path.join(self.server.datadir, APART, f'{name}.{end}')

    def put(self, name):
        """The files come back to their place."""
        for end in ('cfg', 'ibd'):
            path = self.path(name, end)
            with open(path, 'wb'):  # the server's from the beginning: whoever lists it then can read it
                give(path)
            shutil.copyfile(os.path.join(self.aside, f'{name}.{end}'), path)

    def imported(self):
        """Discarded, and after a while imported."""
        name = self.rng.choice(('small', 'big'))
        yield f'ALTER TABLE {APART}.{name} DISCARD TABLESPACE'
        yield lambda: time.sleep(self.rng.choice((0, 0.3, 2)))
        yield lambda: self.put(name)
        yield f'ALTER TABLE {APART}.{name} IMPORT TABLESPACE'
        yield f'UPDATE {APART}.{name} SET m = m + 1 WHERE id < 300'

    def await_empty(self, space):
        """The server empties it in a thread of its own, which a slow disk holds up."""
        for _ in range(2400):
            if self.server.value(f"SELECT state FROM information_schema.innodb_tablespaces WHERE name='{space}'") == 'empty':
                return
            time.sleep(0.05)

    def undo_space(self):
        """Made, emptied, in use again, emptied and dropped."""
        self.count += 1
        space = f'storm_undo_{self.count}'
        yield f"CREATE UNDO TABLESPACE {space} ADD DATAFILE '{space}.ibu'"
        yield lambda: time.sleep(self.rng.choice((0, 0.5)))
        for end in (f'ALTER UNDO TABLESPACE {space} SET ACTIVE', f'DROP UNDO TABLESPACE {space}'):
            yield f'ALTER UNDO TABLESPACE {space} SET INACTIVE'
            yield lambda: self.await_empty(space)
            yield end

    def statements(self):
        """Without end."""
        while True:
            kinds = [self.imported, self.undo_space]
            self.rng.shuffle(kinds)
            for kind in kinds:
                yield from kind()


class Storm:
    """`with Storm(server, seed, record, aside) as storm: ...`: DDL and changes of rows until the end of the block.

    record: where proof.writer records; aside: a directory for files. encrypt: the server has a keyring. far: a
    directory for external tablespaces. A statement of DDL that fails is raised at the end.
    """

    def __init__(self, server, seed, record, aside, encrypt=True, turfs=2, far=None):  # pylint: disable=too-many-arguments
        self.server, self.seed, self.record = server, seed, record
        self.log, self.stopping, self.errors, self.waits = Log(), threading.Event(), [], []
        self.turfs = [Turf(seed, n, encrypt, far) for n in range(turfs)]
        self.apart = Apart(seed, server, aside)
        os.makedirs(record, exist_ok=True)
        self.threads = []

    def prepare(self):
        """Everything that is there before the storm."""
        base_rows(self.server)
        for turf in self.turfs:
            self.server.sql('SET sql_log_bin = 0', *turf.setup())
        self.apart.setup()

    def guard(self, body, name, *args):
        """Thread body: keep errors."""
        session = None
        try:
            session = Session(self.server, os.path.join(self.record, f'{name}.acks'))
            body(session, name, *args)
        except Exception as e:  # pylint: disable=broad-except
            self.errors.append(f'{name}: {e!r}')
        finally:
            if session:
                session.close()

    def run(self, session, name, statement):
        """One statement."""
        began = time.monotonic()
        try:
            session.run('storm', now_us(), statement)
        except pymysql.Error as e:
            self.log.add(name, began, statement, e.args[0])
            raise
        self.log.add(name, began, statement)
        self.waits.append(time.monotonic() - began)

    def ddl(self, session, name, source):
        """DDL without a pause."""
        if source is self.apart:
            session.conn.query('SET sql_log_bin = 0')
        for statement in source.statements():
            if self.stopping.is_set():
                return
            if callable(statement):
                statement()
                continue
            for _ in range(5):
                try:
                    self.run(session, name, statement)
                    break
                except pymysql.Error as e:
                    if e.args[0] == 1846:  # with two FULLTEXT indexes there is no rebuild in place: nothing was done
                        break
                    if e.args[0] != 1213:  # a deadlock with who changes rows
                        raise

    def dml(self, session, name, turf):
        """Rows change; a table that is not there any more is no error."""
        rng = random.Random(f'{self.seed}-{name}')
        session.conn.query('SET lock_wait_timeout = 5')
        while not self.stopping.wait(0.01):
            statement = turf.change(rng)
            try:
                session.run('storm', now_us(), statement)
            except pymysql.Error as e:
                if e.args[0] not in DML_MAY_FAIL:
                    raise

    def __enter__(self):
        self.log = Log()
        for turf in self.turfs:
            self.threads.append((self.ddl, f'ddl{turf.number}', turf))
            self.threads.append((self.dml, f'dml{turf.number}', turf))
        self.threads.append((self.ddl, 'apart', self.apart))
        self.threads = [threading.Thread(target=self.guard, args=t, daemon=True) for t in self.threads]
        for thread in self.threads:
            thread.start()
        return self

    def stop(self):
        """Wait for the threads."""
        self.stopping.set()
        for thread in self.threads:
            thread.join(120)

    def __exit__(self, *_exc):
        self.stop()
        if self.errors:
            raise AssertionError('\n'.join(self.errors))
