# SPDX-License-Identifier: GPL-2.0-only
"""SIGKILL after every step of a clone in place, of a daemon, of mysqld, of both: the old data or the new, complete.

The steps are read from the sources: whoever reports a step with sc_step_done() has it tested here. Needs
the build with hooks (io/base/step.h).
"""
import contextlib
import glob
import os
import re

import pytest

from helpers import need_ours, only_ours, start_donor, unharmed
from inplace import ENDED, changed, in_place, is_clone, recipient_of, replace, state, tidy
from sandbox import Sandbox
from template import BUILD, TREE

HOOKS = os.path.join(BUILD, 'hooks')
# From here on the clone counts; after every other step the old data is there.
COMMITTED = {'recipient:commit', 'replace:committed', 'replace:reset', 'donor:finish', 'finish:check', 'finish:reset',
             'finish:repair', 'finish:clean up'}
AGAIN = {'recipient:seal', 'inplace:rename new files', 'replace:mark reset'}  # a sample: another clone succeeds


def read_steps():
    """{part of the tree: ['table:step']} of every sc_step_done().

    Steps of dm images run in guests (tests/dm), those of lost redo in the fault campaign (tests/fault).
    """
    texts = {}
    for part in ('io', 'daemon', 'plugin'):
        for path in glob.glob(os.path.join(TREE, part, '*.c')):
            with open(path, encoding='utf-8') as f:
                texts[path] = f.read()
    found = {'daemon': [], 'donor': [], 'mysqld': []}
    for path, text in sorted(texts.items()):
        for table, step in re.findall(r'sc_step_done\(\s*"(\w+)",\s*([^;]+)\);', text):
            if os.path.basename(path).startswith('dm_') or table == 'lost':
                continue
            part = 'mysqld' if f'{os.sep}plugin{os.sep}' in path else 'donor' if table == 'donor' else 'daemon'
            names = [step.strip('"')]
            if not step.startswith('"'):
                array = re.match(r'(\w+)\[', step).group(1)
                places = [text] + [t for t in texts.values() if t != text]
                body = next(b for b in (re.search(rf'\b{array}\[\] = \{{(.*?)\n\}};', t, re.S) for t in places) if b)
                names = re.findall(r'\{\s*"([^"]+)"', body.group(1))
            assert names, (path, table, step)
            found[part] += [f'{table}:{name}' for name in names]
    return found


STEPS = read_steps()


class World:
    """A donor and a recipient whose daemons and whose mysqld are killed where a test says."""

    def __init__(self, box):
        self.box, self.step = box, None
        self.box.our_plugin()
        self.donor = start_donor(box, megabytes=2, loose_clone_daemon_path=self.wrapper('donor'))
        self.recipient = recipient_of(box, self.donor, loose_clone_daemon_path=self.wrapper('recipient'))

    def order(self, side):
        """File that tells that side's daemons what to do."""
        return os.path.join(self.box.base, f'{side}.kill')

    def wrapper(self, side):
        """A program for clone_daemon_path that looks into that file: daemons get an empty environment."""
        path = os.path.join(self.box.base, '.plugin', f'snapcloned-{side}')
        with open(path, 'w', encoding='ascii') as f:
            f.write(f'#!/bin/sh\nif [ -r {self.order(side)} ]; then\n'
                    f'    read -r order <{self.order(side)}\n    eval "export $order"\nfi\n'
                    f'exec {os.path.join(self.box.base, ".plugin", "snapcloned")} "$@"\n')
        os.chmod(path, 0o755)
        return path

    def start(self, step=None):
        """Start the recipient so that its mysqld dies after that step."""
        self.recipient.start(env={'SNAPCLONE_KILL_AFTER': step} if step else None)
        self.step = step

    def old(self):
        """Write to the recipient, so that its data is not the donor's; its state then."""
        self.recipient.sql('CREATE SCHEMA IF NOT EXISTS own',
                           'CREATE TABLE IF NOT EXISTS own.t (i INT AUTO_INCREMENT PRIMARY KEY)', 'INSERT INTO own.t VALUES ()',
                           'CREATE TABLE IF NOT EXISTS own.m (i INT) ENGINE=MyISAM', 'INSERT INTO own.m VALUES (1)')
        return state(self.recipient)

    @contextlib.contextmanager
    def ordered(self, side, **variables):
        """Daemons of that side that are started now get these variables."""
        with open(self.order(side), 'w', encoding='ascii') as f:
            f.write(' '.join(f"{name}='{value}'" for name, value in variables.items()) + '\n')
        os.chmod(self.order(side), 0o644)
        try:
            yield
        finally:
            os.unlink(self.order(side))

    def clone(self, side, step, parent=False):
        """A clone during which that side's daemon dies; error number and text."""
        with self.ordered(side, SNAPCLONE_KILL_AFTER=step, SNAPCLONE_KILL_PARENT=int(parent)):
            return self.recipient.error(in_place(self.donor))

    def outcome(self, before, restarted):
        """'old' or 'new'; anything else is an error."""
        tidy(self.recipient)
        after = state(self.recipient)
        found = changed(before, after, *(['binary logs'] if restarted else []))
        if found:
            assert after['gtid_executed'] != before['gtid_executed'], found
            is_clone(self.recipient, self.donor, before)
            return 'new'
        assert [n for n, _ in before['binary logs']] == [n for n, _ in after['binary logs']][:len(before['binary logs'])]
        assert before['binary logs'][:-1] == after['binary logs'][:len(before['binary logs']) - 1]
        return 'old'

    def end(self, step, before, restarted):
        """Look at what came of it, and clone again."""
        assert self.outcome(before, restarted) == ('new' if step in COMMITTED else 'old')
        if step in AGAIN:
            if self.step:
                self.recipient.kill()
                self.start()
            replace(self.recipient, in_place(self.donor))
            is_clone(self.recipient, self.donor)


