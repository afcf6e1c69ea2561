#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Runs one mysqld, as mysqld_safe or a systemd unit with RestartForceExitStatus=16 would.

    supervisor.py JOB.json

JOB.json: {"argv": [...], "env": {...}, "uid": n, "gid": n, "status": file, "output": file,
"lifeline": fd or null, "supervised": bool, "binds": {directory: another}}. With binds we and all below us have a mount
namespace of our own, in which the other directory stands in the place of each (needs root). mysqld gets MYSQLD_PARENT_PID = our process id, so that
RESTART and CLONE work; exit status 16 starts it again, any other one ends the supervisor. With
"supervised": false it gets no such variable and is never started again. Every exit status is appended to
the status file, one JSON object per line: {"pid", "start", "end", "status"} (status as in subprocess: -9
= SIGKILL). SIGTERM is handed on to mysqld and means: do not restart. When the lifeline (a pipe held open
by whoever started us) closes, mysqld is killed: nothing outlives a killed test run. If the supervisor
itself dies, the kernel kills mysqld (PDEATHSIG).
"""
import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time

PR_SET_PDEATHSIG = 1
CLONE_NEWNS, MS_BIND, MS_REC, MS_PRIVATE = 0x20000, 4096, 16384, 1 << 18
RESTART_STATUS = 16
libc = ctypes.CDLL(None, use_errno=True)


def before_exec():
    """In the child, after it changed user (changing user clears the parent death signal)."""
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def start(job):
    """Start mysqld as job says; return the Popen object."""
    env = dict(job['env'])
    if job['supervised']:
        env['MYSQLD_PARENT_PID'] = str(os.getpid())
    ids = {'user': job['uid'], 'group': job['gid'], 'extra_groups': []} if os.geteuid() == 0 else {}
    with open(job['output'], 'ab') as out:
        return subprocess.Popen(job['argv'], env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                cwd='/', preexec_fn=before_exec, start_new_session=True, **ids)


class Supervisor:
    """One mysqld, started again as long as it asks for it."""

    def __init__(self, job):
        self.job = job
        self.child = None
        self.stopping = False

    def on_term(self, _signum, _frame):
        """SIGTERM: hand it on, and do not restart."""
        self.stopping = True
        if self.child:
            self.child.send_signal(signal.SIGTERM)

    def watch_lifeline(self, fd):
        """Thread: wait until whoever started us is gone, then kill."""
        while os.read(fd, 1):
            pass
        self.stopping = True
        self.child.kill()
        time.sleep(2)  # the main thread reaps it and ends; if it was just restarting, the new one dies with us
        os._exit(1)

    def record(self, **fields):
        """Append one line to the status file."""
        with open(self.job['status'], 'a', encoding='ascii') as f:
            f.write(json.dumps(fields) + '\n')

    def run(self):
        """Run mysqld until it ends for good; return its exit status."""
        self.child = start(self.job)
        signal.signal(signal.SIGTERM, self.on_term)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if self.job.get('lifeline') is not None:
            threading.Thread(target=self.watch_lifeline, args=(self.job['lifeline'],), daemon=True).start()
        while True:
            begin = time.time()
            self.record(pid=self.child.pid, start=begin)
            status = self.child.wait()
            self.record(pid=self.child.pid, start=begin, end=time.time(), status=status)
            if status != RESTART_STATUS or self.stopping or not self.job['supervised']:
                return status
            self.child = start(self.job)
            if self.stopping:
                self.child.terminate()


def bind(binds):
    """Our own view of these directories."""
    def mount(source, target, flags):
        if libc.mount(source, target, None, flags, None):
            raise OSError(ctypes.get_errno(), f'mount {source} {target}')

    if libc.unshare(CLONE_NEWNS):
        raise OSError(ctypes.get_errno(), 'unshare')
    mount(None, b'/', MS_REC | MS_PRIVATE)
    for target, source in binds.items():
        mount(source.encode(), target.encode(), MS_BIND)


def main():
    """Entry point."""
    with open(sys.argv[1], encoding='utf-8') as f:
        job = json.load(f)
    if job['binds']:
        bind(job['binds'])
    status = Supervisor(job).run()
    sys.exit(status if status >= 0 else 128 - status)


if __name__ == '__main__':
    main()
