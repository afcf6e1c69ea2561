# SPDX-License-Identifier: GPL-2.0-only
"""Redo that is overwritten before it was read: the clone starts again once, from the beginning, and then fails.

Another backup tool holds the place of the redo consumer, the capacity is the smallest there is, and the donor's daemon
is stopped for some seconds.
"""
import contextlib
import os
import signal
import threading
import time

import pytest

from helpers import (OURS, Background, copying, daemons, instance, local, need_ours, nothing_left, only_ours, slow,
                     start_donor, start_recipient, unharmed, wait_for)
from proof.prove import Case, failures, prove, table
from proof.writer import Writers, now_us

CAPACITY = 8 << 20
AGAIN = 'the clone starts again from the beginning'
LSN = ("SELECT CAST(variable_value AS UNSIGNED) FROM performance_schema.global_status "
       "WHERE variable_name='Innodb_redo_log_current_lsn'")


@pytest.fixture(autouse=True)
def built():
    """All tests need our build."""
    need_ours()
    only_ours()


class OtherConsumer:
    """A backup tool that is the server's redo log consumer, and keeps up."""

    def __init__(self, server):
        self.conn = server.connect()
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.follow, daemon=True)

    def value(self, query):
        """One value."""
        with self.conn.cursor() as cur:
            cur.execute(query)
            return cur.fetchone()[0]

    def follow(self):
        """Advance until told to stop."""
        while not self.stopping.wait(0.02):
            self.value(f'SELECT innodb_redo_log_consumer_advance({self.value(LSN)})')

    def __enter__(self):
        assert self.value('SELECT innodb_redo_log_consumer_register()') == 0
        self.thread.start()
        return self

    def __exit__(self, *_exc):
        self.stopping.set()
        self.thread.join()
        self.conn.close()


@contextlib.contextmanager
def stopped(server):
    """The server's daemon stands still, unless the plugin ends it."""
    pid, = daemons(server)
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def write_over(donor):
    """Some times the capacity."""
    end = donor.value(LSN) + 4 * CAPACITY
    while donor.value(LSN) < end:
        time.sleep(0.05)


def small_donor(box):
    """Its redo is overwritten soon."""
    return start_donor(box, megabytes=30, innodb_redo_log_capacity=CAPACITY)


@pytest.mark.parametrize('how', ['local', 'instance'])
def test_starts_again(box, how):
    """Lost once: everything is copied again, and the clone is right."""
    donor = small_donor(box)
    recipient = start_recipient(box, donor)
    target, record = box.path('clones') + '/c', box.path('record')
    where, statement = (donor, local(target)) if how == 'local' else (recipient, instance(donor, target))
    slow(where, 10)
    before, began = donor.value('SELECT @@gtid_executed'), now_us()
    with Writers(donor, record, noise=('churn', 'load', 'blobs')):
        with Background(where, statement) as clone:
            with OtherConsumer(donor):
                copying(where)
                with stopped(donor):
                    write_over(donor)
                # Not again: nobody holds the writers back then.
                donor.sql(f'SET GLOBAL innodb_redo_log_capacity = {100 << 20}')
            assert clone.result(150) == (0, '')
    assert donor.log_text().count(AGAIN) == 1
    assert 'clone goes on without holding redo files' in donor.log_text()
    results = prove(Case(donor, target, record, box, OURS, began, before))
    print(table(results))
    assert failures(results) == []


def test_lost_again(box):
    """Lost in the second attempt too: an error that says what to do; nothing is left, the donor is unharmed."""
    donor = small_donor(box)
    target, pid = box.path('clones') + '/c', donor.pid
    slow(donor, 10)
    with Writers(donor, box.path('record'), noise=('churn', 'load', 'blobs')), OtherConsumer(donor):
        with Background(donor, local(target)) as clone:
            copying(donor)
            with stopped(donor):
                write_over(donor)
            wait_for(lambda: 'clone held DDL off' in donor.log_text().partition(AGAIN)[2], 60, 'another beginning')
            with stopped(donor):
                write_over(donor)
            code, message = clone.result(60)
    assert code == 3862 and 'started again for that once' in message, (code, message)
    assert 'raise innodb_redo_log_capacity' in message, message
    assert donor.log_text().count(AGAIN) == 1
    nothing_left(box, target)
    unharmed(donor, pid)
