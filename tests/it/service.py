# SPDX-License-Identifier: GPL-2.0-only
"""snapcloned as a service, for tests."""
import contextlib
import fcntl
import os
import socket
import subprocess
import time

from leftovers import read
from template import BUILD


REAPING = '/tmp/snapclone-tests.reaping'  # one for the host, wherever TMPDIR is


class Reaping:
    """`with Reaping.shared()`, `with Reaping.alone()`: who may remove the images of daemons that died.

    A daemon of root does that when it starts, and `snapclone cleanup`, on all file systems of the host. A test that kills
    a daemon and then counts its images is alone meanwhile; what it starts itself is not in its way.
    """

    mine = False  # this process is alone

    @classmethod
    @contextlib.contextmanager
    def shared(cls):
        """As long as a daemon starts."""
        with contextlib.ExitStack() as stack:
            if not cls.mine and os.geteuid() == 0:
                fcntl.flock(stack.enter_context(open(REAPING, 'ab')), fcntl.LOCK_SH)
            yield

    @classmethod
    @contextlib.contextmanager
    def alone(cls):
        """From before the daemon is killed until its images are gone. The caller is root."""
        with open(REAPING, 'ab') as f:
            fcntl.flock(f, fcntl.LOCK_EX)
            cls.mine = True
            try:
                yield
            finally:
                cls.mine = False


class Service:
    """A snapcloned that listens in a directory of the sandbox, and has removed what others left."""

    supervisor_pid = None

    def __init__(self, box, *options, name='service', build=BUILD, **env):
        self.datadir = box.path(name)
        self.path = self.socket = self.datadir + '/s.sock'
        self.log = self.datadir + '/log'
        box.services.append(self)
        with Reaping.shared(), open(self.log, 'ab') as log:
            self.process = subprocess.Popen(
                [os.path.join(build, 'snapcloned'), f'--socket={self.path}', '--config=/dev/null',
                 '--allow_user=nobody', *options], stdout=log, stderr=log,
                env={**os.environ, **env})
            end = time.monotonic() + 30
            while not self.serves():
                assert time.monotonic() < end and self.pid, read(self.log)
                time.sleep(0.02)

    @property
    def pid(self):
        """Process id while it runs, else None."""
        return self.process.pid if self.process.poll() is None else None

    def serves(self):
        """True when it sees off a visitor who says nothing: it listens, and then reaps before it takes the first one."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(30)
            if s.connect_ex(self.path):
                return False
            s.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionResetError):
                s.recv(1)
            return True

    def end(self):
        """SIGTERM; the exit status."""
        self.process.terminate()
        return self.process.wait(20)

    def read_log(self):
        """What it has said so far."""
        return read(self.log)
