#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""What images of devices cost and how fast they are read; runs in a guest (make bench-dm).

Prints four tables: a swap and its undoing beside a bare suspend and resume of the same device; the longest
commit around images; the engine's reads, and its copy with checks and digests, beside fio on the same snapshot; the
donor's write throughput while an image lives, by store and chunk size. One run. The guest has one CPU, which the host's
side of its disks needs too: ratios count, and what takes CPU there takes disk.
"""
import glob
import json
import os
import statistics
import sys
import threading
import time

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(TESTS, name) for name in ('it', 'dm', '')]
from devices import TREE, Stack, linear, run  # noqa: E402
import image  # noqa: E402
from helpers import wait_for  # noqa: E402
from leftovers import read  # noqa: E402
from proof.load import load  # noqa: E402
from sandbox import Sandbox  # noqa: E402
from template import copy_template  # noqa: E402

ORIGIN, AREA, AREA_DIR, OTHER = (f'/dev/disk{n}' for n in range(4))
IMAGES = 20
DATA_MB = 300
CHUNKS_KIB = (4, 16, 32, 64, 256)
WRITE_S = 5
ROUNDS = 5
FILE_MB = 400
image.TOOL = os.path.join(TREE, 'build', 'dm', 'image_tool')


def spread(values, unit=1000.0):
    """'min / median / max'."""
    return ' / '.join(f'{v / unit:.1f}' for v in (min(values), statistics.median(values), max(values)))


def fio(**options):
    """Bytes per second of one fio job."""
    argv = [f'--{name}={value}' for name, value in options.items()]
    out = run('fio', '--name=job', '--output-format=json', '--ioengine=io_uring', '--direct=1', *argv)
    job = json.loads(out[out.index('{'):])['jobs'][0]
    return max(job['read']['bw_bytes'], job['write']['bw_bytes'])


class Commits:
    """A session that commits one row after the other, and how long the longest commit took."""

    def __init__(self, server):
        self.conn, self.stopping, self.longest_us = server.connect(autocommit=True), False, 0
        server.sql('CREATE TABLE IF NOT EXISTS proof.commits (i INT AUTO_INCREMENT PRIMARY KEY, t CHAR(100))')
        self.thread = threading.Thread(target=self.loop)
        self.thread.start()

    def loop(self):
        """Thread body."""
        while not self.stopping:
            began = time.monotonic()
            self.conn.query("INSERT INTO proof.commits (t) VALUES ('a row')")
            self.longest_us = max(self.longest_us, int((time.monotonic() - began) * 1e6))

    def longest(self):
        """Microseconds since the last call."""
        value, self.longest_us = self.longest_us, 0
        return value

    def end(self):
        """Stop."""
        self.stopping = True
        self.thread.join()
        self.conn.close()


def swaps(donor, directory):
    """Swap, undo and bare suspend and resume in turn, while a session commits."""
    swap, undo, bare, around_image, around_bare, quiet = [], [], [], [], [], []
    device = ':'.join(map(str, (os.major(os.stat(directory).st_dev), os.minor(os.stat(directory).st_dev))))
    commits = Commits(donor)
    for _ in range(IMAGES):
        time.sleep(0.5)
        commits.longest()
        time.sleep(0.5)
        quiet.append(commits.longest())
        with image.Image(directory, f'--cow={AREA}') as made:
            time.sleep(0.2)
        around_image.append(commits.longest())
        swap.append(int(made.made[1]))
        undo.append(int(made.undone.split()[1]))
        time.sleep(0.3)
        commits.longest()
        bare.append(int(run(os.path.join(TREE, 'build', 'dm', 'bare_swap'), device, '1')))
        time.sleep(0.2)
        around_bare.append(commits.longest())
    commits.end()
    print(f'\n{IMAGES} images while a session commits, ms: min / median / max\n\n| | swap | undo | bare suspend and resume |\n|---|---|---|---|')
    print(f'| the ioctl | {spread(swap)} | {spread(undo)} | {spread(bare)} |')
    print('| median, of the bare one (mark: 2) | ' +
          ' | '.join(f'{statistics.median(v) / statistics.median(bare):.2f}' for v in (swap, undo)) + ' | 1 |')
    print(f'\n| longest commit, ms | |\n|---|---|\n| around an image | {spread(around_image)} |\n'
          f'| around a bare suspend and resume | {spread(around_bare)} |\n| in half a second of quiet | {spread(quiet)} |')


def engine(*argv):
    """Bytes per second of one stream, and what of its time the CPU ran in user mode and in the kernel."""
    rate, user_ms, system_ms, ms = map(int, run(os.path.join(TREE, 'build', 'perf', 'bench_copy'), *argv).split())
    return rate, user_ms / ms, system_ms / ms


def copy_rate(directory):
    """The engine's reads and its copy of a snapshot beside fio on the files that most of the data is in, in turn."""
    with image.Image(directory, f'--cow={AREA}') as made, Stack() as mounted:
        snapshot = '/dev/dm-' + made.made[2].split(':')[1]
        place = mounted.mount(snapshot, '-t', 'xfs', '-o', 'ro,nouuid,norecovery')
        files = ':'.join(sorted(glob.glob(place + '/data/proof/load*.ibd')))
        rounds = [(fio(filename=files, rw='read', bs='1M', iodepth=8), engine('--reads', place + '/data'),
                   engine(place + '/data')) for _ in range(ROUNDS)]
    ratios = {name: [r[i][0] / r[0] for r in rounds] for i, name in ((1, 'reads'), (2, 'reads, page checks, digests'))}
    print(f'\n1 MiB reads of a snapshot with io_uring and O_DIRECT, {ROUNDS} rounds in turn; fio '
          f'{spread([r[0] for r in rounds], 2**20)} MiB/s\n\n'
          '| the engine, one stream | of fio: min / median / max | CPU in user mode | in the kernel |\n|---|---|---|---|')
    for i, (name, values) in enumerate(ratios.items(), 1):
        shares = [statistics.median(r[i][k] for r in rounds) for k in (1, 2)]
        print(f'| {name} | {min(values):.2f} / {statistics.median(values):.2f} / {max(values):.2f} | ' +
              ' | '.join(f'{100 * share:.0f} %' for share in shares) + ' |')


