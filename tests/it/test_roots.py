# SPDX-License-Identifier: GPL-2.0-only
"""Tablespaces outside the data directory: undo directory, data home, on other file systems too."""
import contextlib
import os
import shutil
import threading
import time

import pytest

from disks import disk, head, logged
from helpers import (INSTALL, OURS, add_user, clone_under_load, instance, local, need_ours, only_ours, start_recipient,
                     unharmed)
from proof.load import load
from proof.prove import prepare_donor
from sandbox import Sandbox
from template import give


def move(server, names, where):
    """Move files of a server that does not run into another directory."""
    for name in names:
        shutil.move(f'{server.datadir}/{name}', where)
    give(where)


def spread(box, name, undo, home, **options):
    """A started server whose undo and system tablespaces lie in those directories."""
    server = box.server(name, plugin=OURS, innodb_undo_directory=undo, innodb_data_home_dir=home, **options)
    move(server, ['undo_001', 'undo_002'], undo)
    move(server, ['ibdata1'], home)
    server.start().sql(INSTALL)
    return server


@pytest.fixture(scope='module')
def pair():
    """A donor with an undo directory on another file system and a data home, and a recipient with neither."""
    need_ours()
    only_ours()
    with disk('ext4', mib=512) as undo, Sandbox() as box:
        os.mkdir(undo + '/undo')
        donor = spread(box, 'donor', undo + '/undo', box.path('home'))
        add_user(donor)
        prepare_donor(donor)
        yield box, donor, start_recipient(box, donor)


def empty(donor):
    """Nothing of an earlier test's writers."""
    donor.sql('SET sql_log_bin = 0', 'DROP SCHEMA proof', 'CREATE SCHEMA proof')
    load(donor, 6, tables=2)


@contextlib.contextmanager
def undo_ddl(donor):
    """Undo tablespaces are created, truncated and dropped meanwhile; what went wrong."""
    stop, errors = threading.Event(), []

    def run():
        conn = donor.connect()
        n = 0
        while not stop.is_set():
            n += 1
            for statement in (f"CREATE UNDO TABLESPACE u{n} ADD DATAFILE 'u{n}.ibu'",
                              f'ALTER UNDO TABLESPACE u{n} SET INACTIVE', f'DROP UNDO TABLESPACE u{n}'):
                with contextlib.suppress(Exception), conn.cursor() as cur:  # not empty yet
                    cur.execute(statement)
            time.sleep(0.05)
        errors.append(n)
        conn.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield errors
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize('how', ['local', 'instance'])
def test_data_directory(pair, how):
    """All of it lies in the new directory; undo tablespaces come and go meanwhile."""
    box, donor, recipient = pair
    pid, target = donor.pid, box.path('clones') + '/' + how
    empty(donor)
    where, statement = (donor, local(target)) if how == 'local' else (recipient, instance(donor, target))
    clone_under_load(box, donor, where, statement, target, ('churn', 'blobs'), beside=undo_ddl(donor))
    assert logged(donor, 'provider dm is not used: tablespaces lie outside the data directory, in ')
    assert {'undo_001', 'undo_002', 'ibdata1'} <= set(os.listdir(target))
    unharmed(donor, pid)
