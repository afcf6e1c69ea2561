# SPDX-License-Identifier: GPL-2.0-only
"""The guest has what the other tests need: targets, file systems, and snapshots that keep what was."""
import os

import pytest

from devices import LAYOUTS, MKFS, crypt, linear, run, sectors

DISKS = ('512M', '512M')
TARGETS = ['linear', 'striped', 'snapshot', 'snapshot-origin', 'crypt', 'dust', 'flakey', 'delay', 'log-writes', 'error']
DATA = os.urandom(65536) * 16


def write(path, data=DATA):
    """Write a file and have it on its device."""
    with open(path, 'wb') as f:
        f.write(data)
        f.flush()
        os.fsync(f.fileno())


def read(path, size=-1):
    """Content of a file, not from the page cache."""
    run('sh', '-c', 'echo 3 >/proc/sys/vm/drop_caches')
    with open(path, 'rb') as f:
        return f.read(size)


def test_targets():
    """The kernel knows the targets."""
    found = {line.split()[0] for line in run('dmsetup', 'targets').splitlines()}
    assert set(TARGETS) <= found


@pytest.mark.parametrize('kind', MKFS)
@pytest.mark.parametrize('layout', LAYOUTS)
def test_filesystems(stack, layout, kind):
    """Each file system on each layout keeps a file."""
    device = stack.dm('base', LAYOUTS[layout]('/dev/disk0', '/dev/disk1'))
    path = stack.filesystem(kind, device) + '/file'
    write(path)
    assert read(path) == DATA


def test_crypt_encrypts(stack):
    """What crypt writes is not in clear on the disk below it."""
    write(stack.dm('secret', crypt('/dev/disk0')), DATA)
    assert read('/dev/disk0', len(DATA)) != DATA
    assert read('/dev/mapper/secret', len(DATA)) == DATA


@pytest.mark.parametrize('store', ['disk', 'loop', 'zram'])
def test_snapshot(stack, store):
    """A snapshot shows what was there before the origin was overwritten."""
    base = stack.dm('base', linear('/dev/disk0'))
    write(base)
    cow = {'disk': lambda: '/dev/disk1', 'zram': lambda: stack.zram(64),
           'loop': lambda: stack.loop('/tmp/cow', 64, '--direct-io=on')}[store]()
    run('dd', 'if=/dev/zero', f'of={cow}', 'bs=4k', 'count=1', 'oflag=direct')
    origin = stack.dm('origin', f'0 {sectors(base)} snapshot-origin {base}')
    snapshot = stack.dm('snapshot', f'0 {sectors(base)} snapshot {base} {cow} N 32')
    write(origin, DATA[::-1])
    assert read(snapshot, len(DATA)) == DATA
    assert read(origin, len(DATA)) == DATA[::-1]


def test_errors_are_seen(stack, clean):
    """dust fails reads of blocks that are named; a read error is in the kernel's log and a test has to expect it."""
    clean.expected.append('I/O error')
    device = stack.dm('dust', f'0 {sectors("/dev/disk0")} dust /dev/disk0 0 512')
    run('dmsetup', 'message', 'dust', '0', 'addbadblock', '8')
    run('dmsetup', 'message', 'dust', '0', 'enable')
    with open(device, 'rb') as f, pytest.raises(OSError):
        f.read(65536)
