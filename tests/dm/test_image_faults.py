# SPDX-License-Identifier: GPL-2.0-only
"""Images of devices: killed at random moments under a writer, and what breaks below them."""
import os
import random
import signal
import subprocess
import threading
import time

import pytest

from devices import linear, run, sectors
from guest import ALL
from image import LIMIT_S as ANSWER_S, TOOL, Image, reap, suspended
from state import differences, state

DISKS = ('512M', '256M')
ORIGIN, AREA = '/dev/disk0', '/dev/disk1'
COW = f'--cow={AREA}'
KILLS = 200 if ALL else 60
STALL_S = 20  # a writer that has got nothing done for so long hangs
BLOCK = 65536


def fill(path, mib=8):
    """A file on its device."""
    with open(path, 'wb') as f:
        f.write(os.urandom(BLOCK) * (mib * (1 << 20) // BLOCK))
        os.fsync(f.fileno())


def overwrite(path, mib):
    """Write over the beginning of a file, to its device."""
    run('dd', 'if=/dev/urandom', f'of={path}', 'bs=1M', f'count={mib}', 'conv=notrunc,fsync', 'oflag=direct', 'status=none')


class Writer:
    """Overwrites the blocks of a file one after the other, each with fsync, until the block ends."""

    def __init__(self, path, blocks=64):
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        self.blocks, self.written, self.error = blocks, 0, None
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.loop, daemon=True)

    def loop(self):
        """Thread body."""
        try:
            while not self.stopping.is_set():
                os.pwrite(self.fd, os.urandom(512) * (BLOCK // 512), self.written % self.blocks * BLOCK)
                os.fsync(self.fd)
                self.written += 1
        except OSError as e:
            self.error = e

    def goes_on(self):
        """Wait until a write is done that began after this was called."""
        want, deadline = self.written + 2, time.monotonic() + STALL_S
        while self.written < want:
            assert not self.error, self.error
            assert time.monotonic() < deadline, f'no write ends in {STALL_S} s'
            time.sleep(0.005)

    def __enter__(self):
        self.thread.start()
        self.goes_on()
        return self

    def __exit__(self, *_exc):
        self.stopping.set()
        self.thread.join(STALL_S)
        assert not self.thread.is_alive(), 'a write hangs'
        os.close(self.fd)
        assert not self.error, self.error


@pytest.fixture
def origin(stack):
    """A mounted XFS on a linear device with a file."""
    directory = stack.filesystem('xfs', stack.dm('origin', linear(ORIGIN)))
    fill(directory + '/file')
    return directory


def seconds_of_an_image(directory):
    """How long it takes to make and undo one."""
    began = time.monotonic()
    with Image(directory, COW):
        pass
    return time.monotonic() - began


def test_killed_at_random(origin):
    """SIGKILL while an image is made, used and undone: never suspended, writes go on, reaped without a trace."""
    seed, left = random.randrange(1 << 30), 0
    chance = random.Random(seed)
    print('seed', seed)
    before = state()
    del before['process']
    with Writer(origin + '/written') as writer:
        whole_s = min(map(seconds_of_an_image, [origin] * 3))
        for _ in range(KILLS):
            with subprocess.Popen([TOOL, COW, 'make', origin], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL) as process:
                time.sleep(chance.uniform(0, 1.2 * whole_s))
                process.send_signal(signal.SIGKILL)
                process.wait(ANSWER_S)
            writer.goes_on()
            assert suspended() == []
            left += reap()
            writer.goes_on()
            assert run('dmsetup', 'ls').split()[0::2] == ['origin']
        with Image(origin, COW) as image:
            assert image.ask('check') == 'whole'
    print('images left:', left)
    assert left > KILLS // 10, 'the moments were not of making and undoing'
    before['process'] = state()['process']
    assert differences(before) == []


# ---- what breaks below it -------------------------------------------------------------------------------------


def lost(image, word):
    """The image is lost, for that reason."""
    answer = image.ask('check')
    assert answer.startswith('lost ') and word in answer, answer


@pytest.mark.parametrize('mib', [15, 17, 30])
def test_area_full(origin, clean, mib):
    """An area of 16 MiB: what needs less keeps the image, what needs more loses it; writes go on."""
    clean.expected += ['Invalidating snapshot', 'I/O error']
    fill(origin + '/file', 40)
    with Image(origin, COW, '--size=16') as image:
        overwrite(origin + '/file', mib)
        if mib < 16:
            assert image.ask('check') == 'whole'
        else:
            lost(image, 'is full or failed')
        overwrite(origin + '/file', 40)
        lost(image, 'is full or failed')
    overwrite(origin + '/file', 40)


@pytest.mark.parametrize('how', ['fails', 'gone'])
def test_area_fails(stack, origin, clean, how):
    """The area takes no writes any more, or is gone: the image is lost, the origin is not."""
    clean.expected += ['Invalidating snapshot', 'I/O error']
    size = sectors(AREA)
    area = stack.dm('area', linear(AREA))
    with Image(origin, f'--cow={area}') as image:
        overwrite(origin + '/file', 1)
        assert image.ask('check') == 'whole'
        run('dmsetup', 'load', 'area',
            text=f'0 {size} error' if how == 'gone' else f'0 {size} flakey {AREA} 0 0 3600 1 error_writes')
        run('dmsetup', 'suspend', '--noflush', 'area')
        run('dmsetup', 'resume', 'area')
        overwrite(origin + '/file', 4)
        lost(image, 'is full or failed')
    overwrite(origin + '/file', 4)


def test_area_slow(stack, origin):
    """A slow area makes the donor's writes slow, no more."""
    area = stack.dm('area', f'0 {sectors(AREA)} delay {AREA} 0 0 {AREA} 0 50')
    with Image(origin, f'--cow={area}') as image:
        was = image.ask('cat file')
        overwrite(origin + '/file', 4)
        assert image.ask('cat file') == was and image.ask('check') == 'whole'


def real_device():
    """Name of the device under the origin of an image."""
    return next(line.split()[0] for line in run('dmsetup', 'ls').splitlines() if '-real' in line)


@pytest.mark.parametrize('target', ['dust', 'flakey'])
def test_read_errors(stack, clean, target):
    """What cannot be read is an error of the reader; the origin is given back, and works where it can be read."""
    clean.expected += ['I/O error', 'Invalidating snapshot']
    table = {'dust': f'dust {ORIGIN} 0 512', 'flakey': f'flakey {ORIGIN} 0 3600 0'}[target]
    directory = stack.filesystem('xfs', stack.dm('origin', f'0 {sectors(ORIGIN)} {table}'))
    fill(directory + '/file')
    image = Image(directory, COW)
    real = real_device()
    if target == 'dust':
        first = run('filefrag', '-b512', '-e', directory + '/file').splitlines()[3].split()[3].strip('.:')
        run('dmsetup', 'message', real, '0', 'addbadblock', str(int(first) + 8))
        run('dmsetup', 'message', real, '0', 'enable')
    else:
        run('dmsetup', 'load', real, text=f'0 {sectors(ORIGIN)} flakey {ORIGIN} 0 0 3600 1 error_reads')
        run('dmsetup', 'suspend', real)
        run('dmsetup', 'resume', real)
    said = image.process.communicate('cat file\n', ANSWER_S)[1]
    assert image.process.returncode == 1 and 'cannot read file in the image' in said
    fill(directory + '/other', 1)
