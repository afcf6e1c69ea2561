# SPDX-License-Identifier: GPL-2.0-only
"""Tables whose tablespaces have every kind of page that InnoDB writes."""
import os
import shutil
import threading

from helpers import wait_for
from template import give

SCHEMA = 'pg'
ROWS = 200
# Rows of all sizes: in the page, and outside in BLOB pages; compressible and not.
FILL = ("INSERT INTO {t} (v, b) WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < {n}) "
        "SELECT SHA2(i, 256), IF(i % 20, LEFT(REPEAT(SHA2(RAND(i), 256), 20), i * 3), "
        "IF(i % 40, REPEAT('b', 70000), RANDOM_BYTES(1000))) FROM s")
COLUMNS = 'i INT AUTO_INCREMENT PRIMARY KEY, v VARCHAR(64) NOT NULL, b LONGBLOB'


def key_block_sizes(page_size):
    """KEY_BLOCK_SIZE values of that page size; pages above 16K have none."""
    return [k for k in (1, 2, 4, 8, 16) if k * 1024 <= page_size] if page_size <= 16384 else []


def encrypted_kinds(page_size):
    """The kinds of kinds() that may be encrypted, all of them so."""
    return {name: f"{options} ENCRYPTION='Y'" for name, options in kinds(page_size).items()
            if 'TABLESPACE' not in options and not name.startswith('parts')} | {
                'gen': "TABLESPACE=gen ENCRYPTION='Y'", 'parts': "ENCRYPTION='Y' " + kinds(page_size)['parts']}


def kinds(page_size):
    """Table name -> table options."""
    found = {'plain': '', 'red': 'ROW_FORMAT=REDUNDANT', 'com': 'ROW_FORMAT=COMPACT', 'gen': 'TABLESPACE=gen',
             'gen2': 'TABLESPACE=gen', 'sys': 'TABLESPACE=innodb_system',
             'parts': 'PARTITION BY HASH (i) PARTITIONS 4'}
    for k in key_block_sizes(page_size):
        found[f'kbs{k}'] = f'ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE={k}'
    if key_block_sizes(page_size):
        found['genzip'] = f'TABLESPACE=genzip ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE={page_size // 2048}'
    if page_size > 4096:  # else the file system's blocks leave nothing to punch
        found['zlib'], found['lz4'] = "COMPRESSION='zlib'", "COMPRESSION='lz4'"
    return found


def make(server, page_size, only=None):
    """All of them, with rows; only: table names, and nothing but these."""
    session = [f'CREATE SCHEMA {SCHEMA}', f'USE {SCHEMA}', "CREATE TABLESPACE gen ADD DATAFILE 'gen.ibd'"]
    if key_block_sizes(page_size):
        session.append(f"CREATE TABLESPACE genzip ADD DATAFILE 'genzip.ibd' FILE_BLOCK_SIZE={page_size // 2}")
    for name, options in kinds(page_size).items():
        if only and name not in only:
            continue
        session += [f'CREATE TABLE {name} ({COLUMNS}) {options}', FILL.format(t=name, n=ROWS)]
    if only:
        server.sql('SET sql_log_bin = 0', *session)
        return server
    server.sql('SET sql_log_bin = 0', *session, *spatial(), *loaded(server))
    for name in ('plain', 'kbs4', 'zlib'):
        if name in kinds(page_size):
            imported(server, name)
    truncated_undo(server)
    return server


def make_encrypted(server, page_size):
    """The same with encryption: tablespaces, mysql.ibd and undo."""
    session = [f'CREATE SCHEMA {SCHEMA}', f'USE {SCHEMA}', "CREATE TABLESPACE gen ADD DATAFILE 'gen.ibd' ENCRYPTION='Y'",
               "ALTER TABLESPACE mysql ENCRYPTION='Y'", 'SET GLOBAL innodb_undo_log_encrypt = ON']
    for name, options in encrypted_kinds(page_size).items():
        session += [f'CREATE TABLE {name} ({COLUMNS}) {options}', FILL.format(t=name, n=ROWS)]
    server.sql('SET sql_log_bin = 0', *session, *spatial("ENCRYPTION='Y'"))
    return server


def spatial(more=''):
    """An R-tree of several pages; the header of its pages has other uses for some bytes."""
    for options, name in ((more, 'geo'), ('ROW_FORMAT=REDUNDANT ' + more, 'geo2')):
        yield (f'CREATE TABLE {name} (i INT PRIMARY KEY, g POINT NOT NULL SRID 0, SPATIAL INDEX (g)) {options}')
        yield (f'INSERT INTO {name} WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < 990) '
               'SELECT i, POINT(i % 37, i DIV 37) FROM s')


