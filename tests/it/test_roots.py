# SPDX-License-Identifier: GPL-2.0-only
"""Tablespaces outside the data directory: undo directory and data home, on other file systems too."""
import contextlib
import os
import shutil
import threading
import time

import pytest

from disks import disk, logged
from helpers import (INSTALL, OURS, Background, add_user, clone_under_load, copying, fast, instance, local, nothing_left,
                     slow, unharmed)
from inplace import ENDED, in_place, is_clone, replace
from proof.load import load
from proof.prove import prepare_donor
from sandbox import Sandbox
from template import give
from test_check import snapclone
from test_inplace_kill import COMMITTED, HOOKS, World, need_hooks

LONG = pytest.mark.long
SETTINGS = ('innodb_undo_directory', 'innodb_data_home_dir')


def elsewhere(server):
    """{directory: names} of the undo directory and the data home, without what each start makes anew."""
    return {name: {n for n in os.listdir(server.conf['options'][name]) if n != 'ibtmp1' and 'dblwr' not in n}
            for name in SETTINGS}


class Spread(World):
    """A donor and a recipient with directories of their own for undo and system tablespaces."""

    def __init__(self, box, undo):  # pylint: disable=super-init-not-called
        self.box, self.step = box, None
        self.box.our_plugin()
        self.donor = self.server('donor', undo + '/undo', box.path('home'))
        add_user(self.donor)
        prepare_donor(self.donor)
        self.donor.sql("CREATE UNDO TABLESPACE more ADD DATAFILE 'more.ibu'")
        self.recipient = self.server('recipient', box.path('undo'), undo + '/home',
                                     loose_clone_valid_donor_list=f'127.0.0.1:{self.donor.port}')
        self.recipient.sql("CREATE UNDO TABLESPACE old ADD DATAFILE 'old.ibu'")

    def server(self, name, undo, home, **options):
        """A started server whose tablespaces were moved there."""
        os.makedirs(undo, exist_ok=True)
        os.makedirs(home, exist_ok=True)
        server = self.box.server(name, plugin=OURS, innodb_undo_directory=undo, innodb_data_home_dir=home,
                                 innodb_directories=self.box.path('elsewhere'),
                                 loose_clone_daemon_path=self.wrapper(name), **options)
        for file, where in (('undo_001', undo), ('undo_002', undo), ('ibdata1', home)):
            shutil.move(f'{server.datadir}/{file}', where)
            give(where)
        server.start().sql(INSTALL)
        return server

    def old(self):
        return {**super().old(), 'elsewhere': elsewhere(self.recipient)}

    def outcome(self, before, restarted):
        names = before.pop('elsewhere')
        which = super().outcome(before, restarted)
        assert elsewhere(self.recipient) == (elsewhere(self.donor) if which == 'new' else names)
        return which


@pytest.fixture(scope='module')
def world():
    """One for all tests, over two file systems."""
    need_hooks()
    with disk('ext4', mib=512) as undo, Sandbox(build=HOOKS) as box:
        yield Spread(box, undo)
        assert [text for text in box.leftovers() if not text.startswith('mount')] == []


@contextlib.contextmanager
def undo_ddl(donor):
    """Undo tablespaces are created, truncated and dropped meanwhile."""
    stop = threading.Event()

    def run():
        conn, n = donor.connect(), 0
        while not stop.wait(0.05):
            n += 1
            for statement in (f"CREATE UNDO TABLESPACE u{n} ADD DATAFILE 'u{n}.ibu'",
                              f'ALTER UNDO TABLESPACE u{n} SET INACTIVE', f'DROP UNDO TABLESPACE u{n}'):
                with contextlib.suppress(Exception), conn.cursor() as cur:  # not empty yet
                    cur.execute(statement)
        conn.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize('how', [pytest.param('local', marks=LONG), 'instance'])
def test_data_directory(world, how):
    """All of it lies in the new directory; undo tablespaces come and go meanwhile."""
    box, donor = world.box, world.donor
    pid, target = donor.pid, box.path('clones') + '/' + how
    donor.sql('SET sql_log_bin = 0', 'DROP SCHEMA proof', 'CREATE SCHEMA proof')
    load(donor, 4, tables=2)
    where, statement = (donor, local(target)) if how == 'local' else (world.recipient, instance(donor, target))
    clone_under_load(box, donor, where, statement, target, ('churn',), 0.3, 0.3, beside=undo_ddl(donor))
    assert logged(donor, 'provider dm is not used: only root may make images of devices')
    assert {'undo_001', 'undo_002', 'more.ibu', 'ibdata1'} <= set(os.listdir(target))
    unharmed(donor, pid)


@pytest.mark.parametrize('what, error', [("CREATE TABLE proof.far (i INT PRIMARY KEY) DATA DIRECTORY = '{}'", 1086),
                                         ("CREATE UNDO TABLESPACE far ADD DATAFILE '{}/far.ibu'", 3869)])
