# SPDX-License-Identifier: GPL-2.0-only
"""Redo follower, builder and page check against a real server that is written to.

A live copy, file by file while the server writes, plus the redo [C, E] the modules followed and built,
must start on a stock server, be scanned to exactly E and hold every row acknowledged before E. With 8 MiB
and 64 MiB of redo capacity, so that files are recycled under the follower.
"""
import fnmatch
import json
import os
import shutil
import subprocess
import threading
import time

import pytest

from helpers import compiled

SKIP = ('#*', 'binlog.*', 'ibtmp1', 'auto.cnf', '*.pem', '*.pid', '*.sock', 'mysqld-auto.cnf', '*-bin.*', 'undo_*.log')
TABLESPACES = ('*.ibd', '*.ibu', 'undo_*', 'ibdata*')
WRITERS = 4


@pytest.fixture(scope='module')
def tool(tmp_path_factory):
    """The compiled helper program."""
    return compiled('redo_follow_main.c', tmp_path_factory.mktemp('redo'))


def words(line):
    """key=value words as a dictionary; the last value may hold blanks."""
    out, last = {}, None
    for word in line.split():
        key, sep, value = word.partition('=')
        if sep:
            last, out[key] = key, value
        else:
            out[last] += ' ' + word
    return out


class Load:
    """Writers that insert and update; records each acknowledged insert. They pause: the helper must keep up."""

    def __init__(self, server):
        server.sql('CREATE DATABASE t', *[f'CREATE TABLE t.w{i} (id INT PRIMARY KEY, v BIGINT, pad VARBINARY(6000),'
                                          ' KEY (v)) ENGINE=InnoDB' for i in range(WRITERS)])
        self.server, self.acked, self.stopping, self.failed = server, [0] * WRITERS, False, []
        self.threads = [threading.Thread(target=self.write, args=(i,)) for i in range(WRITERS)]

    def write(self, i):
        """One writer: insert a row, now and then change old ones."""
        try:
            conn = self.server.connect()
            cur = conn.cursor()
            n = 0
            while not self.stopping:
                n += 1
                cur.execute(f'INSERT INTO t.w{i} VALUES (%s, %s, REPEAT(%s, %s))', (n, n * 7919 % 100003, 'x', 2000 + n % 4000))
                self.acked[i] = n
                if n % 5 == 0:
                    cur.execute(f'UPDATE t.w{i} SET v = v + 1, pad = REVERSE(pad) WHERE id BETWEEN %s AND %s',
                                (max(0, n - 60), n - 30))
                time.sleep(0.03)
        except Exception as e:  # noqa: BLE001 - reported by the test
            self.failed.append(e)

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_exc):
        self.stopping = True
        for t in self.threads:
            t.join()


