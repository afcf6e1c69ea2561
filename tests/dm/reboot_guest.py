#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""In the guest, for test_reboot.py: one life of a donor's machine, which ends without warning.

    reboot_guest DIR init           make the data directory on /dev/disk0
    reboot_guest DIR dm:STEP        check it, write, stop image_tool after that step, lose power
    reboot_guest DIR check          check it

DIR outlives the guest: what the writers had acknowledged is in DIR/record.N.
"""
import glob
import os
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(os.path.dirname(HERE), name) for name in ('it', 'dm', '')]
from devices import Stack, linear, run  # noqa: E402
from image import TOOL, suspended  # noqa: E402
from helpers import OURS, wait_for  # noqa: E402
from leftovers import read  # noqa: E402
from proof.checks_server import check_table, present, torn  # noqa: E402
from proof.writer import Writers, read_record  # noqa: E402
from sandbox import Sandbox  # noqa: E402
from template import copy_template  # noqa: E402

ORIGIN, AREA = '/dev/disk0', '/dev/disk1'
WRITERS = 3
BUSY_S = 0.5  # of writing before and after the step


class Server:
    """What the checks want of a case."""

    apart = ()  # no schema whose tables are discarded

    def __init__(self, clone):
        self.clone = clone


def check(server, directory):
    """Everything acknowledged is there and whole."""
    lives = glob.glob(os.path.join(directory, 'record.*'))
    acked = {a.id for life in lives for a in read_record(life) if a.kind == 'trx'}
    if not lives:
        return
    have = present(Server(server))
    assert acked and not acked - have, f'{len(acked - have)} acknowledged commits of {len(acked)} are lost'
    assert len(have - acked) <= WRITERS * len(lives), f'{len(have - acked)} were never acknowledged'
    assert torn(Server(server)) == [] and check_table(Server(server)) == []
    print(f'{len(acked)} acknowledged commits are there', flush=True)


def stop_at(mounted, step):
    """image_tool makes and undoes an image, and stops after that step."""
    env = dict(os.environ, SNAPCLONE_STOP_AFTER=step)
    process = subprocess.Popen([TOOL, f'--cow={AREA}', 'make', mounted], env=env, stdin=subprocess.DEVNULL)
    wait_for(lambda: process.poll() is not None or read(f'/proc/{process.pid}/stat').split()[2] == 'T', what='the stop')
    assert process.poll() is None, f'it ended before {step}'


def lose_power(directory, life, step):
    """What was acknowledged is noted outside; then nothing more is written anywhere."""
    for path in glob.glob(f'{life}/*'):
        fd = os.open(path, os.O_WRONLY)
        os.fsync(fd)
        os.close(fd)
    fd = os.open(os.path.join(directory, 'reached'), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.write(fd, step.encode())
    os.fsync(fd)
    run('busybox', 'poweroff', '-f', '-n')
    time.sleep(60)


def main():
    """Entry point."""
    directory, what = sys.argv[1:]
    with Stack() as stack, Sandbox() as box:
        origin = stack.dm('origin', linear(ORIGIN))
        if what == 'init':
            run('mkfs.xfs', '-q', '-f', origin)
        mounted = stack.mount(origin)
        data = mounted + '/data'
        if what == 'init':
            copy_template(data)
        server = box.adopt('donor', data, plugin=OURS).start()
        check(server, directory)
        if ':' in what:
            life = f'{directory}/record.{len(glob.glob(directory + "/record.*"))}'
            with Writers(server, life, threads=WRITERS):
                wait_for(lambda: any(os.path.getsize(f'{life}/{n + 1}.acks') for n in range(WRITERS)
                                     if os.path.exists(f'{life}/{n + 1}.acks')), what='an acknowledged commit')
                time.sleep(BUSY_S)
                stop_at(mounted, what)
                time.sleep(BUSY_S)
                assert suspended() == []
                lose_power(directory, life, what)
        server.stop()
        box.destroy()


if __name__ == '__main__':
    main()
