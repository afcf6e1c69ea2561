# SPDX-License-Identifier: GPL-2.0-only
"""Device-mapper devices, loop devices, file systems and mounts for the tests in the guest."""
import ctypes
import os
import subprocess
import tempfile

TREE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
STRIPE_SECTORS = 128
CRYPT_KEY = '5a' * 64  # aes-xts-plain64 with 256 bits
MKFS = {'xfs': ['mkfs.xfs', '-q', '-f'], 'ext4': ['mkfs.ext4', '-q', '-F'], 'btrfs': ['mkfs.btrfs', '-q', '-f']}


def run(*argv, text=''):
    """Output of a command that reads text; an error with what it said when it fails."""
    done = subprocess.run(argv, input=text.encode(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    said = done.stdout.decode(errors='replace')
    assert done.returncode == 0, f'{" ".join(argv)}: exit status {done.returncode}\n{said}'
    return said


def remove(name):
    """Remove a device-mapper device, also when its last user is just ending."""
    run('dmsetup', 'remove', '--retry', name)


def set_kernel(name, value):
    """Write to a file of /sys."""
    try:
        with open(f'/sys/{name}', 'w', encoding='ascii') as f:
            f.write(str(value))
    except OSError as e:
        raise AssertionError(f'{value} to /sys/{name}: {e}') from e


def sectors(device):
    """Size of a block device."""
    return int(run('blockdev', '--getsz', device))


def linear(*devices):
    """Table: those devices one after the other."""
    lines, at = [], 0
    for device in devices:
        lines.append(f'{at} {sectors(device)} linear {device} 0')
        at += sectors(device)
    return '\n'.join(lines)


def lose_writes(name, device):
    """A linear device takes writes from now on and drops them."""
    run('dmsetup', 'load', name, text=f'0 {sectors(device)} flakey {device} 0 0 3600 1 drop_writes')
    run('dmsetup', 'suspend', name)
    run('dmsetup', 'resume', name)


def striped(*devices):
    """Table: stripes over those devices, of the same size."""
    each = min(map(sectors, devices)) // STRIPE_SECTORS * STRIPE_SECTORS
    places = ' '.join(f'{d} 0' for d in devices)
    return f'0 {each * len(devices)} striped {len(devices)} {STRIPE_SECTORS} {places}'


def crypt(device):
    """Table: that device encrypted, the key in the table."""
    return f'0 {sectors(device)} crypt aes-xts-plain64 {CRYPT_KEY} 0 {device} 0'


# Layouts a data directory may stand on, by name: table from two disks.
LAYOUTS = {
    'linear': lambda a, b: linear(a),
    'segments': linear,
    'striped': striped,
    'crypt': lambda a, b: crypt(a),
}


class Key:
    """A key in the keyring of this user's sessions. Source: keyctl(2), and the numbers of x86-64."""

    ADD_KEY, KEYCTL, USER_SESSION, UNLINK = 248, 250, -5, 9

    def __init__(self, kind, name, value):
        self.id = self.call(self.ADD_KEY, kind.encode(), name.encode(), value, len(value), self.USER_SESSION)

    @staticmethod
    def call(*args):
        """A system call."""
        rc = ctypes.CDLL(None, use_errno=True).syscall(*args)
        assert rc >= 0, os.strerror(ctypes.get_errno())
        return rc

    def remove(self):
        """It is gone for everybody."""
        self.call(self.KEYCTL, self.UNLINK, self.id, self.USER_SESSION)


class Stack:
    """What a test puts together; close() takes it apart, last made first."""

    def __init__(self):
        self.undo = []

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self.close()

    def close(self):
        """Take everything apart; the first error is raised when all has been tried."""
        failed = None
        while self.undo:
            try:
                self.undo.pop()()
            except AssertionError as e:
                failed = failed or e
        if failed:
            raise failed

    def dm(self, name, table):
        """A device-mapper device; its path."""
        run('dmsetup', 'create', name, text=table)
        self.undo.append(lambda: remove(name))
        return f'/dev/mapper/{name}'

    def loop(self, path, size_mib, *options):
        """A fully allocated file as a loop device; the device's path."""
        run('fallocate', '-l', f'{size_mib}M', path)
        self.undo.append(lambda: os.unlink(path))
        device = run('losetup', '--find', '--show', *options, path).strip()
        self.undo.append(lambda: run('losetup', '-d', device))
        return device

    def zram(self, size_mib):
        """A disk in compressed memory; its path."""
        with open('/sys/class/zram-control/hot_add', encoding='ascii') as f:
            name = f'zram{f.read().strip()}'
        self.undo.append(lambda: set_kernel('class/zram-control/hot_remove', name[4:]))
        set_kernel(f'block/{name}/disksize', f'{size_mib}M')
        self.undo.append(lambda: set_kernel(f'block/{name}/reset', 1))
        return f'/dev/{name}'

    def mount(self, device, *options, directory=None):
        """Mount a device on a new directory, or on that one; the directory."""
        if not directory:
            directory = tempfile.mkdtemp(prefix='dm-', dir='/run')
            self.undo.append(lambda: os.rmdir(directory))
        run('mount', *options, device, directory)
        self.undo.append(lambda: run('umount', directory))
        if os.access(directory, os.W_OK):
            os.chmod(directory, 0o755)
        return directory

    def filesystem(self, kind, device, *options):
        """A new file system on a device, mounted; the directory."""
        run(*MKFS[kind], device)
        return self.mount(device, *options)
