# SPDX-License-Identifier: GPL-2.0-only
"""The donor's machine dies while an image is made or undone: after the reboot the data is whole and all of it there."""
import os
import subprocess
import tempfile

from guest import ALL, TREE
from image import MAKE, UNDO

HOST = True  # boots guests of its own
LIMIT_S = 500
ALL_LIMIT_S = 900
STEPS = [f'dm:{step}' for step in MAKE] + [f'dm undo:{step}' for step in dict.fromkeys(UNDO)]
SAMPLE = ['dm:swap', 'dm:mount', 'dm undo:load']
BOOT_S = 120
ENDED_BY_ITSELF = 125  # see scripts/vm-run


def boot(disk, directory, what):
    """One life of the machine; (exit status, what was said)."""
    done = subprocess.run([os.path.join(TREE, 'scripts', 'vm-run'), '--disk', disk, '--disk', '256M', '--share', directory,
                           '--cpu', os.environ.get('DM_CPU', '0'), '--timeout', str(BOOT_S), '--',
                           os.path.join(TREE, 'tests', 'dm', 'reboot_guest.py'), directory, what],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return done.returncode, done.stdout.decode(errors='replace')


def test_reboot_at_every_step():
    """Power goes at the step; the next start finds every acknowledged commit, whole, and goes on to the next step."""
    with tempfile.TemporaryDirectory(prefix='snapclone-reboot-') as base:
        disk, directory = os.path.join(base, 'disk'), os.path.join(base, 'shared')
        os.mkdir(directory)
        with open(disk, 'wb') as f:
            f.truncate(1 << 30)
        status, said = boot(disk, directory, 'init')
        assert status == 0, said
        for step in STEPS if ALL else SAMPLE:
            status, said = boot(disk, directory, step)
            with open(os.path.join(directory, 'reached'), encoding='ascii') as f:
                assert status == ENDED_BY_ITSELF and f.read() == step, f'{step}: {status}\n{said}'
        status, said = boot(disk, directory, 'check')
        assert status == 0 and 'acknowledged commits are there' in said, said
