# SPDX-License-Identifier: GPL-2.0-only
"""Disks that fail: requests of a daemon's engine fail, end early or are done in parts, on either side of a clone.

The faults are made below the engine by the build with hooks (io/engine_hook.h); tests/unit/test_faults.c goes
through every request of a clone. Then a sample of what the fault campaign (tests/fault/campaign.c) does without
servers: other calls of a daemon fail, and it is killed after a step.
"""
import contextlib
import errno
import os
import shutil
import struct
import subprocess

import pytest

from helpers import OURS, instance, local, nothing_left, unharmed
from proof.checks_files import SNAPCLONE
from sandbox import Sandbox
from test_inplace_kill import HOOKS, World, need_hooks

READ, WRITE, FSYNC = 1, 2, 4  # 1 << enum sc_io_op
FAILS, ENDS = 1, 2  # enum sc_fault_kind
NO_SPACE = 3873  # ER_CLONE_DISK_SPACE

# How, whose daemon, kind, number of the request, operations, errno; error number and a part of the message.
FAULTS = [
    ('instance', 'donor', FAILS, 1, READ, errno.EIO, None, 'cannot read '),
    ('instance', 'donor', FAILS, 9, READ, errno.EIO, None, 'cannot read '),
    ('instance', 'recipient', FAILS, 1, WRITE, errno.ENOSPC, NO_SPACE, 'No space left on device'),
    ('instance', 'recipient', FAILS, 9, WRITE, errno.ENOSPC, NO_SPACE, 'No space left on device'),
    ('instance', 'recipient', FAILS, 9, WRITE, errno.EIO, None, 'Input/output error'),
    ('instance', 'recipient', FAILS, 1, FSYNC, errno.EIO, None, 'cannot fsync '),
    ('instance', 'recipient', FAILS, 4, FSYNC, errno.ENOSPC, NO_SPACE, 'cannot fsync '),
    ('local', 'donor', FAILS, 9, READ, errno.EIO, None, 'cannot read '),
    ('local', 'donor', FAILS, 9, WRITE, errno.ENOSPC, NO_SPACE, 'No space left on device'),
    ('local', 'donor', FAILS, 4, FSYNC, errno.EIO, None, 'cannot fsync '),
]


@pytest.fixture(scope='module')
def world():
    """One donor and recipient for all tests: each leaves both as they were."""
    need_hooks()
    with Sandbox(build=HOOKS) as box:
        yield World(box)
        assert box.leftovers() == []


def statement(world, how):
    """(server that runs it, CLONE statement, directory)."""
    target = world.box.path('clones') + '/c'
    if how == 'local':
        return world.donor, local(target), target
    return world.recipient, instance(world.donor, target), target


@pytest.mark.parametrize('fault', FAULTS, ids=lambda f: '-'.join(str(x) for x in f[:6]))
def test_a_request_that_fails(world, fault):
    """The client gets the number and a message that says what and where; nothing stays; the servers run on."""
    how, side, kind, at, ops, number, code, text = fault
    server, sql, target = statement(world, how)
    pid = world.donor.pid
    with world.ordered(side, SNAPCLONE_FAULTS=f'1 0 0 1 {kind} {at} {ops} {number}'):
        got, message = server.error(sql)
    assert got and text in message, (got, message)
    assert code in (None, got), (got, message)
    nothing_left(world.box, target)
    unharmed(world.donor, pid)


def test_a_file_that_ends_early(world):
    """Files may be shorter than they were listed while DDL runs: it is copied again, and the clone is right."""
    _, sql, target = statement(world, 'local')
    with world.ordered('donor', SNAPCLONE_FAULTS=f'1 0 0 1 {ENDS} 9 {READ} 0'):
        world.donor.sql(sql)
    out = subprocess.run([SNAPCLONE, 'verify', target], capture_output=True, text=True, check=False)
    assert out.returncode == 0, out.stdout + out.stderr
    shutil.rmtree(target)


@pytest.mark.parametrize('how', ['local', 'instance'])
def test_what_kernels_may_do(world, how):
    """Requests done in parts, interrupted and finished in any order, on both sides: the clone is right."""
    server, sql, target = statement(world, how)
    rows = world.donor.value('SELECT COUNT(*) FROM proof.load0')
    plan = {'SNAPCLONE_FAULTS': '7 300 100 1 0 0 0 0'}
    with world.ordered('donor', **plan), world.ordered('recipient', **plan):
        code, message = server.error(sql)
    assert code == 0, message
    assert 'every engine makes faults' in server.log_text()
    clone = world.box.adopt('clone-' + how, target, plugin=OURS).start()
    assert clone.value('SELECT COUNT(*) FROM proof.load0') == rows
    for table in ('load0', 'load1'):
        assert clone.sql(f'CHECK TABLE proof.{table} EXTENDED')[-1][-1] == 'OK'
    clone.stop()
    shutil.rmtree(target)