def free(directory):
    """Free bytes of a file system; one gives back what was removed when it likes to."""
    fs = os.statvfs(directory)
    return fs.f_bavail * fs.f_frsize


def writes(directory, area_dir, stores):
    """The donor's overwrites while an image lives."""
    room = free(area_dir)
    job = dict(filename=directory + '/fio', rw='randwrite', bs='16k', iodepth=8, size=f'{FILE_MB}M', runtime=WRITE_S,
               norandommap=1)
    run('fallocate', '-l', f'{FILE_MB}M', directory + '/fio')
    fio(**dict(job, rw='write', bs='1M'))
    alone = fio(**job)
    print(f'\n16 KiB overwrites, MiB/s; without an image {alone / 2**20:.1f}\n\n| store | ' +
          ' | '.join(f'{c} KiB' for c in CHUNKS_KIB) + ' |\n|---|' + '---|' * len(CHUNKS_KIB))
    for name, option in stores.items():
        rates = []
        for chunk in CHUNKS_KIB:
            with image.Image(directory, option, f'--chunk={chunk}', '--size=900'):
                rates.append(fio(**job))
            wait_for(lambda: free(area_dir) >= room, what='the room of the area')
        print(f'| {name} | ' + ' | '.join(f'{r / 2**20:.1f}' for r in rates) + ' |', flush=True)
    os.unlink(directory + '/fio')


def main():
    """Entry point."""
    print(read('/proc/version').strip())
    with Stack() as stack:
        origin = stack.dm('origin', linear(ORIGIN))
        run('mkfs.xfs', '-q', '-f', '-s', 'size=4096', origin)  # what zram can be an area for
        directory = stack.mount(origin)
        area_dir = stack.filesystem('xfs', AREA_DIR)
        with Sandbox(os.path.join(stack.filesystem('xfs', OTHER), 'box')) as box:
            data = directory + '/data'
            copy_template(data)
            donor = box.adopt('donor', data, plugin='stock').start()
            load(donor, DATA_MB)
            swaps(donor, directory)
            donor.stop()
        copy_rate(directory)
        writes(directory, area_dir, {'device': f'--cow={AREA}', 'file': f'--cow={area_dir}', 'zram': '--cow=zram'})


if __name__ == '__main__':
    main()
