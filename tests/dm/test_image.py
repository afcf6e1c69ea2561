# SPDX-License-Identifier: GPL-2.0-only
"""Images of devices: they keep what was, whatever stands below, and nothing that ends a process leaves anything behind."""
import contextlib
import os
import signal
import subprocess
import time
from statistics import median

import pytest

from devices import LAYOUTS, MKFS, linear, lose_writes, run, sectors
from helpers import wait_for
from image import MAKE, REAP, TOOL, UNDO, Image, bare_swap, file_sum, make_killed, reap, refusal, suspended

DISKS = ('300M', '300M', '300M', '300M')
MEMORY = '1G'
OLD, NEW = os.urandom(1 << 20), os.urandom(1 << 20)
COW = '--cow=/dev/disk2'
ROUNDS = 6  # of what others use of the machine only some are slow
DIRTY_MIB = 32


def write(path, data):
    """Overwrite a file in place and have it on its device."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    os.pwrite(fd, data, 0)
    os.fsync(fd)
    os.close(fd)


def read(path):
    """Content of a file."""
    with open(path, 'rb') as f:
        return f.read()


def table(name):
    """Live and inactive table of a device."""
    return run('dmsetup', 'table', '--showkeys', name), run('dmsetup', 'table', '--inactive', name)


def read_ahead():
    """That of the origin, sectors; a swap must not change it."""
    return int(run('blockdev', '--getra', '/dev/mapper/origin'))


@pytest.fixture
def volume(stack):
    """volume(layout, kind): a directory with the file f on a file system on the device `origin`."""
    def make(layout='linear', kind='xfs', options=()):
        run('dd', 'if=/dev/zero', 'of=/dev/disk2', 'bs=1M', 'count=1', 'conv=fsync')
        origin = stack.dm('origin', LAYOUTS[layout]('/dev/disk0', '/dev/disk1'))
        run(*MKFS[kind], *options, origin)
        directory = stack.mount(origin)
        os.mkdir(f'{directory}/data')
        write(f'{directory}/data/f', OLD)
        return f'{directory}/data'

    return make


def works(directory):
    """The volume takes writes, and goes through nothing of ours."""
    done = subprocess.run(['dd', 'if=/dev/zero', f'of={directory}/works', 'bs=4k', 'count=1', 'conv=fsync'],
                          timeout=20, check=False, stderr=subprocess.DEVNULL)
    assert done.returncode == 0
    assert suspended() == []


@pytest.mark.parametrize('layout', LAYOUTS)
@pytest.mark.parametrize('kind', ['xfs', 'ext4'])
def test_image_keeps_what_was(volume, layout, kind):
    """What is overwritten, removed and made while the image lives is not in it; then the device is as before."""
    data = volume(layout, kind)
    write(f'{data}/gone', OLD[:5000])
    before = table('origin')
    run('blockdev', '--setra', '3000', '/dev/mapper/origin')
    with Image(data, COW) as image:
        assert read_ahead() == 3000
        write(f'{data}/f', NEW)
        os.unlink(f'{data}/gone')
        run('sync')
        assert image.ask('check') == 'whole'
        assert image.ask('cat f') == file_sum(OLD)
        assert image.ask('cat gone') == file_sum(OLD[:5000])
        used, total = map(int, image.ask('fill').split())
        assert len(NEW) <= used < total
        assert 'snapshot-origin' in table('origin')[0]
    assert image.undone.startswith('undone ')
    assert table('origin') == before
    assert read_ahead() == 3000
    assert read(f'{data}/f') == NEW
    assert sectors('/dev/mapper/origin') == sum(int(line.split()[1]) for line in before[0].splitlines())


@pytest.mark.parametrize('store', ['directory', 'zram', 'second'])
def test_stores(stack, volume, store):
    """A file, memory, and the second of two areas when the first cannot be used."""
    data = volume(kind='ext4', options=['-b', '4096'])
    other = stack.filesystem('ext4', '/dev/disk3')
    areas = {'directory': [f'--cow={other}'], 'zram': ['--cow=zram'], 'second': [f'--cow={data}', f'--cow={other}']}
    with Image(data, '--size=64', *areas[store]) as image:
        write(f'{data}/f', NEW)
        assert image.ask('cat f') == file_sum(OLD)
        assert int(image.ask('fill').split()[1]) == 64 << 20
    assert os.listdir(other) == ['lost+found']
    assert ('trying the next' in image.said) == (store == 'second')


@pytest.mark.parametrize('layout', ['linear', 'crypt'])
def test_area_on_a_disk_is_encrypted(volume, layout):
    """The copies of overwritten data are not in clear on the disk of the area."""
    secret = b'secret of a table' * 4096
    data = volume(layout)
    run('dd', 'if=/dev/zero', 'of=/dev/disk2', 'bs=1M', 'count=20', 'conv=fsync')
    write(f'{data}/f', secret)
    with Image(data, COW) as image:
        write(f'{data}/f', NEW)
        run('sync')
        assert image.ask('cat f') == file_sum(secret + OLD[len(secret):])
    with open('/dev/disk2', 'rb') as f:
        head = f.read(20 << 20)
    assert b'secret of a table' not in head and any(head[1 << 20:])


@pytest.mark.parametrize('before', [b'\0', b'x'])
def test_area_loses_writes(stack, volume, before):
    """What the area's disk has lost is neither zeroes nor what was there before: no page check could see that."""
    data = volume()
    write(f'{data}/first', NEW)
    area = stack.dm('area', linear('/dev/disk2'))
    with open('/dev/disk2', 'r+b') as f:
        f.seek(1 << 20)
        f.write(before * (16 << 20))
        os.fsync(f.fileno())
    with Image(data, f'--cow={area}', '--size=16') as image:
        write(f'{data}/first', OLD)  # takes the area's first chunk, whose beginning the daemon zeroed
        lose_writes('area', '/dev/disk2')
        write(f'{data}/f', NEW)
        assert image.ask('check') == 'whole'
        assert image.ask('cat f') not in [file_sum(content) for content in (OLD, NEW, before * len(OLD))]


