# SPDX-License-Identifier: GPL-2.0-only
"""How long writes wait for an image while a buffered writer keeps the file system dirty, beside a bare suspend and resume."""
import os
import threading
import time

import pytest

from devices import linear, run
from image import Image, bare_swap

DISKS = ('1200M', '1G')
ORIGIN, AREA = '/dev/disk0', '/dev/disk1'
MEMORY = '2G'
FILE_MIB = 500
PIECE = os.urandom(1 << 20)
# What it shall find is a swap that writes the dirty pages while writers wait: every round has that. Other guests share
# the machine, and what they cost only some rounds have.
FACTOR, SLACK_MS, ROUNDS = 3, 300, 6


class Writer(threading.Thread):
    """Writes a file of 500 MB through the page cache, over and over; how long the longest write took."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        self.pieces, self.longest, self.stopping, self.error = 0, 0.0, threading.Event(), None

    def run(self):
        """Thread body."""
        try:
            while not self.stopping.is_set():
                began = time.monotonic()
                os.pwrite(self.fd, PIECE, self.pieces % FILE_MIB << 20)
                self.longest = max(self.longest, time.monotonic() - began)
                self.pieces += 1
        except OSError as e:
            self.error = e

    def write(self, mib):
        """Wait until it has written so much more."""
        want = self.pieces + mib
        while self.pieces < want:
            assert not self.error, self.error
            time.sleep(0.01)

    def stall(self):
        """Milliseconds of the longest write since the last call."""
        value, self.longest = self.longest, 0.0
        return value * 1000

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_exc):
        self.stopping.set()
        self.join(60)
        assert not self.is_alive(), 'a write hangs'
        os.close(self.fd)
        assert not self.error, self.error


def one_round(writer, directory):
    """Milliseconds: {'bare', 'swap', 'undo': (the change, the longest write around it)}, and the longest write alone."""
    writer.write(FILE_MIB // 2)
    alone = writer.stall()
    took = {'bare': bare_swap(directory) / 1000}
    writer.write(10)
    stall = {'bare': writer.stall()}
    with Image(directory, f'--cow={AREA}') as image:
        writer.write(10)
        took['swap'], stall['swap'] = int(image.made[1]) / 1000, writer.stall()
    writer.write(10)
    took['undo'], stall['undo'] = int(image.undone.split()[1]) / 1000, writer.stall()
    return {name: (took[name], stall[name]) for name in took}, alone


def is_calm(times, alone):
    """Does neither change take much longer than a bare one, nor any write around it?"""
    (bare, bare_stall), *ours = times.values()
    return all(took < FACTOR * bare + SLACK_MS and stall < FACTOR * max(bare_stall, alone) + SLACK_MS
               for took, stall in ours)


@pytest.mark.parametrize('kind', ['xfs', 'ext4'])
def test_longest_write(stack, kind):
    """Swap, undo and the longest write beside those of a suspend and resume without an image."""
    directory = stack.filesystem(kind, stack.dm('origin', linear(ORIGIN)))
    run('dd', 'if=/dev/zero', f'of={AREA}', 'bs=1M', 'count=1', 'conv=fsync', 'status=none')
    rounds = []
    with Writer(directory + '/big') as writer:
        writer.write(FILE_MIB)
        writer.stall()
        while len(rounds) < ROUNDS and not (rounds and is_calm(*rounds[-1])):
            rounds.append(one_round(writer, directory))
    assert is_calm(*rounds[-1]), rounds
