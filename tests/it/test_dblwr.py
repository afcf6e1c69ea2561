# SPDX-License-Identifier: GPL-2.0-only
"""Doublewrite files of a server that was killed: torn pages are repaired as its own recovery does, or named."""
import os
import re
import shutil
import struct
import subprocess
import threading

import pytest

import page_tables
from helpers import compiled, wait_for
from proof import checks_files, damage
from template import give

SIZE = 16384


@pytest.fixture(scope='module')
def tool(tmp_path_factory):
    """The compiled helper program."""
    return compiled('repair_main.c', tmp_path_factory.mktemp('dblwr'))


def write(server, stopping):
    """Insert into all tables until the server is gone."""
    try:
        conn = server.connect(database=page_tables.SCHEMA)
        with conn.cursor() as cur:
            while not stopping.is_set():
                for name in ('plain', 'kbs8', 'zlib'):
                    cur.execute(page_tables.FILL.format(t=name, n=300))
    except Exception:  # pylint: disable=broad-except
        assert stopping.is_set()  # killed


def status(server, name):
    """A number of SHOW GLOBAL STATUS."""
    return int(server.value(f"SELECT variable_value FROM performance_schema.global_status WHERE variable_name='{name}'"))


def killed(box, idle=False, **options):
    """Data directory of a server that was killed while it wrote pages of these tables; idle: when all was written."""
    server = box.server('killed', innodb_buffer_pool_size='16M', innodb_io_capacity=5000, **options).start()
    page_tables.make(server, SIZE, ('plain', 'kbs8', 'zlib'))
    stopping = threading.Event()
    thread = threading.Thread(target=write, args=(server, stopping), daemon=True)
    thread.start()
    first = status(server, 'Innodb_pages_written')
    wait_for(lambda: status(server, 'Innodb_pages_written') > first + 3000, timeout=90, what='3000 pages written')
    stopping.set()
    if idle:
        thread.join(20)
        server.sql('SET GLOBAL innodb_max_dirty_pages_pct_lwm = 0', 'SET GLOBAL innodb_max_dirty_pages_pct = 0')
        wait_for(lambda: not status(server, 'Innodb_buffer_pool_pages_dirty'), timeout=90, what='no dirty page')
        last = status(server, 'Innodb_redo_log_current_lsn')
        wait_for(lambda: status(server, 'Innodb_redo_log_checkpoint_lsn') >= last, timeout=90, what='checkpoint')
    server.kill()
    thread.join(20)
    return server.datadir


def spaces(datadir):
    """Space id -> (path below datadir, page size) of the schema's tables."""
    found = {}
    for path in checks_files.data_files(datadir):
        if f'/{page_tables.SCHEMA}/' in path:
            with open(path, 'rb') as f:
                page0 = f.read(64)
            found[struct.unpack_from('>I', page0, 34)[0]] = (os.path.relpath(path, datadir),
                                                            checks_files.page_size_of(page0)[0])
    return found