@pytest.mark.parametrize('phase,step', [('make', s) for s in MAKE] + [('undo', s) for s in dict.fromkeys(UNDO)])
def test_killed_at_a_step(volume, phase, step):
    """The device works on, reaping leaves nothing of ours, and the next image is as good as any."""
    data = volume()
    before = table('origin')
    make_killed(data, phase, step, COW)
    works(data)
    reap()
    assert reap() == 0
    assert table('origin') == before
    write(f'{data}/f', OLD)
    with Image(data, COW) as image:
        write(f'{data}/f', NEW)
        assert image.ask('cat f') == file_sum(OLD)


@pytest.mark.parametrize('step', REAP)
def test_reaping_is_killed(volume, step):
    """A reaper that dies leaves the rest to the next one."""
    data = volume()
    before = table('origin')
    run('blockdev', '--setra', '3000', '/dev/mapper/origin')
    make_killed(data, 'make', 'mount', COW)
    done = subprocess.run([TOOL, 'reap'], check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                          env=dict(os.environ, SNAPCLONE_KILL_AFTER=f'dm reap:{step}'))
    assert done.returncode == -9
    works(data)
    reap()
    assert table('origin') == before
    assert read_ahead() == 3000


@pytest.mark.parametrize('store', ['directory', 'zram'])
def test_stores_are_reaped(stack, volume, store):
    """Files, loop devices and memory of a killed process go too."""
    data = volume(kind='ext4', options=['-b', '4096'])
    other = stack.filesystem('ext4', '/dev/disk3')
    make_killed(data, 'make', 'mount', '--size=64', {'directory': f'--cow={other}', 'zram': '--cow=zram'}[store])
    assert reap() == 1
    assert os.listdir(other) == ['lost+found']


def test_stopped_process_keeps_its_image(volume):
    """One that is stopped has not died: nobody reaps what it has, and the device works."""
    data = volume()
    with Image(data, COW) as image:
        image.process.send_signal(signal.SIGSTOP)
        works(data)
        assert reap() == 0
        assert 'has images' in refusal(data, COW)
        image.process.send_signal(signal.SIGCONT)
        assert image.ask('cat f') == file_sum(OLD)


def test_overflow(clean, volume):
    """An area that is full loses the image, not the donor."""
    clean.expected.append('Invalidating snapshot')
    clean.expected.append('I/O error')
    clean.expected.append('XFS')
    data = volume()
    with Image(data, COW, '--size=16') as image:
        assert image.ask('check') == 'whole'
        write(f'{data}/big', b'\1' * (60 << 20))
        os.unlink(f'{data}/big')
        write(f'{data}/big2', b'\2' * (60 << 20))
        run('dd', 'if=/dev/urandom', f'of={data}/f', 'bs=1M', 'count=40', 'conv=fsync')
        assert image.ask('check').startswith('lost ') or int(image.ask('fill').split()[0]) < 16 << 20
        run('dd', 'if=/dev/urandom', f'of={data}/f', 'bs=1M', 'count=40', 'conv=notrunc,fsync')
    works(data)


def test_foreign_table(volume):
    """Somebody reloads the origin: the image is lost, and what they did stays."""
    data = volume()
    foreign = linear('/dev/disk0')
    with Image(data, COW) as image:
        run('dmsetup', 'load', 'origin', text=foreign)
        assert image.ask('check') == 'whole'
        run('dmsetup', 'resume', 'origin')
        assert 'somebody else' in image.ask('check')
        write(f'{data}/f', NEW)
    assert 'stays as it is' in image.said
    assert table('origin')[0].split()[2] == 'linear'
    works(data)


