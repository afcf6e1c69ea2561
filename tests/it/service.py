# SPDX-License-Identifier: GPL-2.0-only
"""snapcloned as a service, for tests."""
import os
import socket
import subprocess
import time

from leftovers import read
from template import BUILD


class Service:
    """A snapcloned that listens in a directory of the sandbox."""

    supervisor_pid = None

    def __init__(self, box, *options, name='service', build=BUILD, **env):
        self.datadir = box.path(name)
        self.path = self.socket = self.datadir + '/s.sock'
        self.log = self.datadir + '/log'
        box.services.append(self)
        with open(self.log, 'ab') as log:
            self.process = subprocess.Popen(
                [os.path.join(build, 'snapcloned'), f'--socket={self.path}', '--config=/dev/null',
                 '--allow_user=nobody', *options], stdout=log, stderr=log,
                env={**os.environ, **env})
        for _ in range(200):
            if self.answers():
                return
            time.sleep(0.02)
        raise AssertionError(read(self.log))

    @property
    def pid(self):
        """Process id while it runs, else None."""
        return self.process.pid if self.process.poll() is None else None

    def answers(self):
        """True when somebody listens."""
        with socket.socket(socket.AF_UNIX) as s:
            return s.connect_ex(self.path) == 0

    def end(self):
        """SIGTERM; the exit status."""
        self.process.terminate()
        return self.process.wait(20)

    def read_log(self):
        """What it has said so far."""
        return read(self.log)
