# SPDX-License-Identifier: GPL-2.0-only
"""Disks that fail: requests of a daemon's engine fail, end early or are done in parts, on either side of a clone.

The faults are made below the engine by the build with hooks (io/engine_hook.h); tests/unit/test_faults.c goes
through every request of a clone.
"""
import errno
import shutil

import pytest

from helpers import OURS, instance, local, nothing_left, unharmed
from sandbox import Sandbox
from test_inplace_kill import HOOKS, World, need_hooks

READ, WRITE, FSYNC = 1, 2, 4  # 1 << enum sc_io_op
FAILS, ENDS = 1, 2  # enum sc_fault_kind
NO_SPACE = 3873  # ER_CLONE_DISK_SPACE

# How, whose daemon, kind, number of the request, operations, errno; error number and a part of the message.
FAULTS = [
    ('instance', 'donor', FAILS, 1, READ, errno.EIO, None, 'cannot read '),
    ('instance', 'donor', FAILS, 9, READ, errno.EIO, None, 'cannot read '),
    ('instance', 'donor', ENDS, 9, READ, 0, None, 'was truncated while it was copied'),
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