@contextlib.contextmanager
def much_written(data):
    """Somebody writes a large file through the page cache, and much of it is dirty."""
    def dirty_mib():
        lines = read('/proc/meminfo').decode().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith(('Dirty:', 'Writeback:'))) // 1024

    with subprocess.Popen(['dd', 'if=/dev/zero', f'of={data}/big', 'bs=1M', 'count=450', 'conv=notrunc'],
                          stderr=subprocess.DEVNULL) as writer:
        time.sleep(0.2)
        wait_for(lambda: dirty_mib() >= DIRTY_MIB, what='dirty pages')
        yield writer


@pytest.mark.parametrize('kind', ['xfs', 'ext4'])
def test_much_is_dirty(volume, kind):
    """Dirty pages are written before the swap and not while writers wait: it takes a fraction of a bare suspend and resume,
    which writes them."""
    data = volume('segments', kind)
    bare, swaps = [], []
    while len(swaps) < 2 or (len(swaps) < ROUNDS and median(swaps) >= median(bare) / 2):
        with much_written(data):
            bare.append(bare_swap(data))
        with much_written(data) as writer, Image(data, '--cow=/dev/disk2', '--cow=/dev/disk3') as image:
            writer.wait(60)
            assert image.ask('cat f') == file_sum(OLD)
        swaps.append(int(image.made[1]))
    print('bare', bare, 'swaps', swaps)
    assert median(swaps) < median(bare) / 2


def test_frozen_stays_frozen(volume):
    """A file system that somebody froze is frozen after an image was made and undone."""
    data = volume()
    top = os.path.dirname(data)
    run('fsfreeze', '-f', top)
    try:
        with Image(data, COW) as image:
            assert image.ask('cat f') == file_sum(OLD)
        with subprocess.Popen(['touch', f'{data}/new']) as touch:
            time.sleep(1)
            assert touch.poll() is None
            run('fsfreeze', '-u', top)
            assert touch.wait(20) == 0
    finally:
        subprocess.run(['fsfreeze', '-u', top], check=False, stderr=subprocess.DEVNULL)


def test_refusals_of_origins(stack):
    """What cannot be doubled is named, with what to do."""
    plain = stack.filesystem('ext4', '/dev/disk3')
    assert 'no device-mapper device' in refusal(plain, COW)
    assert 'reflink or live' in refusal(plain, COW)
    base = stack.dm('base', linear('/dev/disk0'))
    origin = stack.dm('origin', f'0 {sectors(base)} snapshot-origin {base}')
    assert 'has a snapshot already' in refusal(stack.filesystem('ext4', origin), COW)


def test_refusals_of_file_systems(stack):
    """File systems that are on more than the device."""
    origin = stack.dm('origin', linear('/dev/disk0'))
    run('mkfs.xfs', '-q', '-f', '-l', 'logdev=/dev/disk1,size=64m', origin)
    assert 'its log or real-time part on' in refusal(stack.mount(origin, '-o', 'logdev=/dev/disk1'), COW)
    other = stack.dm('other', linear('/dev/disk3'))
    run('dd', 'if=/dev/zero', 'of=/dev/disk2', 'bs=1M', 'count=2')
    run('mke2fs', '-q', '-F', '-O', 'journal_dev', '-b', '4096', '/dev/disk2')
    run('mkfs.ext4', '-q', '-F', '-b', '4096', '-J', 'device=/dev/disk2', other)
    assert 'journal on another device' in refusal(stack.mount(other), '--cow=zram')
    run('dd', 'if=/dev/zero', 'of=/dev/disk2', 'bs=1M', 'count=2')


def test_refusals_of_states(volume):
    """Somebody else is working on the device."""
    data = volume()
    run('dmsetup', 'load', 'origin', text=linear('/dev/disk0'))
    assert 'inactive table' in refusal(data, COW)
    run('dmsetup', 'clear', 'origin')
    run('dmsetup', 'suspend', 'origin')
    try:
        assert 'suspended by somebody else' in refusal(data, COW)
    finally:
        run('dmsetup', 'resume', 'origin')
    with Image(data, COW):
        assert 'has images' in refusal(data, COW)
        assert 'of a clone that runs' in refusal(data, COW, verb='probe')


def test_refusals_of_areas(stack, volume):
    """Areas that would wait for themselves, that hold data, that are in use, that are too small."""
    data = volume()
    assert 'wait for itself' in refusal(data, f'--cow={data}')
    loop = stack.loop(f'{data}/cow', 64)
    assert 'own device' in refusal(data, f'--cow={loop}')
    run('mkfs.ext4', '-q', '-F', '/dev/disk3')
    assert 'holds data' in refusal(data, '--cow=/dev/disk3')
    other = stack.mount('/dev/disk3')
    assert 'in use' in refusal(data, '--cow=/dev/disk3')
    assert 'has room for' in refusal(data, f'--cow={other}', '--size=5000')
    assert 'no copy-on-write area' in refusal(data)
    assert 'blocks of 4096 bytes' in refusal(data, '--cow=zram')
    assert 'neither a block device' in refusal(data, '--cow=/etc/hosts')
    assert 'without a block device' in refusal(data, '--cow=/run')
