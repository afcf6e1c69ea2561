# SPDX-License-Identifier: GPL-2.0-only
"""The statements of a storm of DDL: what one thread makes, changes and drops in schemas of its own, by a seed."""
import random

ROWS = (50, 1000, 3000, 6000, 6000, 12000, 12000, 45000)  # 45000: some 25 MB, more than is copied under the lock
BASE_ROWS = 45000
COLUMNS = 'id INT AUTO_INCREMENT PRIMARY KEY, n INT, m INT, t VARCHAR(100), payload VARCHAR(500) CHARACTER SET latin1'
COPIED = 'id, n, m, t, payload'
ROTATE = 'ALTER INSTANCE ROTATE INNODB MASTER KEY'


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
    """One thread's schema and the statements that it makes in it. far: a directory for external tablespaces."""

    def __init__(self, seed, number, encrypt, far=None):
        self.rng, self.far_rng, self.far = random.Random(f'{seed}-{number}'), random.Random(f'{seed}-{number}-far'), far
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

    def elsewhere(self):
        """Shall what is made now be external?"""
        return self.far_rng.random() < 0.4 and self.far

    def data_directory(self):
        """Table option."""
        return f"DATA DIRECTORY='{self.far}'" if self.elsewhere() else ''

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
        kind = ("ENCRYPTION='Y' " if table.encrypted else '') + self.data_directory()
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
               f'PARTITION b VALUES LESS THAN (20000), PARTITION c VALUES LESS THAN MAXVALUE {self.data_directory()})')
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
                   f'PARTITION c VALUES LESS THAN MAXVALUE {self.data_directory()})')

    # -- tablespaces and encryption ------------------------------------------

    def create_space(self):
        """A general tablespace with a table."""
        space, table = self.new('gen'), Table(f"{self.schema}.{self.new('g')}")
        table.space = True
        yield f"CREATE TABLESPACE {space} ADD DATAFILE '{self.far + '/' if self.elsewhere() else ''}{space}.ibd'"
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