def loaded(server):
    """Bulk loads: LOAD DATA, and indexes added to a table that has rows. Half the rows are deleted."""
    path = os.path.join(server.dir, 'tmp', 'rows.txt')
    with open(path, 'w', encoding='ascii') as f:
        f.writelines(f'{i}\t{i * 7919 % 100003:032d}\t{"x" * (i % 300)}\n' for i in range(1, 3000))
    os.chmod(path, 0o644)
    yield f'CREATE TABLE bulk ({COLUMNS})'
    yield f"LOAD DATA INFILE '{path}' INTO TABLE bulk"
    yield 'ALTER TABLE bulk ADD INDEX (v), ADD INDEX (b(100)), ALGORITHM=INPLACE'
    yield 'DELETE FROM bulk WHERE i > 1500'
    yield 'CREATE TABLE rebuilt LIKE bulk'
    yield 'INSERT INTO rebuilt SELECT * FROM bulk'
    yield 'ALTER TABLE rebuilt ENGINE=InnoDB, DROP INDEX b'


def imported(server, name):
    """A tablespace that came from another table: every page had that one's space id. Some pages are free."""
    new, files = f'imp_{name}', os.path.join(server.datadir, SCHEMA)
    conn = server.connect()
    with conn.cursor() as cur:
        for statement in ('SET sql_log_bin = 0', f'USE {SCHEMA}', f'CREATE TABLE exp LIKE {name}',
                          f'INSERT INTO exp SELECT * FROM {name}', 'DELETE FROM exp WHERE i > 50',
                          f'CREATE TABLE {new} LIKE exp', f'ALTER TABLE {new} DISCARD TABLESPACE',
                          'FLUSH TABLES exp FOR EXPORT'):
            cur.execute(statement)
        for suffix in ('.ibd', '.cfg'):
            shutil.copyfile(f'{files}/exp{suffix}', f'{files}/{new}{suffix}')
            give(f'{files}/{new}{suffix}')
        for statement in ('UNLOCK TABLES', f'ALTER TABLE {new} IMPORT TABLESPACE', 'DROP TABLE exp'):
            cur.execute(statement)
    conn.close()


def truncated_undo(server):
    """undo_001 begins anew, with another space id; a third undo tablespace takes over meanwhile."""
    def state():
        return server.value("SELECT state FROM information_schema.innodb_tablespaces WHERE name='innodb_undo_001'")
    server.sql("CREATE UNDO TABLESPACE third ADD DATAFILE 'third.ibu'",
               'SET GLOBAL innodb_purge_rseg_truncate_frequency = 1', 'ALTER UNDO TABLESPACE innodb_undo_001 SET INACTIVE')
    wait_for(lambda: state() == 'empty', timeout=90, what='undo_001 truncated')
    server.sql('ALTER UNDO TABLESPACE innodb_undo_001 SET ACTIVE')


class Changes:
    """Writes to tables busy_<kind> until the block ends."""

    def __init__(self, server, page_size, encrypted=False):
        self.server, self.stopping, self.error = server, threading.Event(), None
        every = encrypted_kinds(page_size) if encrypted else kinds(page_size)
        self.names = [n for n in ('plain', 'kbs4', 'kbs8', 'zlib', 'lz4', 'gen') if n in every]
        server.sql('SET sql_log_bin = 0', f'USE {SCHEMA}',
                   *(f'CREATE TABLE busy_{n} ({COLUMNS}) {every[n]}' for n in self.names))
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        """One short statement after the other."""
        try:
            conn = self.server.connect(database=SCHEMA)
            with conn.cursor() as cur:
                while not self.stopping.is_set():
                    for name in self.names:
                        cur.execute(FILL.format(t=f'busy_{name}', n=10))
                        cur.execute(f'UPDATE busy_{name} SET v = SHA2(v, 256) ORDER BY i DESC LIMIT 40')
                        self.stopping.wait(0.01)
            conn.close()
        except Exception as e:  # pylint: disable=broad-except
            self.error = e

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_exc):
        self.stopping.set()
        self.thread.join(30)
        assert self.error is None, self.error


def tables(server):
    """Names of all tables here."""
    return [f'`{SCHEMA}`.`{row[0]}`' for row in
            server.sql(f"SELECT table_name FROM information_schema.tables WHERE table_schema='{SCHEMA}'")]


def checksums(server):
    """CHECKSUM TABLE of those that nobody changes."""
    return dict(server.sql('CHECKSUM TABLE ' + ', '.join(t for t in tables(server) if 'busy' not in t)))


def check(server):
    """What CHECK TABLE EXTENDED finds wrong."""
    rows = server.sql('CHECK TABLE ' + ', '.join(tables(server)) + ' EXTENDED')
    return [row for row in rows if row[2] != 'status' or row[3] != 'OK']
