# SPDX-License-Identifier: GPL-2.0-only
"""Fixtures: a sandbox per test that must be clean at its end."""
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
pytest.register_assert_rewrite('helpers', 'inplace')

from leftovers import leftovers  # noqa: E402
from sandbox import Sandbox  # noqa: E402


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