def need_hooks():
    """Skip the test when our build with hooks is not there."""
    need_ours()
    only_ours()
    if not os.path.exists(os.path.join(HOOKS, 'mysql_clone.so')):
        pytest.skip(f'{HOOKS} is not built: make HOOKS=1')


@pytest.fixture(scope='module')
def world():
    """One for all tests: each leaves both servers running, with the data of one or the other."""
    need_hooks()
    with Sandbox(build=HOOKS) as box:
        yield World(box)
        assert box.leftovers() == []


def test_the_steps_are_found():
    """The sources are read as they are meant."""
    assert 'recipient:commit' in STEPS['daemon'] and 'inplace:sync' in STEPS['daemon']
    assert 'donor:copy' in STEPS['donor'] and 'replace:backup lock' in STEPS['mysqld']
    assert COMMITTED | AGAIN <= {s for steps in STEPS.values() for s in steps}


@pytest.mark.parametrize('step', STEPS['daemon'])
def test_daemon(world, step):
    """The recipient's daemon dies: mysqld notices and undoes, or restarts when it had committed."""
    before, runs, pid = world.old(), len(world.recipient.statuses()), world.donor.pid
    code, message = world.clone('recipient', step)
    print(code, message)
    assert (code in ENDED) == (step in COMMITTED)
    if step in COMMITTED:
        world.recipient.wait_restarted(runs)
    world.end(step, before, step in COMMITTED)
    unharmed(world.donor, pid)


@pytest.mark.parametrize('step', STEPS['donor'])
def test_donor_daemon(world, step):
    """The donor's daemon dies."""
    before, runs, pid = world.old(), len(world.recipient.statuses()), world.donor.pid
    code, message = world.clone('donor', step)
    print(code, message)
    if code in ENDED:
        world.recipient.wait_restarted(runs)
    world.end(step, before, code in ENDED)
    unharmed(world.donor, pid)


@pytest.mark.long
@pytest.mark.parametrize('step', STEPS['donor'])
def test_donor_daemon_and_mysqld(world, step):
    """The donor's daemon and its mysqld die at the same moment; the donor recovers by itself."""
    before, runs = world.old(), len(world.recipient.statuses())
    code, message = world.clone('donor', step, parent=True)
    print(code, message)
    assert world.donor.wait_ended() == -9
    world.donor.start()
    if code in ENDED:
        world.recipient.wait_restarted(runs)
    world.end(step, before, code in ENDED)
    unharmed(world.donor, world.donor.pid)


@pytest.mark.parametrize('step', STEPS['daemon'])
def test_daemon_and_mysqld(world, step):
    """The recipient's daemon and its mysqld die at the same moment."""
    before, pid = world.old(), world.donor.pid
    assert world.clone('recipient', step, parent=True)[0] in (2006, 2013)
    assert world.recipient.wait_ended() == -9
    world.start()
    world.end(step, before, True)
    unharmed(world.donor, pid)


@pytest.mark.parametrize('step', STEPS['mysqld'])
def test_mysqld(world, step):
    """The recipient's mysqld dies; its daemon undoes what it staged. "finish" is done by the start on the clone."""
    if world.step != step:
        world.recipient.kill()
        world.start(step)
    before, pid = world.old(), world.donor.pid
    assert world.recipient.error(in_place(world.donor))[0] in ENDED
    assert world.recipient.wait_ended() == -9
    following = STEPS['mysqld'][STEPS['mysqld'].index(step) + 1:]
    world.start(following[0] if following and not following[0].startswith('finish:') else None)
    world.end(step, before, True)
    unharmed(world.donor, pid)


@pytest.mark.long
@pytest.mark.parametrize('step', [s for s in STEPS['mysqld'] if s.startswith('finish:')])
def test_mysqld_twice(world, step):
    """mysqld dies before binary logs and GTIDs are reset, and again in the start that does it."""
    if world.step != 'replace:committed':
        world.recipient.kill()
        world.start('replace:committed')
    before = world.old()
    assert world.recipient.error(in_place(world.donor))[0] in ENDED
    assert world.recipient.wait_ended() == -9
    world.recipient.start(wait=False, env={'SNAPCLONE_KILL_AFTER': step})
    assert world.recipient.wait_ended() == -9
    world.start('replace:committed')
    world.end(step, before, True)
