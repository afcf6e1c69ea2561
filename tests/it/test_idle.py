# SPDX-License-Identifier: GPL-2.0-only
"""Recipients that are busy for longer than a donor waits for a word of them: they are not taken for lost.

The donor waits for 5 s instead of a minute (build with hooks).
"""
import contextlib
import os
import re
import signal
import time

import pytest

from helpers import Background, copying, fast, slow, start_donor, unharmed, wait_for
from inplace import ENDED, changed, in_place, is_clone, own_data, recipient_of, state, status, tidy
from sandbox import Sandbox
from test_inplace_cancel import WAITS, ddl_waits
from test_inplace_kill import HOOKS, need_hooks

IDLE_S = 5
LOST = re.compile(r'recipient is silent|recipient is gone|clone donor for \S+ failed')


@pytest.fixture
def pair():
    """A donor without patience and a recipient with data of its own."""
    need_hooks()
    with Sandbox(build=HOOKS) as box:
        box.env['SNAPCLONE_IDLE_MS'] = str(1000 * IDLE_S)
        donor = start_donor(box, megabytes=2)
        recipient = recipient_of(box, donor)
        own_data(recipient, 0)
        recipient.sql('SET sql_log_bin = 0', 'CREATE TABLE proof.ddl (i INT)',
                      'INSERT INTO proof.ddl VALUES (1)')
        yield donor, recipient
        assert box.leftovers() == []


@contextlib.contextmanager
def committing(donor, recipient):
    """A clone that has everything staged, and waits for DDL of the recipient's until the end of this."""
    with contextlib.ExitStack() as ddl:
        ddl.enter_context(ddl_waits(recipient))
        clone = Background(recipient, in_place(donor))
        clone.thread.start()
        wait_for(lambda: recipient.value(WAITS), what='a commit that waits')
        yield clone


def complete(donor, recipient, runs):
    """The recipient is the clone, and the donor has lost nobody."""
    recipient.wait_restarted(runs)
    is_clone(recipient, donor)
    assert not LOST.search(donor.log_text()), donor.log_tail(10)
    assert 'is complete, but its donor ended' not in recipient.log_text()


def test_drops_its_data(pair):
    """What is dropped first is gone: nothing that the donor hears nothing of may end the clone then."""
    donor, recipient = pair
    recipient.sql('SET GLOBAL clone_drop_data_first = ON', f'SET GLOBAL clone_delay_after_data_drop = {IDLE_S + 2}')
    runs, pid = len(recipient.statuses()), donor.pid
    code, message = recipient.error(in_place(donor))
    assert code in ENDED, (code, message)
    complete(donor, recipient, runs)
    unharmed(donor, pid)


def test_waits_for_its_ddl(pair):
    """Everything is staged; DDL on the recipient holds its backup lock."""
    donor, recipient = pair
    runs, pid = len(recipient.statuses()), donor.pid
    with committing(donor, recipient) as clone:
        time.sleep(IDLE_S + 2)
        assert clone.running
    assert clone.result()[0] in ENDED
    complete(donor, recipient, runs)
    unharmed(donor, pid)


def test_donor_dies_while_it_waits(pair):
    """The donor has given everything by then: the clone ends well without it, and says that it is gone."""
    donor, recipient = pair
    runs, expected = len(recipient.statuses()), state(donor)
    with committing(donor, recipient) as clone:
        donor.kill()
        time.sleep(1)
        assert clone.running
    assert clone.result()[0] in ENDED
    recipient.wait_restarted(runs)
    tidy(recipient, 10)
    assert status(recipient)['STATE'] == 'Completed'
    assert changed({'data': expected['data'], 'gtid_executed': expected['gtid_executed']}, state(recipient)) == []
    assert 'is complete, but its donor ended with: connection to the donor lost' in recipient.log_text()


def test_is_silent(pair):
    """A recipient that says nothing in the middle of the copy is given up: its mysqld stands still."""
    donor, recipient = pair
    slow(recipient, 4)
    with Background(recipient, in_place(donor)) as clone:
        copying(recipient)
        os.kill(recipient.pid, signal.SIGSTOP)
        wait_for(lambda: LOST.search(donor.log_text()), 20, 'a donor that gives up')
        os.kill(recipient.pid, signal.SIGCONT)
        assert clone.result()[0] == 3862
        fast(recipient)
