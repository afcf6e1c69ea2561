# SPDX-License-Identifier: GPL-2.0-only
"""What the guest's kernel holds, to see what a test left; and its log."""
import errno
import glob
import os
import time

from devices import run
from leftovers import read

SETTLE_S = 10  # for what is just ending


def processes():
    """{id: name} of the processes that are not the kernel's own."""
    found = {}
    for pid in filter(str.isdigit, os.listdir('/proc')):
        stat = read(f'/proc/{pid}/stat')
        if stat and int(stat.rpartition(')')[2].split()[1]) != 2 and pid != '2' and int(pid) != os.getpid():
            found[int(pid)] = stat[stat.index('(') + 1:stat.rindex(')')]
    return found


def waiting():
    """Names of the processes, the kernel's too, that wait for a device and cannot be ended."""
    found = []
    for pid in filter(str.isdigit, os.listdir('/proc')):
        stat = read(f'/proc/{pid}/stat')
        if stat and stat.rpartition(')')[2].split()[0] == 'D':
            found.append(f'{pid} {stat[stat.index("(") + 1:stat.rindex(")")]}')
    return found


def state():
    """Everything a test could leave behind, by kind."""
    return {
        'device': set(run('dmsetup', 'ls').split('\n')) - {'', 'No devices found'},
        'suspended': {line for line in run('dmsetup', 'info', '-c', '--noheadings', '-o', 'name,suspended').split('\n')
                      if line.endswith('Suspended')},
        'mount': {line.split()[4] for line in read('/proc/self/mountinfo').splitlines()},
        'loop device': set(run('losetup', '--all', '--noheadings', '--output', 'NAME,BACK-FILE').splitlines()),
        'zram': set(glob.glob('/sys/block/zram*')),
        'lock': set(line.split(maxsplit=1)[1] for line in read('/proc/locks').splitlines()),
        'process': set(processes().items()),
        'stuck process': set(waiting()),
    }


def differences(before, seconds=SETTLE_S):
    """What is there now and was not before, as texts; what is ending gets some time."""
    deadline = time.monotonic() + seconds
    while True:
        found = [f'{kind} {thing}' for kind, things in state().items() for thing in things - before[kind]]
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


class KernelLog:
    """The kernel's log from now on. expected: parts of lines that a test provokes, beside what is always wrong."""

    def __init__(self):
        self.fd = os.open('/dev/kmsg', os.O_RDONLY | os.O_NONBLOCK)
        os.lseek(self.fd, 0, os.SEEK_END)
        self.lines, self.expected = [], []

    def text(self):
        """Its lines so far."""
        while True:
            try:
                record = os.read(self.fd, 8192).decode(errors='replace')
            except OSError as e:
                if e.errno == errno.EPIPE:  # some were overwritten
                    continue
                break
            self.lines.append(record.partition(';')[2].split('\n')[0])
        return '\n'.join(self.lines)
