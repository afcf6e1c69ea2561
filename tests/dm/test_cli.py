# SPDX-License-Identifier: GPL-2.0-only
"""`snapclone check` and `snapclone cleanup` on devices, as an operator runs them; no server is needed."""
import os
import re
import subprocess
import tempfile

import pytest

from devices import LAYOUTS, MKFS, Key, crypt, linear, run, sectors
from image import Image, make_killed
from template import BUILD

DISKS = ('300M', '300M', '300M', '64M')
FIRST, SECOND, THIRD, AREA = (f'/dev/disk{n}' for n in range(4))
MEMORY = '1G'
YES, NO = 0, 1


def snapclone(*args, user=()):
    """(exit status, standard output, standard error) of the command line."""
    done = subprocess.run([*user, os.path.join(BUILD, 'snapclone'), *args], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding='utf-8', timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


def datadir(directory):
    """What `check` needs of a data directory there; its path."""
    os.makedirs(f'{directory}/data/#innodb_redo', exist_ok=True)
    os.chmod(f'{directory}/data', 0o755)
    return f'{directory}/data'


def check(directory, *areas, user=(), more=(), forced=False, where=()):
    """(exit status, what it says of dm) with these copy-on-write areas configured.

    forced: only when clone_provider asks for it, dm is refused. where: options that name directories.
    """
    with tempfile.NamedTemporaryFile('w', prefix='conf-', dir='/run') as conf:
        conf.write(''.join(f'dm_cow = {area}\n' for area in areas) + ''.join(f'{line}\n' for line in more))
        conf.flush()
        os.chmod(conf.name, 0o644)
        status, out, err = snapclone('check', '--provider=DM', f'--config={conf.name}', *where, directory, user=user)
        other, chosen, _ = snapclone('check', f'--config={conf.name}', *where, directory, user=user)
    lines = [line for line in out.splitlines() if line.startswith('dm ')]
    assert len(lines) == 1, out + err
    # What one asks for fails with a status; what chooses by itself takes another one.
    assert status == (YES if lines[0].split()[1] == 'yes' else NO), out
    assert ('clone_provider=DM would fail' in out) == (status == NO)
    assert other == YES and ('provider: dm' in chosen) == (status == YES or forced), chosen
    return status, lines[0]


def refused(directory, *areas, **how):
    """The reason against dm."""
    status, line = check(directory, *areas, **how)
    assert status == NO, line
    return line


@pytest.fixture
def origin(stack):
    """origin(layout, kind): a data directory on the device `origin`."""
    def make(layout='linear', kind='ext4', options=()):
        run('dd', 'if=/dev/zero', f'of={AREA}', 'bs=1M', 'count=2', 'conv=fsync', 'status=none')
        device = stack.dm('origin', LAYOUTS[layout](FIRST, SECOND))
        run(*MKFS[kind], *options, device)
        return datadir(stack.mount(device))

    return make


@pytest.mark.parametrize('layout', LAYOUTS)
def test_check_says_yes(origin, layout):
    """Where it can, it says on what, and how much room there is."""
    status, line = check(origin(layout), AREA)
    assert status == YES and 'ext4 on the device origin, with room for 63 MiB of copy-on-write' in line


def test_check_names_what_is_against_the_device(stack, origin):
    """Plain disks, other targets and file systems, a device that somebody works on, an image that is there."""
    data = origin(kind='xfs')
    assert 'only root may make images' in refused(data, AREA, user=('setpriv', '--reuid=65534', '--clear-groups'))
    with Image(data, f'--cow={AREA}'):
        assert 'there is an image of origin' in refused(data, AREA)
    run('dmsetup', 'load', 'origin', text=linear(FIRST))
    assert 'inactive table' in refused(data, AREA)
    run('dmsetup', 'clear', 'origin')
    plain = datadir(stack.filesystem('ext4', THIRD))
    assert 'no device-mapper device (no LVM volume): use the reflink or live provider' in refused(plain, AREA)
    assert 'the files are on tmpfs' in refused(datadir(tempfile.mkdtemp(dir='/run')), AREA)


def thin(stack):
    """A volume of a thin pool."""
    pool = stack.dm('pool', f'0 {sectors(SECOND)} thin-pool {FIRST} {SECOND} 128 0')
    run('dmsetup', 'message', 'pool', '0', 'create_thin 0')
    return f'0 {sectors(THIRD)} thin {pool} 0'


def crypt_by_keyring(stack):
    """What LUKS2 makes: the key is in the kernel's keyring."""
    stack.undo.append(Key('logon', 'snapclone:test', bytes(64)).remove)
    return f'0 {sectors(FIRST)} crypt aes-xts-plain64 :64:logon:snapclone:test 0 {FIRST} 0'


# Targets that cannot be doubled: table over zeroed disks, what check says of them.
TARGETS = {
    'thin': (thin, "of the kind thin, not linear, striped or crypt: a second instance would corrupt the pool's metadata"),
    'cache': (lambda _: f'0 {sectors(THIRD)} cache {FIRST} {SECOND} {THIRD} 128 1 writethrough smq 0',
              "a second instance would corrupt the cache's metadata"),
    'writecache': (lambda _: f'0 {sectors(THIRD)} writecache s {THIRD} {FIRST} 4096 0', 'would corrupt the cache'),
    'raid': (lambda _: f'0 {sectors(FIRST)} raid raid1 4 0 nosync region_size 1024 2 - {FIRST} - {SECOND}',
             "would corrupt the array's metadata"),
    'mirror': (lambda _: f'0 {sectors(FIRST)} mirror core 2 1024 nosync 2 {FIRST} 0 {SECOND} 0',
               "would corrupt the mirror's log"),
    'multipath': (lambda _: f'0 {sectors(FIRST)} multipath 0 0 1 1 round-robin 0 1 1 {FIRST} 1000',
                  'put a logical volume on it'),
    'snapshot': (lambda _: f'0 {sectors(FIRST)} snapshot {FIRST} {SECOND} N 8', 'the volume is a snapshot itself'),
    'snapshot-origin': (lambda _: f'0 {sectors(FIRST)} snapshot-origin {FIRST}', 'has a snapshot already'),
    'crypt': (crypt_by_keyring, "the key of volume is in the kernel's keyring"),
}


@pytest.mark.parametrize('kind', TARGETS)
def test_check_names_the_target(stack, kind):
    """Each target of the kernel that cannot be doubled, by its name, with what to use instead."""
    for disk in (FIRST, SECOND):
        run('dd', 'if=/dev/zero', f'of={disk}', 'bs=1M', 'count=2', 'conv=fsync', 'status=none')
    table, words = TARGETS[kind]
    line = refused(datadir(stack.filesystem('ext4', stack.dm('volume', table(stack)))), AREA)
    assert words in line and line.endswith('use the reflink or live provider') and 'volume' in line, line


@pytest.mark.parametrize('where', ['under', 'below', 'link', 'layer'])
def test_check_does_not_wait(stack, origin, where):
    """A device that somebody has suspended is named at once: under the data directory, mounted below it, behind a link to
    it, under its own device."""
    data, name = origin(), 'origin'
    run('sync')
    if where == 'below':
        name = 'apart'
        os.mkdir(f'{data}/db')
        run(*MKFS['ext4'], THIRD)
        stack.mount(stack.dm(name, linear(THIRD)), directory=f'{data}/db')
    elif where == 'link':
        os.symlink(data, '/run/link')
        stack.undo.append(lambda: os.unlink('/run/link'))
        data = '/run/link'
    elif where == 'layer':
        name = 'lower'
        data = datadir(stack.filesystem('ext4', stack.dm('upper', linear(stack.dm(name, linear(THIRD))))))
    options = ['--noflush', '--nolockfs'] if where == 'layer' else []
    run('dmsetup', 'suspend', *options, name)
    try:
        status, out, err = snapclone('check', data)
    finally:
        run('dmsetup', 'resume', name)
    assert (status, out) == (2, '')
    assert re.search(rf'{data}: somebody has suspended the device dm-\d+ \({name}\), on which everything waits', err), err
    assert snapclone('check', data)[0] == YES


@pytest.mark.parametrize('kind', ['btrfs', 'log', 'journal'])
def test_check_names_what_is_against_the_file_system(stack, kind):
    """Not XFS nor ext4, or on more than the device."""
    run('dd', 'if=/dev/zero', f'of={SECOND}', 'bs=1M', 'count=2', 'conv=fsync', 'status=none')
    device, options = stack.dm('origin', linear(FIRST)), []
    if kind == 'btrfs':
        run(*MKFS['btrfs'], device)
        word = 'the files are on btrfs, not on one block device'
    elif kind == 'log':
        run('mkfs.xfs', '-q', '-f', '-l', f'logdev={SECOND},size=64m', device)
        options, word = ['-o', f'logdev={SECOND}'], 'its log or real-time part on'
    else:
        run('mke2fs', '-q', '-F', '-O', 'journal_dev', '-b', '4096', SECOND)
        run('mkfs.ext4', '-q', '-F', '-b', '4096', '-J', f'device={SECOND}', device)
        word = 'journal on another device'
    assert word in refused(datadir(stack.mount(device, *options)), AREA)


def test_check_names_what_is_against_the_area(stack, origin):
    """None, on the device itself, with data, in use, too small, on a device with an image."""
    data = origin()
    assert 'no copy-on-write area is configured (dm_cow in snapcloned.conf)' in refused(data)
    assert 'wait for itself' in refused(data, data)
    assert 'has room for a copy-on-write area of' in refused(data, AREA, more=['dm_cow_size = 500'])
    assert 'neither a block device nor a directory' in refused(data, '/etc/hosts')
    assert 'No such file' in refused(data, '/nowhere')
    other = stack.filesystem('ext4', stack.dm('other', linear(THIRD)))
    assert 'is in use' in refused(data, '/dev/mapper/other')
    run('dd', 'if=/dev/urandom', f'of={AREA}', 'bs=1M', 'count=1', 'conv=fsync', 'status=none')
    assert 'holds data and is not touched' in refused(data, AREA)
    run('dd', 'if=/dev/zero', f'of={AREA}', 'bs=1M', 'count=1', 'conv=fsync', 'status=none')
    with Image(other, f'--cow={AREA}', '--size=16'):
        assert 'lies on a device of which there is an image' in refused(data, other)
        assert 'is in use' in refused(data, AREA)
    status, line = check(data, '/nowhere', AREA)  # the second one will do
    assert status == YES, line


def test_check_names_what_is_mounted_below(stack, origin):
    """Devices below the data directory: each is named with what is done about it."""
    data = origin()
    for name in ('plain', 'crypt', 'bound'):
        os.mkdir(f'{data}/{name}')
    stack.mount(f'{data}/#innodb_redo', '--bind', directory=f'{data}/bound')
    run(*MKFS['ext4'], SECOND)
    stack.mount(SECOND, directory=f'{data}/plain')
    secret = stack.dm('secret', crypt(THIRD))
    run(*MKFS['ext4'], secret)
    stack.mount(secret, directory=f'{data}/crypt')
    line = refused(data, AREA, forced=True)
    assert 'plain: ' in line and 'no device-mapper device' in line
    run('umount', f'{data}/plain')
    try:
        status, line = check(data, AREA)
        assert status == YES and '; crypt: ext4 on the device secret, with room for' in line and 'bound' not in line
    finally:
        run('mount', SECOND, f'{data}/plain')


def test_check_names_directories_elsewhere(stack, origin):
    """Each directory of tablespaces by what it stands on; one of which there is no image is against dm."""
    data = origin()
    beside = f'{os.path.dirname(data)}/home'
    os.mkdir(beside)
    status, line = check(data, AREA, where=[f'--data-home-dir={beside}'])
    assert status == YES and beside not in line, line
    plain = stack.filesystem('ext4', SECOND)
    line = refused(data, AREA, where=[f'--data-home-dir={beside}', f'--undo-dir={plain}'])
    assert f'{plain}: ubd' in line and 'no device-mapper device' in line, line
    assert f'{plain}: ubd' in refused(data, AREA, where=[f'--external-dir={plain}'])
    apart = stack.filesystem('ext4', stack.dm('apart', crypt(THIRD)))
    status, line = check(data, AREA, where=[f'--undo-dir={apart}'])
    assert status == YES and f'; {apart}: ext4 on the device apart, with room for' in line, line
    os.mkdir(f'{apart}/db')
    stack.mount(SECOND, directory=f'{apart}/db')
    assert f'{apart}/db: ubd' in refused(data, AREA, forced=True, where=[f'--undo-dir={apart}'])


def test_cleanup(origin):
    """What died is removed, once; what lives stays."""
    data = origin()
    table = run('dmsetup', 'table', 'origin')
    assert snapclone('cleanup') == (0, '0 images removed\n', '')
    make_killed(data, 'make', 'mount', f'--cow={AREA}')
    assert 'there is an image of origin' in refused(data, AREA)
    status, out, _ = snapclone('cleanup', user=('setpriv', '--reuid=65534', '--clear-groups'))
    assert (status, out) == (1, '')
    assert snapclone('cleanup')[:2] == (0, '1 image removed\n')
    assert run('dmsetup', 'table', 'origin') == table
    assert snapclone('cleanup') == (0, '0 images removed\n', '')
    with Image(data, f'--cow={AREA}') as image:
        assert snapclone('cleanup') == (0, '0 images removed\n', '')
        assert image.ask('check') == 'whole'
    assert check(data, AREA)[0] == YES