def test_elsewhere_in_mid_copy(world, what, error):
    """What a local clone cannot have comes while it clones: it fails, and says why."""
    box, donor, target = world.box, world.donor, world.box.path('clones') + '/far'
    donor.sql('SET sql_log_bin = 0', 'CREATE SCHEMA IF NOT EXISTS proof')
    slow(donor, 4)
    with Background(donor, local(target)) as clone:
        copying(donor)
        donor.sql('SET sql_log_bin = 0', what.format(box.path('elsewhere')))
        fast(donor)
        code, message = clone.result()
    assert code == error and 'far.ib' in message
    nothing_left(box, target)
    if 'UNDO' in what:
        drop_undo(donor, 'far')
    else:
        donor.sql('SET sql_log_bin = 0', 'DROP TABLE proof.far')


def test_in_place(world):
    """Each file goes where the recipient has it; its own undo tablespace is gone, and nothing is left."""
    before = world.old()
    replace(world.recipient, in_place(world.donor))
    assert world.outcome(before, True) == 'new'
    verify(world)


def verify(world):
    """It wants to know the directories, and sees damage there."""
    recipient = world.recipient
    undo, home = (recipient.conf['options'][name] for name in SETTINGS)
    recipient.stop()
    try:
        code, said, _ = snapclone('verify', recipient.datadir)
        assert code == 1 and 'ibdata1 is missing' in said
        where = [f'--undo-dir={undo}', f'--data-home-dir={home}', recipient.datadir]
        assert snapclone('verify', *where)[0] == 0
        with open(undo + '/undo_002', 'r+b') as f:
            f.seek(3 * 16384 + 100)
            byte = f.read(1)
            f.seek(-1, os.SEEK_CUR)
            f.write(bytes([byte[0] ^ 1]))
        code, said, _ = snapclone('verify', *where)
        with open(undo + '/undo_002', 'r+b') as f:
            f.seek(3 * 16384 + 100)
            f.write(byte)
        assert code == 1 and 'undo_002' in said
    finally:
        world.start()


@pytest.mark.parametrize('side, step', [('daemon', 'inplace:rename new files'), ('both', 'recipient:commit'),
                                        pytest.param('daemon', 'recipient:seal', marks=LONG),
                                        pytest.param('both', 'inplace:sync', marks=LONG),
                                        pytest.param('both', 'recipient:receive', marks=LONG)])
def test_killed(world, side, step):
    """The recipient's daemon dies, or its mysqld with it: the old data or the new, in every directory."""
    world.recipient.sql("CREATE UNDO TABLESPACE own ADD DATAFILE 'own.ibu'")
    before = world.old()
    code = world.clone('recipient', step, parent=side == 'both')[0]
    assert (code in ENDED) == (side == 'both' or step in COMMITTED)
    if side == 'both':
        assert world.recipient.wait_ended() == -9
        world.start()
    assert world.outcome(before, side == 'both') == ('new' if step in COMMITTED else 'old')
    if step not in COMMITTED:
        drop_undo(world.recipient, 'own')


def drop_undo(server, name):
    """Once it is empty."""
    server.sql(f'ALTER UNDO TABLESPACE {name} SET INACTIVE')
    end = time.monotonic() + 20
    while server.error(f'DROP UNDO TABLESPACE {name}')[0]:
        assert time.monotonic() < end
        time.sleep(0.05)


ENCRYPTED = ['ALTER INSTANCE ROTATE INNODB MASTER KEY', 'SET GLOBAL innodb_undo_log_encrypt = ON',
             'SET GLOBAL innodb_redo_log_encrypt = ON',
             "CREATE TABLE proof.secret (i INT PRIMARY KEY, s TEXT) ENCRYPTION = 'Y'",
             "INSERT INTO proof.secret VALUES (1, REPEAT('s', 5000))"]


def absolute(box, name, **options):
    """A server with encryption, whose system tablespace has an absolute name and whose undo tablespaces lie elsewhere."""
    home, undo = box.path(name + '-home'), box.path(name + '-undo')
    server = box.server(name, plugin=OURS, keyring_file=True, innodb_data_home_dir='',
                        innodb_data_file_path=f'{home}/ibdata1:12M:autoextend', innodb_undo_directory=undo, **options)
    for file, where in (('undo_001', undo), ('undo_002', undo), ('ibdata1', home)):
        shutil.move(f'{server.datadir}/{file}', where)
        give(where)
    server.start().sql(INSTALL)
    return server


@LONG
def test_absolute_names_and_encryption():
    """Absolute names in innodb_data_file_path, and encrypted undo tablespaces elsewhere: a new directory and in place."""
    with Sandbox() as box:
        donor = absolute(box, 'donor')
        add_user(donor, require='REQUIRE SSL')
        prepare_donor(donor)
        donor.sql('SET sql_log_bin = 0', *ENCRYPTED)
        load(donor, 4, tables=1)
        recipient = absolute(box, 'recipient', loose_clone_valid_donor_list=f'127.0.0.1:{donor.port}')
        target = box.path('clones') + '/c'
        clone_under_load(box, donor, recipient, instance(donor, target), target, ('churn',), 0.2, 0.2,
                         keyring_file=recipient.keyring)
        replace(recipient, in_place(donor))
        is_clone(recipient, donor)
        assert recipient.value('SELECT LENGTH(s) FROM proof.secret') == 5000
        assert os.path.exists(box.path('recipient-home') + '/ibdata1') and not os.path.exists(recipient.datadir + '/ibdata1')
        assert {'undo_001', 'undo_002'} <= set(os.listdir(box.path('recipient-undo')))
        assert box.leftovers() == []
