#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""What images of devices cost and how fast they are read; runs in a guest (make bench-dm).

Prints four tables: a swap and its undoing beside a bare suspend and resume of the same device; the longest
commit around images; the engine's copy beside fio on the same snapshot; the donor's write throughput
while an image lives, by store and chunk size. One run; the guest has one CPU, so relative figures count.
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
from leftovers import read  # noqa: E402
from proof.load import load  # noqa: E402
from sandbox import Sandbox  # noqa: E402
from template import copy_template  # noqa: E402

ORIGIN, AREA, AREA_DIR, OTHER = (f'/dev/disk{n}' for n in range(4))
IMAGES = 20
DATA_MB = 300
CHUNKS_KIB = (4, 16, 32, 64, 256)
WRITE_S = 5
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
    print(f'\n| longest commit, ms | |\n|---|---|\n| around an image | {spread(around_image)} |\n'
          f'| around a bare suspend and resume | {spread(around_bare)} |\n| in half a second of quiet | {spread(quiet)} |')


def copy_rate(directory):
    """The engine's reads and page checks of a snapshot beside fio on the files that most of the data is in."""
    with image.Image(directory, f'--cow={AREA}') as made, Stack() as mounted:
        snapshot = '/dev/dm-' + made.made[2].split(':')[1]
        place = mounted.mount(snapshot, '-t', 'xfs', '-o', 'ro,nouuid,norecovery')
        files = ':'.join(sorted(glob.glob(place + '/data/proof/load*.ibd')))
        raw = max(fio(filename=files, rw='read', bs='1M', iodepth=8) for _ in range(3))
        rates = [int(run(os.path.join(TREE, 'build', 'perf', 'bench_copy'), place + '/data')) for _ in range(3)]
    rate = max(rates)
    print(f'\nThe engine from a snapshot, one stream, pages checked: {rate / 2**20:.0f} MiB/s; fio, io_uring, O_DIRECT, '
          f'1 MiB reads of it: {raw / 2**20:.0f} MiB/s; ratio {rate / raw:.2f}')


def writes(directory, stores):
    """The donor's overwrites while an image lives."""
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
        writes(directory, {'device': f'--cow={AREA}', 'file': f'--cow={area_dir}', 'zram': '--cow=zram'})


if __name__ == '__main__':
    main()
