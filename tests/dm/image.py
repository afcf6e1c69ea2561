# SPDX-License-Identifier: GPL-2.0-only
"""Images of devices made by tests/dm/image_tool, and what is left of them."""
import os
import subprocess

from devices import run
from helpers import wait_for

TREE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TOOL = os.path.join(TREE, 'build', 'hooks', 'dm', 'image_tool')
BARE = os.path.join(TREE, 'build', 'dm', 'bare_swap')
# The steps of daemon/dm_image.c and dm_reap.c, as SNAPCLONE_KILL_AFTER names them.
MAKE = ['cow', 'real', 'snapshot', 'sync', 'load', 'swap', 'mount']
UNDO = ['mount', 'load', 'swap', 'load', 'snapshot', 'real', 'cow']
REAP = ['load', 'origins', 'snap', 'real', 'cow']
LIMIT_S = 60


class Image:
    """An image of the device under a directory, as long as the `with` block."""

    def __init__(self, directory, *options, env=()):
        self.process = subprocess.Popen([TOOL, *options, 'make', directory], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding='utf-8',
                                        env=dict(os.environ, **dict(env)))
        self.made = self.process.stdout.readline().split()
        self.undone, self.said = '', ''

    def __enter__(self):
        assert self.made[:1] == ['made'], self.process.communicate()[1]
        return self

    def __exit__(self, kind, *_exc):
        self.end()
        assert kind or self.process.returncode == 0, self.said

    def ask(self, line):
        """What the program answers to a line."""
        self.process.stdin.write(line + '\n')
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def end(self):
        """Undo it; its last words are in undone (standard output) and said (standard error)."""
        if self.process.poll() is None or not self.said:
            out, self.said = self.process.communicate(timeout=LIMIT_S)
            self.undone = out.strip()

    @property
    def snapshot(self):
        """Path of the snapshot device, by the kernel's name for it: nobody makes links in the guest."""
        return '/dev/dm-' + self.made[2].split(':')[1]


def refusal(directory, *options, verb='make'):
    """Why no image of the device under a directory can be made."""
    done = subprocess.run([TOOL, *options, verb, directory], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, encoding='utf-8', timeout=LIMIT_S, check=False)
    assert done.returncode == 1, done
    return done.stderr.rsplit('image_tool: ', maxsplit=1)[-1].strip()


def reap():
    """Number of images that were left."""
    return int(run(TOOL, 'reap').splitlines()[-1])


def make_killed(directory, table, step, *options):
    """Make and undo an image in a process that is killed after a step."""
    name = {'make': 'dm', 'undo': 'dm undo'}[table]
    done = subprocess.run([TOOL, *options, 'make', directory], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, timeout=LIMIT_S, check=False,
                          env=dict(os.environ, SNAPCLONE_KILL_AFTER=f'{name}:{step}'))
    assert done.returncode == -9, f'{table} {step}: {done}'


def bare_swap(directory):
    """Microseconds of a suspend and resume, without an image, of the device under a directory."""
    device = os.stat(directory).st_dev
    done = subprocess.run([BARE, f'{os.major(device)}:{os.minor(device)}', '1'], stdout=subprocess.PIPE,
                          timeout=2 * LIMIT_S, check=True)
    return int(done.stdout)


def suspended():
    """Names of suspended devices."""
    lines = run('dmsetup', 'info', '-c', '--noheadings', '-o', 'name,suspended').splitlines()
    return [line for line in lines if line.endswith('Suspended')]


def await_undone(message, clones):
    """A clone failed with that message. When it says that its image is still being given back, wait until nothing of one,
    nor in the directory of clones, is left."""
    if 'the image is still being given back' in message:
        wait_for(lambda: '-snapclone-' not in run('dmsetup', 'ls') and not os.listdir(clones), 60, 'the end of the image')


def file_sum(data):
    """What the program says of a file with these bytes."""
    total = 0
    for byte in data:
        total = (total * 31 + byte) & 0xffffffff
    return f'{total:08x} {len(data)}'
