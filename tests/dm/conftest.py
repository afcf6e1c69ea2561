# SPDX-License-Identifier: GPL-2.0-only
"""Fixtures of the tests in the guest: devices that are gone at the end, a sandbox on them, a kernel without complaint."""
import os
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(os.path.dirname(HERE), 'it'), os.path.dirname(HERE)]
pytest.register_assert_rewrite('helpers', 'inplace', 'devices')

from devices import Stack  # noqa: E402
from guest import INSIDE, complaints  # noqa: E402
from leftovers import leftovers  # noqa: E402
from sandbox import Sandbox  # noqa: E402
from state import KernelLog, differences, state  # noqa: E402


@pytest.fixture(autouse=True)
def clean():
    """The test leaves no device, mount, loop device, lock or process, and the kernel has nothing to say of it."""
    if not INSIDE:
        yield None
        return
    before, log = state(), KernelLog()
    yield log
    found = differences(before)
    assert found == []
    assert complaints(log.text(), log.expected) == []


@pytest.fixture
def stack(clean):
    """Devices and mounts."""
    with Stack() as s:
        yield s


@pytest.fixture
def boxes(stack, request):
    """boxes(directory): a sandbox there, gone before what it stands on is."""
    made = []

    def make(directory, **options):
        box = Sandbox(os.path.join(directory, 'box'), **options)
        made.append(box)
        stack.undo.append(lambda: end(box))
        return box

    def end(box):
        if request.session.testsfailed:
            for server in box.servers.values():
                print(f'--- {server.name}: exits {server.exit_statuses()}\n{server.log_tail(15)}')
        box.destroy()
        assert leftovers(box.base) == []

    return make
