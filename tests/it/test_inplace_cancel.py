# SPDX-License-Identifier: GPL-2.0-only
"""KILL QUERY, KILL CONNECTION, a client that vanishes: a clone in place ends within a second.

Not so while the server connects to a donor that does not answer, nor in STOP REPLICA: docs/limits.md.
"""
import contextlib
import os
import signal
import socket
import threading
import time

import pymysql
import pytest

from helpers import Background, copying, daemons, fast, slow, wait_for
from inplace import ENDED, Unchanged, changed, in_place, is_clone, own_data, replace, replicate, state, status, tidy
from leftovers import read
from sandbox import Sandbox
from test_inplace_kill import HOOKS, World, need_hooks

WITHIN_S = 1
CLONING = "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'CLONE INSTANCE%'"
WAITS = "SELECT COUNT(*) FROM information_schema.processlist WHERE state = 'Waiting for backup lock'"


@pytest.fixture(scope='module')
def world():
    """A donor and a recipient with data of its own that is a running replica of the donor."""
    need_hooks()
    with Sandbox(build=HOOKS) as box:
        w = World(box)
        w.donor.sql('SET sql_log_bin = 0', 'CREATE TABLE proof.ddl (i INT)', 'INSERT INTO proof.ddl VALUES (1)')
        w.recipient.sql('SET sql_log_bin = 0', 'CREATE SCHEMA proof', 'CREATE TABLE proof.ddl (i INT)',
                        'CREATE TABLE proof.later (i INT)')
        w.donor.sql('SET sql_log_bin = 0', 'CREATE TABLE proof.later (i INT)')
        own_data(w.recipient, 1)
        replicate(w.recipient, w.donor)
        yield w
        replace(w.recipient, in_place(w.donor))
        is_clone(w.recipient, w.donor)
        assert box.leftovers() == []


# ---- stages: each keeps a clone there while it is entered -----------------------------------------------------------
# Each gives the statement, what tells that the clone is there, and what to do once it was told to end.


@contextlib.contextmanager
def ddl_waits(server):
    """DDL that waits for a transaction, and holds the backup lock meanwhile."""
    reader = server.connect()
    with reader.cursor() as cur:
        cur.execute('BEGIN')
        cur.execute('SELECT COUNT(*) FROM proof.ddl')
    with Background(server, 'OPTIMIZE LOCAL TABLE proof.ddl') as ddl:
        wait_for(lambda: server.value("SELECT COUNT(*) FROM information_schema.processlist "
                                      "WHERE state = 'Waiting for table metadata lock'"))
        try:
            yield
        finally:
            server.sql(f'KILL QUERY {ddl.id}')
            reader.close()


@contextlib.contextmanager
def donors_lock(world):
    """DDL holds the donor's backup lock."""
    with ddl_waits(world.donor):
        yield in_place(world.donor), lambda: world.donor.value(WAITS), lambda: None


@contextlib.contextmanager
def copying_files(world):
    """A slow copy."""
    slow(world.recipient, 2)
    yield in_place(world.donor), lambda: copying(world.recipient), lambda: None
    fast(world.recipient)


def stopped(server):
    """Ids of that server's daemons that are stopped."""
    return [pid for pid in daemons(server) if read(f'/proc/{pid}/stat').rpartition(')')[2].split()[:1] == ['T']]


def go_on(pids):
    """Those that still are there."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


@contextlib.contextmanager
def sealing(world):
    """The donor's daemon stands between copy and seal, until 0.2 s after the clone was told to end."""
    def sent():
        threading.Timer(0.2, go_on, (stopped(world.donor),)).start()
    with world.ordered('donor', SNAPCLONE_STOP_AFTER='donor:copy'):
        try:
            yield in_place(world.donor), lambda: stopped(world.donor), sent
        finally:
            go_on(stopped(world.donor))


@contextlib.contextmanager
def recipients_lock(world):
    """DDL holds the recipient's backup lock when everything is staged."""
    with ddl_waits(world.recipient):
        yield in_place(world.donor), lambda: world.recipient.value(WAITS), lambda: None


STAGES = [donors_lock, copying_files, sealing, recipients_lock]


# ---- ways to end it -------------------------------------------------------------------------------------------------


def kill_query(server, clone):
    """KILL QUERY: the client gets 1317."""
    server.sql(f'KILL QUERY {clone.id}')
    return [1317]


