# SPDX-License-Identifier: GPL-2.0-only
"""Fixtures: a sandbox per test that must be clean at its end."""
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
pytest.register_assert_rewrite('helpers', 'inplace')

from helpers import need_ours, start_donor, start_recipient  # noqa: E402
from leftovers import leftovers  # noqa: E402
from sandbox import Sandbox  # noqa: E402


def pytest_configure(config):
    """Our marker."""
    config.addinivalue_line('markers', 'long: runs only with SNAPCLONE_LONG in the environment (tests/run it --all)')


def pytest_collection_modifyitems(config, items):
    """Long tests stay out, unless they are asked for: pytest counts them as deselected."""
    if os.environ.get('SNAPCLONE_LONG'):
        return
    config.hook.pytest_deselected(items=[i for i in items if i.get_closest_marker('long')])
    items[:] = [i for i in items if not i.get_closest_marker('long')]


@pytest.fixture
def box(request):
    """A sandbox; at the end nothing may be left in it or of it. A failed test's error logs are shown."""
    failed_before = request.session.testsfailed
    with Sandbox() as sandbox:
        yield sandbox
        found = sandbox.leftovers()
        if found or request.session.testsfailed > failed_before:
            for server in sandbox.servers.values():
                print(f'--- {server.name}: exits {server.exit_statuses()}\n{server.log_tail(15)}')
        assert found == []
    assert leftovers(sandbox.base) == []


@pytest.fixture(scope='module')
def pair(request):
    """A donor and a recipient that a module's tests share; each must leave them as they were.

    The module's PAIR_MEGABYTES: data of the donor; PAIR_RECIPIENT: what starts the recipient, start_recipient by
    default.
    """
    need_ours()
    with Sandbox() as sandbox:
        donor = start_donor(sandbox, megabytes=request.module.PAIR_MEGABYTES)
        yield sandbox, donor, getattr(request.module, 'PAIR_RECIPIENT', start_recipient)(sandbox, donor)
