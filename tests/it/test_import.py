# SPDX-License-Identifier: GPL-2.0-only
"""DISCARD and IMPORT TABLESPACE on a donor while it is cloned: the file is put there by somebody, and rewritten
without redo. The donor's daemon is stopped after its first look at the files."""
import contextlib
import os
import shutil
import signal

import pytest

from helpers import Background, copying, local, slow, wait_for
from sandbox import Sandbox
from test_inplace_cancel import stopped
from test_inplace_kill import HOOKS, World, need_hooks

ROWS = 4000


@pytest.fixture(name='hooked')
def hooked_box():
    """A sandbox of our build with hooks."""
    need_hooks()
    with Sandbox(build=HOOKS) as box:
        yield box
        assert box.leftovers() == []


def exported(donor, away):
    """A table whose file was copied away for IMPORT; its path."""
    donor.sql('CREATE TABLE proof.back (id INT PRIMARY KEY, s VARCHAR(400), KEY (s))',
              'SET SESSION cte_max_recursion_depth = 100000',
              f"INSERT INTO proof.back WITH RECURSIVE q(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM q WHERE i < {ROWS}) "
              "SELECT i, REPEAT(SHA2(i, 256), 5) FROM q")
    path = os.path.join(donor.datadir, 'proof', 'back.ibd')
    conn = donor.connect()
    conn.query('FLUSH TABLES proof.back FOR EXPORT')
    shutil.copyfile(path, away)
    conn.query('UNLOCK TABLES')
    conn.close()
    return path


def put(away, path, share):
    """Write so much of the file that was copied away, in place."""
    with open(away, 'rb') as f:
        data = f.read()
    with open(path, 'r+b' if os.path.exists(path) else 'wb') as f:
        f.write(data[:int(len(data) * share) // 16384 * 16384])
    stat = os.stat(os.path.dirname(path))
    os.chown(path, stat.st_uid, stat.st_gid)


def is_copied(target, path):
    """The clone has the last page of the file that is not empty."""
    with open(path, 'rb') as f:
        pages = [data for data in iter(lambda: f.read(16384), b'')]
    last = max(n for n, data in enumerate(pages) if any(data))
    try:
        with open(os.path.join(target, 'proof', 'back.ibd'), 'rb') as f:
            f.seek(last * 16384)
            return f.read(16384) == pages[last]
    except OSError:
        return False


def go_on(donor):
    """Daemons that are stopped run again."""
    for pid in stopped(donor):
        os.kill(pid, signal.SIGCONT)


@contextlib.contextmanager
def clone_in_looks(world, statement):
    """A clone whose daemon stops after each look; goes on at the end, whatever happened."""
    with world.ordered('donor', SNAPCLONE_STOP_AFTER='donor:look'), Background(world.donor, statement) as clone:
        try:
            yield clone
        finally:
            wait_for(lambda: go_on(world.donor) or not clone.running, 60, 'the end of the clone')


def test_import_between_two_looks(hooked):
    """The file is half there at the first look, for longer than a copy takes to go on: no damage. It is copied so, then
    completed and imported."""
    world = World(hooked)
    donor, away, target = world.donor, hooked.path('aside') + '/back.ibd', hooked.path('clones') + '/c'
    path = exported(donor, away)
    slow(donor, 10)
    with clone_in_looks(world, local(target)) as clone:
        copying(donor)
        donor.sql('ALTER TABLE proof.back DISCARD TABLESPACE')
        put(away, path, 0.5)
        # So much that it is not copied under the lock, and behind the other file.
        donor.sql('CREATE TABLE proof.much (t LONGTEXT)',
                  *["INSERT INTO proof.much VALUES (REPEAT('some text ', 100000))"] * 80)
        wait_for(lambda: stopped(donor) or not clone.running, 60, 'a look')
        assert clone.running, clone.result()
        go_on(donor)
        wait_for(lambda: is_copied(target, path) or stopped(donor), 60, 'a copy of half the file')
        assert not stopped(donor), 'there was no time between copy and look'
        put(away, path, 1)
        donor.sql('ALTER TABLE proof.back IMPORT TABLESPACE')
    assert clone.result() == (0, '')
    server = hooked.adopt('on-c', target, plugin='ours').start()
    assert server.sql('CHECK TABLE proof.back EXTENDED')[0][3] == 'OK'
    assert server.value('SELECT COUNT(*) FROM proof.back') == ROWS
    assert server.sql('CHECKSUM TABLE proof.back') == donor.sql('CHECKSUM TABLE proof.back')