def kill_connection(server, clone):
    """KILL: the client is cut off."""
    server.sql(f'KILL {clone.id}')
    return [1317, 2013]


def vanish(_server, clone):
    """The client's host hangs up."""
    clone.conn._sock.shutdown(socket.SHUT_RDWR)
    return [2013, 2006]


def end_once(world, stage, way):
    """Seconds that it took."""
    recipient = world.recipient
    with Unchanged(world.box, world.donor, recipient), stage(world) as (statement, reached, sent):
        with Background(recipient, statement) as clone:
            wait_for(lambda: reached() or not clone.running, what=stage.__name__)
            assert clone.running, clone.result()
            began = time.monotonic()
            codes = way(recipient, clone)
            sent()
            assert clone.result(30)[0] in codes
            wait_for(lambda: not recipient.value(CLONING), 30, 'the end')
            took = time.monotonic() - began
            print(f'{stage.__name__}, {way.__name__}: {took:.2f} s')
        row = status(recipient)
        assert (row['STATE'], row['ERROR_NO']) == ('Failed', 1317)
    return took


@pytest.mark.parametrize('way', [kill_query, kill_connection, vanish])
@pytest.mark.parametrize('stage', STAGES)
def test_ends(world, stage, way):
    """1317 within a second; the recipient has all it had, nothing is left on either side."""
    took = []  # a disk that stalls takes longer, not every time
    while not took or (took[-1] >= WITHIN_S and len(took) < 3):
        took.append(end_once(world, stage, way))
    assert took[-1] < WITHIN_S, took


@contextlib.contextmanager
def stopping_replica(world):
    """A clone in place that waits in STOP REPLICA, which goes on when the lock is given back: (clone, lock's cursor).

    Afterwards replication runs again, and all is as it was.
    """
    donor, recipient = world.donor, world.recipient
    locker = recipient.connect()
    before = state(recipient)
    with locker.cursor() as cur:
        cur.execute('FLUSH TABLES WITH READ LOCK')
        donor.sql('INSERT INTO proof.later VALUES (1)')
        wait_for(lambda: recipient.value("SELECT COUNT(*) FROM information_schema.processlist "
                                         "WHERE state = 'Waiting for global read lock'"))
        with Background(recipient, in_place(donor)) as clone:
            wait_for(lambda: session_in(recipient, 'STOP REPLICA') or not clone.running)
            yield clone, cur
    locker.close()
    caught_up = f"SELECT GTID_SUBSET('{donor.value('SELECT @@gtid_executed')}', @@gtid_executed)"
    wait_for(lambda: recipient.value(caught_up), what='replication')
    tidy(recipient)
    found = changed(before, state(recipient), 'data', 'gtid_executed', 'binary logs')
    assert not found, found


def session_in(server, statement):
    """Id of the plugin's session that runs such a statement, or None."""
    rows = server.sql(f"SELECT id FROM information_schema.processlist WHERE info LIKE 'PLUGIN: {statement}%'")
    return rows[0][0] if rows else None


def test_stop_replica(world):
    """STOP REPLICA itself cannot be interrupted: a KILL counts when it has ended, and replication runs again."""
    with stopping_replica(world) as (clone, lock):
        world.recipient.sql(f'KILL QUERY {clone.id}')
        time.sleep(0.5)
        lock.execute('UNLOCK TABLES')
        assert clone.result(30)[0] == 1317


def killing(server, victim):
    """KILL QUERY in a loop, until that session is gone."""
    with server.connect() as conn, conn.cursor() as cur, contextlib.suppress(pymysql.err.OperationalError):
        while True:
            cur.execute(f'KILL QUERY {victim}')


@pytest.mark.parametrize('read_only', ['OFF', 'ON'])
def test_its_session_is_killed(world, read_only):
    """A KILL that comes between two statements ends the plugin's session: what it has done is undone nevertheless."""
    recipient = world.recipient
    recipient.sql(f'SET GLOBAL super_read_only = {read_only}')
    with stopping_replica(world) as (clone, lock):
        killer = threading.Thread(target=killing, args=(recipient, session_in(recipient, 'STOP REPLICA')))
        killer.start()
        lock.execute('UNLOCK TABLES')
        code, message = clone.result(30)
        print(f'{code} {message}')
        assert code not in ENDED  # whatever the statement that was hit makes of it
        killer.join()
    recipient.sql('SET GLOBAL read_only = OFF')
