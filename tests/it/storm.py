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
from template import give

APART = 'storm_apart'  # not in the binary log
ROWS = (50, 1000, 3000, 6000, 6000, 12000, 12000, 45000)  # 45000: some 25 MB, more than is copied under the lock
BASE_ROWS = 45000
COLUMNS = 'id INT AUTO_INCREMENT PRIMARY KEY, n INT, m INT, t VARCHAR(100), payload VARCHAR(500) CHARACTER SET latin1'
COPIED = 'id, n, m, t, payload'
# Rows changed while their table is dropped, renamed, discarded or rebuilt.
DML_MAY_FAIL = (1051, 1054, 1100, 1146, 1205, 1213, 1412, 1526, 1814, 1815, 1062, 3572)
ROTATE = 'ALTER INSTANCE ROTATE INNODB MASTER KEY'


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


def base_rows(server):
    """storm.base, which tables are filled from."""
    server.sql('SET sql_log_bin = 0', 'CREATE SCHEMA storm', 'USE storm', f'CREATE TABLE storm.base ({COLUMNS})',
               'SET cte_max_recursion_depth = 100000',
               f'INSERT INTO storm.base ({COPIED}) WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s '
               f"WHERE i < {BASE_ROWS}) SELECT i, i % 997, i % 31, CONCAT('word', i % 13, ' every ', SHA2(i, 224)), "
               "REPEAT(SHA2(i, 256), 6) FROM s")


class Table:
    """What a thread knows of one of its tables."""

    def __init__(self, name):
        self.name, self.indexes, self.columns = name, [], []
        self.space = self.encrypted = False


