# SPDX-License-Identifier: GPL-2.0-only
"""Power cut of the recipient: at every flush of a clone in place its file system has the old data or the new, complete."""
import hashlib
import os
import subprocess

import pytest

from devices import MKFS, TREE, Stack, run
from guest import ALL
from helpers import INSTALL, OURS, start_donor
from inplace import ENDED, changed, in_place, is_clone, own_data, state, tidy
from power import Log, Recorder, Replay
from template import copy_template

DISKS = ('768M', '4G', '1G', '1G', '1G')
BASE, LOG, DONOR, COW, CUT_COW = (f'/dev/disk{n}' for n in range(5))
MEMORY = '3G'
LIMIT_S = 600
ALL_LIMIT_S = 1200
STARTS = 25  # servers started, of the moments at which names changed in #clone
STARTING_EVERY = 1 if ALL else 6  # flushes looked at while InnoDB recovers: most of them
LOST_EVERY = 1 if ALL else 4  # flushes before which some writes get lost
PHASES = ['old', 'committed', 'starting', 'finished']


class World:
    """A donor, and a recipient whose every write during a clone is recorded."""

    def __init__(self, stack, boxes, kind):
        self.box = boxes(stack.filesystem('ext4', DONOR))
        self.donor = start_donor(self.box, megabytes=2)
        run(*MKFS[kind], BASE)
        with Stack() as first:
            self.directory = first.mount(BASE)
            first.undo.pop(0)  # the directory stays
            stack.undo.append(lambda: os.rmdir(self.directory))
            self.data = os.path.join(self.directory, 'data')
            copy_template(self.data)
            self.recipient = self.box.adopt('recipient', self.data, plugin=OURS,
                                            loose_clone_valid_donor_list=f'127.0.0.1:{self.donor.port}').start()
            self.recipient.sql(INSTALL)
            own_data(self.recipient, 1)
            self.recipient.stop()
            self.own = self.digests()
        self.before = self.record()
        self.log = Log(LOG)

    def record(self):
        """A clone in place, recorded; the recipient's state before it."""
        with Stack() as stack:
            recorder = Recorder(stack, BASE, COW, LOG)
            stack.mount(recorder.device, directory=self.directory)
            self.recipient.start()
            before = state(self.recipient)
            recorder.mark('clone')
            runs = len(self.recipient.statuses())
            code, message = self.recipient.error(in_place(self.donor))
            assert code in ENDED, message
            recorder.mark('returned')
            self.recipient.wait_restarted(runs)
            recorder.mark('restarted')
            is_clone(self.recipient, self.donor, before)
            recorder.mark('end')
            self.recipient.stop()
        return before

    def digests(self):
        """{name: digest} of files of the old data that its server does not touch."""
        found = {}
        for schema in ('own', 'own@002ddata'):
            for name in sorted(os.listdir(os.path.join(self.data, schema))):
                if '#clone' not in name:
                    with open(os.path.join(self.data, schema, name), 'rb') as f:
                        found[f'{schema}/{name}'] = hashlib.sha256(f.read()).hexdigest()
        return found

    def names(self):
        """Names in #clone."""
        path = os.path.join(self.data, '#clone')
        return set(os.listdir(path)) if os.path.isdir(path) else set()

    def has(self, *names):
        """Whether one of those names is in #clone."""
        return not self.names().isdisjoint(names)

    def listed(self, name):
        """Names in a list in #clone."""
        try:
            with open(os.path.join(self.data, '#clone', name), encoding='utf-8') as f:
                return f.read().split('\n')[:-1]
        except FileNotFoundError:
            return []

    def phase(self):
        """What the next start will do, by the names that are there."""
        if self.has('#status_error') or not self.has('#snapclone_manifest.jsonl', '#new_files'):
            return 'old'
        if self.has('#status_recovery'):
            return 'starting'
        return 'committed' if self.has('#new_files', '#replace_files', '#old_files') else 'finished'

    def missing(self, phase):
        """Files of the lists that are under none of the names they may have."""
        suffixes = {'#new_files': [''], '#replace_files': ['.#clone', '']}
        if phase == 'committed':  # later they are removed, one by one
            suffixes['#old_files'] = ['', '.#clone_save']
        return [f'{list_name}: {name}' for list_name, ends in suffixes.items() for name in self.listed(list_name)
                if not any(os.path.exists(os.path.join(self.data, name + end)) for end in ends)]

    def look(self, written=False):
        """Check the files of a copy that is mounted; its phase.

        written: what InnoDB wrote when it started may be there, but not its note that it did, which it does not sync
        (seen on ext4). The next start does it all again.
        """
        phase = self.phase()
        if phase == 'old':
            assert self.digests() == self.own
            return phase
        assert self.missing(phase) == []
        if phase == 'committed' and not written:
            done = subprocess.run([os.path.join(TREE, 'build', 'snapclone'), 'verify', self.data], check=False,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            said = done.stdout.decode()
            assert done.returncode == 0 and 'before the first start: ' in said and ' 0 differences' in said, said
        return phase

    def start(self):
        """Start a server on a copy; 'old' or 'new', anything else is an error."""
        self.recipient.start()
        try:
            tidy(self.recipient, 30)
            found = changed(self.before, state(self.recipient), 'binary logs')
            if not found:
                return 'old'
            is_clone(self.recipient, self.donor, self.before)
            return 'new'
        finally:
            self.recipient.kill()


def moments(seen):
    """Of (flush, phase, names in #clone): before and after what changes names, at most STARTS; or the phase only."""
    what = 2 if ALL else 1
    turns = [n for n in range(1, len(seen)) if seen[n][what] != seen[n - 1][what]]
    found = sorted({seen[m][0] for n in turns for m in (n - 1, n)})
    step = max(1, len(found) / STARTS)
    return {found[int(n * step)] for n in range(min(STARTS, len(found)))}


def replay(world, look, only=None):
    """look(flush, next flush, replay) at every flush from the statement on, or at those only.

    Returned: the phase. While InnoDB recovers, which is most of the time, at every STARTING_EVERY.
    """
    restarted = world.log.marks['restarted']
    flushes, phase = world.log.between('clone', 'end'), ''
    with Stack() as stack:
        replayed = Replay(stack, world.log, BASE, COW, CUT_COW)
        for n, flush in enumerate(flushes):
            if flush in only if only else phase != 'starting' or flush > restarted or n % STARTING_EVERY == 0:
                replayed.forward(flush)
                phase = look(flush, flushes[n + 1] if n + 1 < len(flushes) else None, replayed)


@pytest.mark.parametrize('kind', ['xfs', 'ext4'])
def test_power_cut(stack, boxes, kind):
    """Files at every flush, and with some of the writes since; servers started where something changes."""
    world = World(stack, boxes, kind)
    seen, outcomes, counts = [], {}, dict.fromkeys(PHASES, 0)

    def look(flush, following, replayed):
        written = flush > world.log.marks['returned']
        with replayed.cut() as (cut, device):
            cut.mount(device, directory=world.directory)
            phase = world.look(written)
            seen.append((flush, phase, world.names()))
            counts[phase] += 1
        if following and len(seen) % LOST_EVERY == 0:
            with replayed.cut(following, seed=flush) as (cut, device):
                cut.mount(device, directory=world.directory)
                assert PHASES.index(world.look(written)) >= PHASES.index(phase)
        return phase

    def start(flush, following, replayed):
        lost = following if len(outcomes) % 2 else None
        with replayed.cut(lost, seed=flush) as (cut, device):
            cut.mount(device, directory=world.directory)
            phase = world.phase()
            outcomes[flush] = world.start()
            assert outcomes[flush] == ('old' if phase == 'old' else 'new'), (flush, phase)

    replay(world, look)
    print(counts)
    phases = [phase for _, phase, _ in seen]
    assert phases == sorted(phases, key=PHASES.index) and set(phases) == set(PHASES)
    replay(world, start, only=moments(seen))
    print(outcomes)
    assert set(outcomes.values()) == {'old', 'new'}
