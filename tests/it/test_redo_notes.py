# SPDX-License-Identifier: GPL-2.0-only
"""Notes of DDL in the redo of a real server: every statement that writes pages without redo gives its note, DML hardly any."""
import os
import subprocess

import pytest

from helpers import compiled

COUNTS = ('created', 'renamed', 'deleted', 'loaded', 'built', 'decrypted')


@pytest.fixture(scope='module')
def tool(tmp_path_factory):
    """The compiled helper program."""
    return compiled('redo_notes_main.c', tmp_path_factory.mktemp('notes'))


class Notes:
    """The helper program, and what a statement adds to its notes."""

    def __init__(self, tool, server):
        self.server = server
        self.process = subprocess.Popen([tool, os.path.join(server.datadir, '#innodb_redo')], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self.process.stdin.close()
        self.process.wait(timeout=30)
        self.process.stdout.close()
        self.process.stderr.close()

    def lsn(self):
        """The server's, with all before it on disk."""
        lsn = self.server.value("SELECT STORAGE_ENGINES->>'$.InnoDB.LSN' FROM performance_schema.log_status")
        self.server.sql('FLUSH LOCAL ENGINE LOGS')
        return int(lsn)

    def ask(self, lsn, space=0, above=0, size=1 << 30):
        """The notes at that LSN: counts, and what is said of the tablespace."""
        self.process.stdin.write(f'{lsn} {space} {above} {size}\n')
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read()
        return {key: int(value) for key, value in (word.split('=') for word in line.split())}

    def run(self, *statements):
        """What the statements add to the counts, and the LSNs before and behind them."""
        begin = self.lsn()
        before = self.ask(begin)
        self.server.sql(*statements)
        end = self.lsn()
        after = self.ask(end)
        return {k: after[k] - before[k] for k in COUNTS}, begin, end

    def space(self, name):
        """Space id and size of a tablespace by its name."""
        if name == 'innodb_system':
            return 0, os.path.getsize(os.path.join(self.server.datadir, 'ibdata1'))
        return self.server.sql(f"SELECT SPACE, FILE_SIZE FROM information_schema.INNODB_TABLESPACES WHERE NAME = '{name}'")[0]

    def expect(self, statements, name, unlogged=True, **least):
        """The statements add at least these counts; afterwards the tablespace is (not) to be copied anew."""
        added, begin, end = self.run(*([statements] if isinstance(statements, str) else statements))
        print(f'{added} {statements}')
        assert all(added[k] >= n for k, n in least.items()), (statements, added, least)
        if name:
            space, size = self.space(name)
            said = self.ask(end, space, begin, size)
            assert bool(said['unlogged']) == unlogged, (statements, name, said)
            assert not self.ask(end, space, end, size)['unlogged'], statements


def rows(n):
    """A query with n rows."""
    return f"WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {n}) SELECT i, i % 97, SHA2(i, 256) FROM n"


def test_every_ddl_is_noted(box, tool):
    """Each kind of DDL, one after the other, on a server that does nothing else."""
    server = box.server('donor', innodb_redo_log_capacity='256M', keyring_file=True).start()
    table = '(id INT PRIMARY KEY, a INT, s VARCHAR(100)) ENGINE=InnoDB'
    server.sql('CREATE DATABASE d', 'CREATE DATABASE e')
    with Notes(tool, server) as notes:
        notes.expect(f'CREATE TABLE d.t {table}', 'd/t', created=1)
        notes.expect(['SET cte_max_recursion_depth = 100000', f'INSERT INTO d.t {rows(5000)}'], 'd/t', unlogged=False)
        notes.expect('ALTER TABLE d.t ADD INDEX i1 (a)', 'd/t', loaded=1)
        notes.expect('ALTER TABLE d.t ADD INDEX i2 (s), ALGORITHM=INPLACE, LOCK=SHARED', 'd/t', built=1)
        notes.expect('ALTER TABLE d.t ADD INDEX i3 (a, s), ALGORITHM=INPLACE, LOCK=NONE', 'd/t', loaded=1)
        for i in range(8):  # rows of the DDL log with several others before them
            notes.expect(f'ALTER TABLE d.t ADD INDEX k{i} (a), ADD INDEX l{i} (s), LOCK=SHARED', 'd/t', built=2)
        notes.expect('ALTER TABLE d.t ADD COLUMN b INT, ALGORITHM=INSTANT', 'd/t', unlogged=False)
        notes.expect('ALTER TABLE d.t ADD FULLTEXT INDEX f (s)', 'd/t', created=1)
        notes.expect('OPTIMIZE TABLE d.t', 'd/t', created=1, renamed=2, deleted=1)
        notes.expect('ALTER TABLE d.t ADD COLUMN c INT FIRST, ALGORITHM=COPY', 'd/t', created=1, renamed=2, deleted=1)
        server.sql('ALTER TABLE d.t DROP INDEX f')
        notes.expect('ALTER TABLE d.t DROP COLUMN c, ALGORITHM=INPLACE', 'd/t', created=1, renamed=2, deleted=1)
        notes.expect('RENAME TABLE d.t TO e.u', 'e/u', unlogged=False, renamed=1)
        space, _ = notes.space('e/u')
        notes.expect('TRUNCATE TABLE e.u', 'e/u', created=1, deleted=1)
        assert notes.ask(notes.lsn(), space)['gone']
        space, _ = notes.space('e/u')
        assert not notes.ask(notes.lsn(), space)['gone']
        notes.expect('DROP TABLE e.u', None, deleted=1)
        assert notes.ask(notes.lsn(), space)['gone']

        parts = 'PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN (100))'
        notes.expect(f'CREATE TABLE d.p {table} {parts}', 'd/p#p#p0', created=2)
        notes.expect(f'CREATE TABLE d.x {table}', 'd/x', created=1)
        notes.expect('ALTER TABLE d.p EXCHANGE PARTITION p0 WITH TABLE d.x', None, renamed=2)
        notes.expect('ALTER TABLE d.p REORGANIZE PARTITION p1 INTO (PARTITION p1 VALUES LESS THAN (200))', 'd/p#p#p1',
                     created=1, deleted=1)

        # Tables in one tablespace: its file stays, indexes come.
        notes.expect("CREATE TABLESPACE g ADD DATAFILE 'g.ibd'", 'g', created=1)
        notes.expect([f'CREATE TABLE d.g1 {table} TABLESPACE g', 'SET cte_max_recursion_depth = 100000',
                      f'INSERT INTO d.g1 {rows(2000)}'], 'g', built=1)
        notes.expect('ALTER TABLE d.g1 ADD INDEX (a), LOCK=SHARED', 'g', built=1)
        notes.expect('ALTER TABLE d.g1 FORCE', 'g', loaded=1)
        notes.expect("ALTER TABLESPACE g ENCRYPTION = 'Y'", 'g', unlogged=False)
        notes.expect("ALTER TABLESPACE g ENCRYPTION = 'N'", 'g', decrypted=1)
        # The system tablespace has id 0.
        notes.expect(f'CREATE TABLE d.s1 {table} TABLESPACE innodb_system', 'innodb_system', built=1)
        notes.expect('ALTER TABLE d.s1 ADD INDEX (a), LOCK=SHARED', 'innodb_system', built=1)

        # Nothing in the redo: the list of files tells.
        print(notes.run("CREATE UNDO TABLESPACE undo_x ADD DATAFILE 'undo_x.ibu'"))
        print(notes.run('ALTER UNDO TABLESPACE undo_x SET INACTIVE'))

        server.sql('CREATE TABLE d.imp (id INT PRIMARY KEY, a INT) ENGINE=InnoDB', 'INSERT INTO d.imp VALUES (1, 2)')
        space, _ = notes.space('d/imp')
        path, copy = os.path.join(server.datadir, 'd/imp.ibd'), box.path('copy') + '/imp.ibd'
        server.sql('FLUSH TABLES d.imp FOR EXPORT')
        with open(path, 'rb') as src, open(copy, 'wb') as dst:
            dst.write(src.read())
        notes.expect('ALTER TABLE d.imp DISCARD TABLESPACE', None, deleted=1)
        assert notes.ask(notes.lsn(), space)['gone']
        with open(copy, 'rb') as src, open(path, 'wb') as dst:
            dst.write(src.read())
        owner = os.stat(server.datadir)
        os.chown(path, owner.st_uid, owner.st_gid)
        added, begin, end = notes.run('ALTER TABLE d.imp IMPORT TABLESPACE')
        again, size = notes.space('d/imp')
        print(f'import: {added}, space {space} is {again} now, {notes.ask(end, again, begin, size)}')


def test_dml_gives_few_notes(box, tool):
    """More than 10 MB of redo of rows with small numbers and texts: no file, hardly a row, few indexes are taken for DDL."""
    server = box.server('donor', innodb_redo_log_capacity='512M').start()
    server.sql('CREATE DATABASE d', 'CREATE TABLE d.t (id INT UNSIGNED PRIMARY KEY, a BIGINT UNSIGNED, b INT UNSIGNED, s VARCHAR(200),'
               ' r VARBINARY(200), KEY (a), KEY (s)) ENGINE=InnoDB')
    with Notes(tool, server) as notes:
        fill = 'INSERT INTO d.t WITH RECURSIVE n (i) AS (SELECT {0} UNION ALL SELECT i + 1 FROM n WHERE i < {0} + 9999)' \
            ' SELECT i, i % 1000, 1, SHA2(i, 256), RANDOM_BYTES(150) FROM n'
        added, begin, end = notes.run('SET cte_max_recursion_depth = 100000', *[fill.format(n * 10000) for n in range(3)],
                                      'UPDATE d.t SET b = b + 1, r = RANDOM_BYTES(150)', 'DELETE FROM d.t WHERE id % 3 = 0')
        print(f'{(end - begin) >> 20} MiB of redo: {added}')
        assert end - begin > 10 << 20
        assert added['created'] + added['renamed'] + added['deleted'] == 0
        # Of space ids and pages at random: few are of a file that is there.
        assert added['loaded'] < 20 * (end - begin >> 20) and added['built'] <= 5