def doublewritten(datadir, suffix):
    """(LSN, space, page) of each doublewrite file's pages."""
    for name in sorted(os.listdir(datadir)):
        if not re.fullmatch(r'#ib_16384_\d+' + re.escape(suffix), name):
            continue
        with open(os.path.join(datadir, name), 'rb') as f:
            data = f.read()
        if suffix == '.dblwr':
            for at in range(0, len(data), SIZE):
                yield struct.unpack_from('>Q', data, at + 16) + struct.unpack_from('>I', data, at + 34) + \
                    struct.unpack_from('>I', data, at + 4)
        else:
            for at in range(0, len(data), 8192):
                for entry in range(struct.unpack_from('>H', data, at + 8)[0] // 16):
                    space, page, lsn = struct.unpack_from('>IIQ', data, at + 20 + 16 * entry)
                    yield lsn, space, page


def candidates(datadir, suffix='.dblwr'):
    """{(path, page): newest LSN} of doublewritten pages that lie in the tables' files; page size of each path."""
    files, newest = spaces(datadir), {}
    for lsn, space, page in doublewritten(datadir, suffix):
        if space in files and page and (page + 1) * files[space][1] <= os.path.getsize(os.path.join(datadir, files[space][0])):
            key = (files[space], page)
            newest[key] = max(newest.get(key, 0), lsn)
    return newest


def tear(datadir, file, page):
    """All but the begin of the page did not reach the disk. (Of compressed pages only the begin counts.)"""
    path, size = file
    damage.overwrite(os.path.join(datadir, path), page * size + 50, os.urandom(size - 50))


def run(tool, datadir):
    """What the helper program says about the tables' files."""
    files = sorted(path for path, _ in spaces(datadir).values())
    out = subprocess.run([tool, datadir, str(SIZE), str(damage.checkpoint(datadir)), *files],
                         stdout=subprocess.PIPE, check=False)
    return out.stdout.decode().strip()


def remove_doublewrite(datadir):
    """Recovery has nothing to repair pages from."""
    for name in os.listdir(datadir):
        if name.endswith('dblwr'):
            os.unlink(os.path.join(datadir, name))


def tables_of(box, name, datadir):
    """CHECKSUM TABLE after recovery, every table being sound; the server's error log."""
    give(datadir)
    server = box.adopt(name, datadir).start()
    assert page_tables.check(server) == []
    sums, log = page_tables.checksums(server), server.log_text()
    server.stop()
    return sums, log


def test_repaired_as_the_server_does(box, tool):
    """Torn pages that were in flight: our repair without doublewrite files is the server's with them."""
    good = killed(box)
    limit = damage.checkpoint(good)
    pages = [key for key, lsn in candidates(good).items() if lsn >= limit]
    kinds = {file for file, _ in pages}
    assert len(kinds) == 3 and len(pages) > 20, (kinds, len(pages))
    ours, theirs = (damage.copy(good, box.path('clones') + f'/{n}') for n in ('ours', 'theirs'))
    assert 'repaired=0' in run(tool, ours)
    for file, page in pages:
        tear(ours, file, page)
        tear(theirs, file, page)
    said = run(tool, ours)
    assert re.search(rf'repaired={len(pages)} unchecked=0', said), said
    remove_doublewrite(ours)
    want, log = tables_of(box, 'theirs', theirs)
    recovered = set(re.findall(r'Recovered page .*space=(\d+), page number=(\d+). from the doublewrite buffer', log))
    ids = {file: space for space, file in spaces(good).items()}
    # The server restores pages of zeroes, too; for us redo makes these.
    assert {(str(ids[file]), str(page)) for file, page in pages} <= recovered
    have, log = tables_of(box, 'ours', ours)
    assert 'from the doublewrite buffer' not in log
    assert have == want


def test_not_repaired(box, tool):
    """A page without a copy, and one whose only copy is older than the checkpoint: named, with what to do."""
    good = killed(box, idle=True)
    limit, found = damage.checkpoint(good), candidates(good)
    stale = [key for key, lsn in found.items() if 0 < lsn < limit]
    file = next(f for f, _ in found)
    none = next(n for n in range(3, 100) if (file, n) not in found)
    bad = damage.copy(good, box.path('clones') + '/bad')
    tear(bad, file, none)
    said = run(tool, bad)
    assert re.match(rf'page {none} of {file[0]} is corrupted .* the doublewrite files hold no sound copy of it; HINT: ',
                    said), said
    shutil.rmtree(bad)
    assert len(stale) == len(found)
    bad = damage.copy(good, box.path('clones') + '/bad')
    tear(bad, *stale[0])
    said = run(tool, bad)
    assert re.match(rf'page {stale[0][1]} of {stale[0][0][0]} is corrupted .* only a copy of it that is older than', said), said


def test_detect_only(box, tool):
    """innodb_doublewrite=DETECT_ONLY keeps no copies, and the server says which pages it wrote."""
    good = killed(box, innodb_doublewrite='DETECT_ONLY')
    limit = damage.checkpoint(good)
    found = [key for key, lsn in candidates(good, '.bdblwr').items() if lsn >= limit]
    assert found
    assert 'repaired=0 unchecked=0' in run(tool, good)
    (path, size), page = found[-1]
    tear(good, (path, size), page)
    said = run(tool, good)
    assert re.match(rf'page {page} of {path} is corrupted .* only tell that it was written', said), said
