# SPDX-License-Identifier: GPL-2.0-only
"""Power cuts: what a file system's device held at each flush, by dm-log-writes, as copies to mount and look at."""
import contextlib
import os

from devices import TREE, Stack, run, sectors

REPLAY_LOG = os.path.join(TREE, 'build', 'dm', 'replay_log')
CHUNK_SECTORS = 32


def snapshot(stack, name, origin, cow):
    """A writable copy of a device: what is written goes to cow. Its path."""
    run('dd', 'if=/dev/zero', f'of={cow}', 'bs=4k', 'count=1', 'oflag=direct', 'status=none')
    return stack.dm(name, f'0 {sectors(origin)} snapshot {origin} {cow} N {CHUNK_SECTORS}')


class Recorder:
    """Records what is written to a copy of `base`: the base stays what it was before."""

    def __init__(self, stack, base, cow, log):
        device = snapshot(stack, 'recorded', base, cow)
        self.device = stack.dm('recorder', f'0 {sectors(device)} log-writes {device} {log}')

    def mark(self, text):
        """A mark in the log."""
        run('dmsetup', 'message', 'recorder', '0', 'mark', text)


class Log:
    """What was recorded. flushes: numbers of the entries after which something was durable."""

    def __init__(self, device):
        self.device = device
        self.flushes, self.marks = [], {}
        for line in run(REPLAY_LOG, 'list', device).splitlines():
            number, kind, *text = line.split()
            if kind == 'mark':
                self.marks[text[0]] = int(number)
            else:
                self.flushes.append(int(number))

    def between(self, first, last):
        """Flushes between two marks."""
        return [n for n in self.flushes if self.marks[first] < n < self.marks[last]]


class Replay:
    """Copies of the base as it was at one moment after the other."""

    def __init__(self, stack, log, base, cow, cut_cow):
        self.log, self.cut_cow = log, cut_cow
        self.device = snapshot(stack, 'replay', base, cow)
        self.done = 0

    def forward(self, to):
        """Go on to just behind that entry."""
        run(REPLAY_LOG, 'apply', self.log.device, self.device, str(self.done), str(to + 1))
        self.done = to + 1

    @contextlib.contextmanager
    def cut(self, lost_before=None, seed=0):
        """A copy of what is there now, to be mounted and thrown away; its device.

        lost_before: some of what was written until that entry is there too, by chance.
        """
        with Stack() as stack:
            device = snapshot(stack, 'cut', self.device, self.cut_cow)
            if lost_before:
                run(REPLAY_LOG, 'apply', self.log.device, device, str(self.done), str(lost_before), str(seed))
            yield stack, device
