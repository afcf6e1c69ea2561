# SPDX-License-Identifier: GPL-2.0-only
"""File systems on loop devices, made and removed by the tests that need them. Need root and the mkfs tools."""
import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import time

import pytest

from helpers import need_ours, only_ours
from sandbox import Sandbox

MIB = 1 << 20
MKFS = {'xfs': ['mkfs.xfs', '-q', '-m', 'reflink=1'], 'ext4': ['mkfs.ext4', '-q'], 'btrfs': ['mkfs.btrfs', '-q']}


def run(*argv):
    """Its output; a failure is an error that has it."""
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, f'{argv}: {done.stdout}'
    return done.stdout.strip()


def unmount(path):
    """Unmount; what has just ended may hold it for a moment."""
    for _ in range(600):
        if subprocess.run(['umount', path], stderr=subprocess.DEVNULL, check=False).returncode == 0:
            return
        time.sleep(0.05)
    run('umount', path)


@contextlib.contextmanager
def disk(kind, mib=4096, sector=512, below=None):
    """An empty file system; its directory. kind: 'xfs', 'btrfs', 'ext4'; below: where its image lies."""
    if os.geteuid():
        pytest.skip('needs root for a loop device')
    base = tempfile.mkdtemp(prefix='snapclone-disk-', dir=below or os.environ.get('TMPDIR') or '/tmp')
    os.chmod(base, 0o755)
    image, path, device = base + '/image', base + '/mnt', ''
    os.mkdir(path)
    with open(image, 'wb') as f:
        f.truncate(mib * MIB)
    try:
        device = run('losetup', '--find', '--show', '--direct-io=on', '--sector-size', str(sector), image)
        run(*MKFS[kind], device)
        run('mount', device, path)
        os.chmod(path, 0o755)
        try:
            yield path
        finally:
            unmount(path)
    finally:
        if device:
            run('losetup', '--detach', device)
        shutil.rmtree(base)


@contextlib.contextmanager
def on_disk(kind, **options):
    """A sandbox whose servers stand on a file system of its own."""
    need_ours()
    only_ours()
    with disk(kind, **options) as path, Sandbox(path + '/box') as box:
        yield box
        assert box.leftovers() == []


def logged(server, text):
    """Lines of the error log with that text."""
    return [line for line in server.log_text().splitlines() if text in line]


def head(target):
    """Head of a clone's manifest."""
    with open(os.path.join(target, '#clone', '#snapclone_manifest.jsonl'), encoding='utf-8') as f:
        return json.loads(f.readline())


def snapshots(box):
    """Our snapshots in the top of the file system that the sandbox stands on."""
    return [name for name in os.listdir(os.path.dirname(box.base)) if name.startswith('.snapclone-')]