class Follower:
    """The helper's `follow` in the background."""

    def __init__(self, tool, server, place):
        self.raw, self.stop_file = os.path.join(place, 'raw'), os.path.join(place, 'stop')
        self.process = subprocess.Popen([tool, 'follow', os.path.join(server.datadir, '#innodb_redo'), self.raw,
                                         self.stop_file], cwd=place, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.start = words(self.process.stdout.readline())

    def stop(self, lsn):
        """Let it reach lsn; its counters."""
        with open(self.stop_file + '.new', 'w', encoding='ascii') as f:
            f.write(f'{lsn}\n')
        os.rename(self.stop_file + '.new', self.stop_file)
        out, err = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, err
        return words(out)

    def kill(self):
        """End it when the test failed."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def tablespaces(datadir):
    """(relative path, is a tablespace) of the files a copy needs."""
    for root, dirs, files in os.walk(datadir):
        dirs[:] = [d for d in dirs if not d.startswith('#')]
        for name in files:
            if not any(fnmatch.fnmatch(name, p) for p in SKIP):
                yield os.path.relpath(os.path.join(root, name), datadir), any(fnmatch.fnmatch(name, p) for p in TABLESPACES)


def live_copy(tool, source, target):
    """Copy file by file under load, pages checked. Returns summed page counts."""
    total = {}
    for path, pages in sorted(tablespaces(source)):
        to = os.path.join(target, path)
        os.makedirs(os.path.dirname(to), exist_ok=True)
        if not pages:
            shutil.copyfile(os.path.join(source, path), to)
            continue
        done = subprocess.run([tool, 'copy', os.path.join(source, path), to], capture_output=True, text=True, check=False)
        assert done.returncode == 0, (path, done.stderr)
        for key, value in words(done.stdout).items():
            total[key] = max(total.get(key, 0), int(value)) if key in ('max_lsn', 'size') else total.get(key, 0) + int(value)
    os.makedirs(os.path.join(target, '#innodb_redo'))
    return total


def extend_to(source, target):
    """Files of the copy grow to the donor's size at the seal."""
    for path, pages in tablespaces(source):
        to = os.path.join(target, path)
        if pages and os.path.exists(to):
            size = os.path.getsize(os.path.join(source, path))
            if size > os.path.getsize(to):
                os.truncate(to, size)


def log_status(server):
    """(E, GTID set) of one instant."""
    local, engines = server.sql('SELECT LOCAL, STORAGE_ENGINES FROM performance_schema.log_status')[0]
    return json.loads(engines)['InnoDB']['LSN'], json.loads(local)['gtid_executed'].replace('\n', '')


def seal(server, load):
    """E, its GTIDs, and the rows acknowledged before and (at least) after E was taken."""
    server.sql('FLUSH LOCAL BINARY LOGS')
    before = list(load.acked)
    lsn, gtids = log_status(server)
    after = list(load.acked)
    server.sql('FLUSH LOCAL ENGINE LOGS')
    return lsn, gtids, list(zip(before, after))


def build(tool, follower, target, lsn, max_file):
    """Redo [C, lsn] into the copy."""
    redo = os.path.join(target, '#innodb_redo')
    shutil.rmtree(redo, ignore_errors=True)
    os.mkdir(redo)
    s = follower.start
    done = subprocess.run([tool, 'build', follower.raw, s['c'], s['uuid'], s['creator'], str(lsn), redo, str(max_file)],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def start_on(box, name, target, lsn):
    """Start a stock server on the copy: it must scan to exactly lsn, without an error."""
    server = box.adopt(name, target).start()
    log = server.log_text()
    scanned = [line for line in log.splitlines() if 'scanned up to' in line]
    assert scanned and scanned[-1].rstrip('.').endswith(f'log sequence number {lsn}'), scanned[-1:]
    assert '[ERROR]' not in log and 'in the future' not in log, server.log_tail(40)
    return server


def check_rows(server, acked):
    """All rows acknowledged before E are there, without holes; none from after E; all tables are sound."""
    for i, (before, after) in enumerate(acked):
        count, top = server.sql(f'SELECT COUNT(*), MAX(id) FROM t.w{i}')[0]
        assert count == top and before <= top <= after + 1
        assert server.sql(f'CHECK TABLE t.w{i} EXTENDED')[-1][-1] == 'OK'


@pytest.mark.parametrize('capacity,seconds', [('8M', 8), pytest.param('64M', 12, marks=pytest.mark.long)])
def test_live_copy_recovers_to_exactly_e(box, tool, capacity, seconds):
    """Copy under load + followed redo = the donor at E; then other ends of the same redo."""
    donor = box.server('donor', innodb_redo_log_capacity=capacity, innodb_flush_log_at_trx_commit=2,
                       innodb_buffer_pool_size='32M').start()
    place, target = box.path('follow'), box.path('copy')
    follower = None
    try:
        with Load(donor) as load:
            time.sleep(2)
            follower = Follower(tool, donor, place)
            begin, files = time.monotonic(), donor.value('SELECT MAX(FILE_ID) FROM performance_schema.innodb_redo_log_files')
            counts = live_copy(tool, donor.datadir, target)
            copied, _ = log_status(donor)
            time.sleep(max(0, seconds - (time.monotonic() - begin)) / 2)
            if capacity == '64M':  # files of another size from here on
                donor.sql(f'SET GLOBAL innodb_redo_log_capacity = {32 << 20}')
            time.sleep(max(0, seconds - (time.monotonic() - begin)))
            lsn, gtids, acked = seal(donor, load)
            stats = follower.stop(lsn)
            extend_to(donor.datadir, target)
            files = donor.value('SELECT MAX(FILE_ID) FROM performance_schema.innodb_redo_log_files') - files
        assert not load.failed, load.failed
    finally:
        if follower:
            follower.kill()
    print(f'capacity {capacity}: C {follower.start["c"]} E {lsn}, files crossed {files}, follower {stats}, pages {counts}')
    assert files >= 3 and int(stats['bytes']) > 4 << 20 and counts['bad'] == 0 and counts['max_lsn'] <= lsn

    copies = {name: box.path(name) for name in ('exact', 'cut-0', 'cut-12', 'cut-13', 'border')}
    # Ends between the end of the copy and E: any position will do, the last record group is dropped.
    base = max(copied, counts['max_lsn']) // 512 * 512 + 1024
    room, c = (64 << 10) - 2048, int(follower.start['c']) // 512 * 512
    ends = {'exact': lsn, 'cut-0': base, 'cut-12': base + 12, 'cut-13': base + 512 + 13,
            'border': c + ((base - c) // room + 1) * room}
    for name in copies if capacity == '64M' else ['exact']:
        assert ends[name] <= lsn
        shutil.rmtree(copies[name])
        shutil.copytree(target, copies[name])
        # `exact` in files of 1 GiB, the others in as many files of 64 KiB as it takes.
        build(tool, follower, copies[name], ends[name], 1 << 30 if name == 'exact' else 64 << 10)
        server = start_on(box, name, copies[name], ends[name])
        if name == 'exact':
            check_rows(server, acked)
            assert server.value('SELECT @@gtid_executed').replace('\n', '') == gtids
        else:
            assert server.value('SELECT COUNT(*) FROM t.w0') < acked[0][0]  # an earlier end is an earlier state
        server.stop()
        shutil.rmtree(copies[name])


def test_lost_redo_is_an_error(box, tool):
    """A follower that was stopped while the log went round says so."""
    donor = box.server('donor', innodb_redo_log_capacity='8M', innodb_flush_log_at_trx_commit=2).start()
    with Load(donor):
        follower = Follower(tool, donor, box.path('follow'))
        try:
            os.kill(follower.process.pid, 19)
            first = int(follower.start['c'])
            while min(r[0] for r in donor.sql('SELECT START_LSN FROM performance_schema.innodb_redo_log_files')) < first + (20 << 20):
                time.sleep(0.1)
            os.kill(follower.process.pid, 18)
            _, err = follower.process.communicate(timeout=30)
            assert follower.process.returncode == 1
            assert 'was recycled before it was read' in err and 'raise innodb_redo_log_capacity' in err
        finally:
            follower.kill()


def test_redo_disabled(box, tool):
    """DISABLE INNODB REDO_LOG: no checkpoint, and what to do about it."""
    donor = box.server('donor').start()
    donor.sql('ALTER INSTANCE DISABLE INNODB REDO_LOG')
    done = subprocess.run([tool, 'follow', os.path.join(donor.datadir, '#innodb_redo'), os.path.join(box.path('f'), 'raw'), 'none'],
                          capture_output=True, text=True, check=False, cwd=box.path('f'))
    assert done.returncode == 1 and 'ALTER INSTANCE ENABLE INNODB REDO_LOG' in done.stderr
    donor.sql('ALTER INSTANCE ENABLE INNODB REDO_LOG')


def page_counts(tool, server, place):
    """Copy every tablespace of a stopped server: {path: counts}."""
    out = {}
    for path, pages in sorted(tablespaces(server.datadir)):
        if pages:
            done = subprocess.run([tool, 'copy', os.path.join(server.datadir, path), os.path.join(place, str(len(out)))],
                                  capture_output=True, text=True, check=False)
            assert done.returncode == 0, (path, done.stderr)
            out[path] = {k: int(v) for k, v in words(done.stdout).items()}
    return out


@pytest.mark.parametrize('page_size', [4096, 16384, pytest.param(65536, marks=pytest.mark.long)])
def test_pages_of_a_real_server(box, tool, page_size):
    """Every page size, KEY_BLOCK_SIZE and checksum algorithm a server writes is sound to us; a flipped bit is not."""
    server = box.server('pages', page_size=page_size).start()
    fill = ' AS WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 900)' \
        " SELECT i, REPEAT(SHA2(i, 256), 10) AS v, ST_GeomFromText(CONCAT('POINT(', i, ' 1)')) AS g FROM n"
    tables = {'plain': ''}
    if page_size > 4096:  # page compression saves whole file system blocks
        tables.update(zlib="COMPRESSION='zlib'", lz4="COMPRESSION='lz4'")
    tables.update({f'zip{k}': f'ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE={k}' for k in (1, 2, 4, 8, 16)
                   if page_size <= 16384 and k << 10 <= page_size})
    algorithms = ('crc32', 'innodb', 'none')
    server.sql('CREATE DATABASE p', 'USE p', 'SET cte_max_recursion_depth = 2000', *[
        s for a in algorithms for name, options in tables.items()
        for s in (f'SET GLOBAL innodb_checksum_algorithm = {a}', f'CREATE TABLE p.{name}_{a} {options} {fill}',
                  f'FLUSH TABLES p.{name}_{a} FOR EXPORT', 'UNLOCK TABLES')])
    # The dictionary, undo logs and the system tablespace end with crc32.
    server.sql('SET GLOBAL innodb_checksum_algorithm = crc32')
    server.stop()
    counts = page_counts(tool, server, box.path('copies'))
    for path, c in counts.items():
        assert c['bad'] == 0 and c['rereads'] == 0 and c['ok'] > 0, (path, c)
        name = os.path.basename(path)
        if path.startswith('p/'):
            want = int(name[3:].split('_')[0]) << 10 if name.startswith('zip') else page_size
            assert c['size'] == want, (path, c)
    assert page_size == 4096 or any(c['unchecked'] for path, c in counts.items() if path.startswith('p/zlib'))
    with open(os.path.join(server.datadir, 'p/plain_none.ibd'), 'rb') as f:
        f.seek(5 * page_size)
        assert f.read(4) == b'\xde\xad\xbe\xef'  # the algorithms were really in use
    victim = os.path.join(server.datadir, 'p/plain_crc32.ibd')
    with open(victim, 'r+b') as f:
        f.seek(5 * page_size + page_size // 2)
        byte = f.read(1)
        f.seek(-1, os.SEEK_CUR)
        f.write(bytes([byte[0] ^ 1]))
    done = subprocess.run([tool, 'copy', victim, os.path.join(box.path('copies'), 'bad')], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and 'bad page' in done.stderr


def test_redo_without_checksums(box, tool):
    """innodb_log_checksums=OFF: blocks cannot be trusted, the error names the variable."""
    donor = box.server('donor', innodb_redo_log_capacity='8M', innodb_log_checksums='OFF').start()
    donor.sql('CREATE DATABASE t', 'CREATE TABLE t.a (i INT)', 'INSERT INTO t.a VALUES (1)')
    place = box.path('f')
    done = subprocess.run([tool, 'follow', os.path.join(donor.datadir, '#innodb_redo'), os.path.join(place, 'raw'), 'none'],
                          capture_output=True, text=True, check=False, cwd=place, timeout=20)
    assert done.returncode == 1 and 'innodb_log_checksums = ON' in done.stderr