# ---- a sample of the fault campaign ---------------------------------------------------------------------------

MEMORY, FILE_READ, FILE_WRITE, NET, CONTROL, BITS = range(6)  # enum fault_class in tests/fault/board.h
CLASSES, BOARD_SIZE = 6, 32768  # at least sizeof(struct fault_board)
PLAN = '<IiQ'  # class, error, at: its first fields
# How, whose daemon, class of calls, errno, which of them (of 1).
CALLS = [
    ('instance', 'donor', MEMORY, errno.ENOMEM, 0.3),
    ('instance', 'donor', FILE_READ, errno.EIO, 0.5),
    ('instance', 'donor', NET, errno.ECONNRESET, 0.5),
    ('instance', 'donor', CONTROL, errno.ECONNRESET, 0.5),
    ('instance', 'recipient', MEMORY, errno.ENOMEM, 0.5),
    ('instance', 'recipient', FILE_WRITE, errno.EIO, 0.6),
    ('instance', 'recipient', FILE_WRITE, errno.ENOSPC, 0.3),
    ('instance', 'recipient', BITS, 0, 0.4),
    ('local', 'donor', FILE_WRITE, errno.ENOSPC, 0.5),
    ('local', 'donor', MEMORY, errno.ENOMEM, 0.5),
]
KILLS = [('instance', 'donor', 'donor:copy'), ('instance', 'donor', 'donor:seal'), ('instance', 'recipient', 'recipient:receive'),
         ('instance', 'recipient', 'recipient:seal'), ('local', 'donor', 'donor:open sink'), ('local', 'donor', 'donor:seal')]


class Board:
    """The file by which a daemon is told which call fails, and in which it counts them."""

    def __init__(self, box):
        self.path = os.path.join(box.base, 'board')

    def write(self, kind=0, number=0, at=0):
        """A plan; at=0: nothing fails."""
        with open(self.path, 'wb') as f:
            f.write(struct.pack(PLAN, kind, number, at).ljust(BOARD_SIZE, b'\0'))
        os.chmod(self.path, 0o666)

    def read(self):
        """(calls seen by class, True when the one came that fails)."""
        with open(self.path, 'rb') as f:
            data = f.read()
        return struct.unpack_from(f'<{CLASSES}Q', data, 16), bool(data[16 + 8 * CLASSES])


@pytest.fixture(scope='module')
def counts(world):
    """{(how, side): calls of each class} of clones in which nothing fails."""
    board, found = Board(world.box), {}
    for how, side in sorted({c[:2] for c in CALLS}):
        board.write()
        server, sql, target = statement(world, how)
        with world.ordered(side, SNAPCLONE_FAULT_BOARD=board.path):
            server.sql(sql)
        shutil.rmtree(target)
        found[how, side] = board.read()[0]
    return found


def ended_well(world, target, code, message):
    """A clone that failed has left nothing, one that did not is complete."""
    if code == 0:
        assert subprocess.run([SNAPCLONE, 'verify', target], check=False).returncode == 0
        shutil.rmtree(target)
    assert message or not code
    nothing_left(world.box, target)


@contextlib.contextmanager
def then_another(world, how):
    """After it the next clone succeeds."""
    pid = world.donor.pid
    yield
    server, sql, target = statement(world, how)
    server.sql(sql)
    shutil.rmtree(target)
    unharmed(world.donor, pid)


@pytest.mark.parametrize('call', CALLS, ids=lambda c: '-'.join(str(x) for x in c))
def test_a_call_that_fails(world, counts, call):
    """Not only requests of an engine: memory, files, sockets, bits on the way."""
    how, side, kind, number, part = call
    board = Board(world.box)
    board.write(kind, number, max(1, int(counts[how, side][kind] * part)))
    server, sql, target = statement(world, how)
    with then_another(world, how):
        with world.ordered(side, SNAPCLONE_FAULT_BOARD=board.path):
            code, message = server.error(sql)
        ended_well(world, target, code, message)
        assert board.read()[1], f'not reached: {counts[how, side]} calls, now {board.read()[0]}'
        if number == errno.ENOSPC:
            assert code == NO_SPACE and 'No space left on device' in message, (code, message)
        if kind in (FILE_READ, FILE_WRITE):
            assert os.strerror(number) in message, (code, message)


@pytest.mark.parametrize('kill', KILLS, ids=lambda k: '-'.join(k))
def test_a_daemon_that_dies(world, kill):
    """SIGKILL after a step: the error says that the daemon is lost, and what it made is gone."""
    how, side, step = kill
    server, sql, target = statement(world, how)
    with then_another(world, how):
        with world.ordered(side, SNAPCLONE_KILL_AFTER=step):
            code, message = server.error(sql)
        ended_well(world, target, code, message)
        assert code and 'lost the daemon' in message, (code, message)