class Turf:
    """One thread's schema and the statements that it makes in it."""

    def __init__(self, seed, number, encrypt):
        self.rng = random.Random(f'{seed}-{number}')
        self.number, self.schema, self.encrypt = number, f'storm{number}', encrypt
        self.count, self.tables, self.schemas, self.spaces = 0, [], [], []
        self.parts = []

    def new(self, prefix):
        """A name that was not used before."""
        self.count += 1
        return f'{prefix}{self.number}_{self.count}'

    def table(self, free=False):
        """One of the tables; free: in a file of its own."""
        return self.rng.choice([t for t in self.tables if not (free and t.space)])

    def fill(self, name):
        """Rows for a new table."""
        return (f'INSERT IGNORE INTO {name} ({COPIED}) SELECT {COPIED} FROM storm.base '
                f'LIMIT {self.rng.choice(ROWS)}')

    # -- what begins and ends a life ----------------------------------------

    def setup(self):
        """The statements before the storm."""
        yield f'CREATE SCHEMA {self.schema}'
        for _ in range(4):
            yield from self.create()
        yield from self.create_partitioned()
        yield from self.create_space()

    def create(self):
        """A table with rows."""
        table = Table(f"{self.schema}.{self.new('t')}")
        table.encrypted = self.encrypt and self.rng.random() < 0.2
        form = self.rng.choice(('', '', 'ROW_FORMAT=COMPACT', 'ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE=8'))
        kind = "ENCRYPTION='Y'" if table.encrypted else ''
        if self.rng.random() < 0.2:
            yield f'CREATE TABLE {table.name} ({COLUMNS}) {form} {kind} SELECT {COPIED} FROM storm.base LIMIT 3000'
        else:
            yield f'CREATE TABLE {table.name} ({COLUMNS}, KEY first (n)) {form} {kind}'
            table.indexes.append('first')
            yield self.fill(table.name)
        self.tables.append(table)

    def drop(self):
        """One goes, one comes."""
        table = self.table(free=True)
        self.tables.remove(table)
        yield f'DROP TABLE {table.name}'
        yield from self.create()

    def truncate(self):
        """Empty and filled again."""
        table = self.table()
        yield f'TRUNCATE TABLE {table.name}'
        yield f"INSERT IGNORE INTO {table.name} ({COPIED}) SELECT {COPIED} FROM storm.base LIMIT {self.rng.choice(ROWS[:5])}"

    def schema_life(self):
        """A schema comes with tables, or goes with them."""
        if self.schemas and self.rng.random() < 0.6:
            yield f'DROP SCHEMA {self.schemas.pop()}'
            return
        name = self.new(self.schema + '_s')
        yield f'CREATE SCHEMA {name}'
        self.schemas.append(name)
        yield f'CREATE TABLE {name}.x ({COLUMNS}, KEY (m))'
        yield self.fill(f'{name}.x')

    # -- indexes -------------------------------------------------------------

    def add_index(self):
        """In place; LOCK=SHARED builds without a record that the pages are there."""
        table = self.table()
        if len(table.indexes) >= 5:
            yield from self.drop_index()
            return
        name = self.new('k')
        table.indexes.append(name)
        columns = self.rng.choice(('n', 'm, n', 't', 'm, t', 'payload(80)', 'n DESC'))
        how = self.rng.choice(('', '', ', ALGORITHM=INPLACE, LOCK=SHARED', ', ALGORITHM=INPLACE, LOCK=SHARED',
                               ', ALGORITHM=INPLACE, LOCK=NONE', ', ALGORITHM=COPY'))
        yield f'ALTER TABLE {table.name} ADD INDEX {name} ({columns}){how}'

    def drop_index(self):
        """One index less."""
        table = self.table()
        if not table.indexes:
            yield from self.add_index()
            return
        name = table.indexes.pop(self.rng.randrange(len(table.indexes)))
        yield f'ALTER TABLE {table.name} DROP INDEX {name}'

    def fulltext(self):
        """Made, and dropped with its auxiliary tables."""
        table, name = self.table(free=True), self.new('f')
        yield f'ALTER TABLE {table.name} ADD FULLTEXT INDEX {name} (t)'
        if self.rng.random() < 0.5:
            yield f'ALTER TABLE {table.name} DROP INDEX {name}'
        else:
            table.indexes.append(name)

    # -- columns and rebuilds ------------------------------------------------

    def instant(self):
        """A column, without a rebuild."""
        table = self.table()
        if table.columns and self.rng.random() < 0.5:
            yield f'ALTER TABLE {table.name} DROP COLUMN {table.columns.pop()}'
        else:
            name = self.new('c')
            table.columns.append(name)
            yield f"ALTER TABLE {table.name} ADD COLUMN {name} INT DEFAULT {self.count}"

    def modify(self):
        """A column of another type: the table is copied."""
        kind = self.rng.choice(('INT', 'BIGINT', 'INT NOT NULL DEFAULT 0'))
        yield f'ALTER TABLE {self.table().name} MODIFY n {kind}'

    def rebuild(self):
        """In place."""
        name = self.table(free=True).name
        yield self.rng.choice((f'OPTIMIZE LOCAL TABLE {name}', f'ALTER TABLE {name} FORCE, ALGORITHM=INPLACE',
                               f'ALTER TABLE {name} ENGINE=InnoDB', f'ALTER TABLE {name} FORCE, ALGORITHM=COPY'))

    def rename(self):
        """To another name, or two names swapped in one statement."""
        first, second = self.rng.sample(self.tables, 2)
        if self.rng.random() < 0.5:
            yield (f'RENAME TABLE {first.name} TO {self.schema}.swap, {second.name} TO {first.name}, '
                   f'{self.schema}.swap TO {second.name}')
            first.name, second.name = second.name, first.name
            return
        old, first.name = first.name, f"{self.schema}.{self.new('r')}"
        yield f'RENAME TABLE {old} TO {first.name}'

    # -- partitions ----------------------------------------------------------

    def create_partitioned(self):
        """A partitioned table and one like a partition of it."""
        name = f"{self.schema}.{self.new('p')}"
        yield (f'CREATE TABLE {name} ({COLUMNS}, KEY (n)) PARTITION BY RANGE (id) (PARTITION a VALUES LESS THAN (4000), '
               'PARTITION b VALUES LESS THAN (20000), PARTITION c VALUES LESS THAN MAXVALUE)')
        yield f'CREATE TABLE {name}x ({COLUMNS}, KEY (n))'
        yield f'INSERT INTO {name} ({COPIED}) SELECT {COPIED} FROM storm.base LIMIT 8000'
        yield f'INSERT INTO {name}x ({COPIED}) SELECT {COPIED} FROM storm.base LIMIT 3500'
        self.parts.append(name)

    def partition(self):
        """Exchanged, emptied, rebuilt, split and merged."""
        name = self.rng.choice(self.parts)
        what = self.rng.randrange(5)
        if what < 2:
            yield f'ALTER TABLE {name} EXCHANGE PARTITION a WITH TABLE {name}x'
        elif what == 2:
            yield f'ALTER TABLE {name} TRUNCATE PARTITION b'
            yield (f'INSERT INTO {name} ({COPIED}) SELECT {COPIED} FROM storm.base '
                   'WHERE id >= 4000 AND id < 9000')
        elif what == 3:
            yield f'ALTER TABLE {name} REBUILD PARTITION a'
        else:
            yield (f'ALTER TABLE {name} REORGANIZE PARTITION b, c INTO (PARTITION b VALUES LESS THAN (12000), '
                   'PARTITION c VALUES LESS THAN MAXVALUE)')
            yield (f'ALTER TABLE {name} REORGANIZE PARTITION b, c INTO (PARTITION b VALUES LESS THAN (20000), '
                   'PARTITION c VALUES LESS THAN MAXVALUE)')

    # -- tablespaces and encryption ------------------------------------------

    def create_space(self):
        """A general tablespace with a table."""
        space, table = self.new('gen'), Table(f"{self.schema}.{self.new('g')}")
        table.space = True
        yield f"CREATE TABLESPACE {space} ADD DATAFILE '{space}.ibd'"
        yield f'CREATE TABLE {table.name} ({COLUMNS}, KEY first (n)) TABLESPACE {space}'
        yield self.fill(table.name)
        table.indexes.append('first')
        self.spaces.append((space, table))
        self.tables.append(table)

    def space_life(self):
        """Made, renamed, or dropped with its table."""
        if len(self.spaces) < 2 or self.rng.random() < 0.4:
            yield from self.create_space()
            return
        at = self.rng.randrange(len(self.spaces))
        space, table = self.spaces[at]
        if self.rng.random() < 0.5:
            name = self.new('gen')
            self.spaces[at] = name, table
            yield f'ALTER TABLESPACE {space} RENAME TO {name}'
            return
        del self.spaces[at]
        self.tables.remove(table)
        yield f'DROP TABLE {table.name}'
        yield f'DROP TABLESPACE {space}'

    def encryption(self):
        """Of a table, which is copied; of a general tablespace, page by page; or another master key."""
        if not self.encrypt:
            yield from self.rebuild()
        elif self.rng.random() < 0.3:
            yield ROTATE
        elif self.rng.random() < 0.5:
            table = self.table(free=True)
            table.encrypted = not table.encrypted
            yield f"ALTER TABLE {table.name} ENCRYPTION='{'NY'[table.encrypted]}'"
        elif self.spaces:
            space, table = self.rng.choice(self.spaces)
            table.encrypted = not table.encrypted
            yield f"ALTER TABLESPACE {space} ENCRYPTION='{'NY'[table.encrypted]}'"

    KINDS = ('drop', 'truncate', 'schema_life', 'add_index', 'add_index', 'add_index', 'drop_index', 'fulltext', 'instant',
             'modify', 'rebuild', 'rename', 'rename', 'partition', 'space_life', 'encryption')

    def statements(self):
        """Without end."""
        while True:
            kinds = list(self.KINDS)
            self.rng.shuffle(kinds)  # each kind comes in each round
            for kind in kinds:
                yield from getattr(self, kind)()

    def change(self, rng):
        """A statement that changes rows."""
        table = rng.choice(list(self.tables)).name
        at = rng.randrange(1, 6000)
        return rng.choice((
            f"UPDATE {table} SET m = m + 1, t = CONCAT('every ', SHA2({at}, 224)) WHERE id BETWEEN {at} AND {at + 20}",
            f'DELETE FROM {table} WHERE id BETWEEN {at} AND {at + 3}',
            f"INSERT INTO {table} (n, m, t, payload) VALUES ({at}, {at % 7}, 'every word', REPEAT('x', {at % 400}))"))


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
        """The server empties it in a thread of its own."""
        for _ in range(300):
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

    record: where proof.writer records; aside: a directory for files. encrypt: the server has a keyring. A statement
    of DDL that fails is raised at the end.
    """

    def __init__(self, server, seed, record, aside, encrypt=True, turfs=2):  # pylint: disable=too-many-arguments
        self.server, self.seed, self.record = server, seed, record
        self.log, self.stopping, self.errors, self.waits = Log(), threading.Event(), [], []
        self.turfs = [Turf(seed, n, encrypt) for n in range(turfs)]
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
