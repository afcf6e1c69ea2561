# SPDX-License-Identifier: GPL-2.0-only
"""External tablespaces: tables with DATA DIRECTORY and general tablespaces, known through innodb_directories.

Donor and recipient have them under the same absolute names, as on two hosts: the recipient has a mount namespace, in
which another directory stands there.
"""
import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time

import pytest

from disks import disk, head, on_disk
from helpers import (OURS, Background, add_user, clone_under_load, copying, instance, local, nothing_left, slow, unharmed,
                     wait_for)
from inplace import ENDED, in_place, replace, tidy
from proof.checks_files import SNAPCLONE, seen_with
from proof.load import load
from proof.prove import prepare_donor
from sandbox import Sandbox
from service import Service
from template import give
from test_inplace_cancel import stopped
from test_inplace_kill import COMMITTED, HOOKS, World, need_hooks

LONG = pytest.mark.long
EXISTS, WRONG_VALUE = 1086, 1525


def files_of(directory):
    """Names below it."""
    return sorted(os.path.relpath(os.path.join(base, name), directory)
                  for base, _, names in os.walk(directory) for name in names)


class Far(World):
    """A donor and a recipient whose tablespaces lie in FAR, too."""

    def __init__(self, box):  # pylint: disable=super-init-not-called
        self.box, self.step = box, None
        self.box.our_plugin()
        self.far, self.theirs = box.path('far'), box.path('theirs')
        self.binds = {self.far: self.theirs}
        self.donor = self.server('donor')
        add_user(self.donor)
        prepare_donor(self.donor)
        self.recipient = self.server('recipient', binds=self.binds,
                                     loose_clone_valid_donor_list=f'127.0.0.1:{self.donor.port}')
        for server in (self.donor, self.recipient):
            server.sql('CREATE SCHEMA ext', f"CREATE TABLE ext.both (i INT PRIMARY KEY) DATA DIRECTORY = '{self.far}'",
                       f"CREATE TABLESPACE ts ADD DATAFILE '{self.far}/ts.ibd'",
                       'CREATE TABLE ext.general (i INT PRIMARY KEY) TABLESPACE ts')
        self.donor.sql('INSERT INTO ext.both VALUES (1), (2)', 'INSERT INTO ext.general VALUES (3)', 'CREATE SCHEMA new',
                       f"CREATE TABLE new.t (i INT PRIMARY KEY) DATA DIRECTORY = '{self.far}' "
                       'PARTITION BY HASH (i) PARTITIONS 3', 'INSERT INTO new.t VALUES (1), (2), (3), (4)')
        self.recipient.sql('CREATE SCHEMA mine',
                           f"CREATE TABLE mine.t (i INT PRIMARY KEY) DATA DIRECTORY = '{self.far}'",
                           'INSERT INTO mine.t VALUES (7)')

    def server(self, name, **options):
        """A started server."""
        server = self.box.server(name, plugin=OURS, innodb_directories=f'{self.far};{self.box.base}/not-there',
                                 loose_clone_daemon_path=self.wrapper(name), **options).start()
        server.sql("INSTALL PLUGIN clone SONAME 'mysql_clone.so'")
        return server

    def old(self):
        return {**super().old(), 'far': files_of(self.theirs)}

    def outcome(self, before, restarted):
        names = before.pop('far')
        which = super().outcome(before, restarted)
        assert files_of(self.theirs) == (files_of(self.far) if which == 'new' else names)
        return which

    def verify(self, datadir):
        """`snapclone verify` as the recipient's host sees it; (exit status, output)."""
        done = subprocess.run(seen_with(self.binds, SNAPCLONE, 'verify', datadir), check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return done.returncode, done.stdout


@pytest.fixture(scope='module')
def world():
    """One for all tests."""
    if os.geteuid():
        pytest.skip('needs root for a mount namespace')
    need_hooks()
    with Sandbox(build=HOOKS) as box:
        yield Far(box)
        assert box.leftovers() == []


def empty(directory):
    """Remove all below it; it is mounted elsewhere and stays."""
    for name in os.listdir(directory):
        shutil.rmtree(os.path.join(directory, name), ignore_errors=True)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(directory, name))


@contextlib.contextmanager
def ddl(donor, far, recipient=None):
    """External tablespaces come, change and go meanwhile; recipient: once it copies."""
    stop = threading.Event()

    def run():
        if recipient:
            copying(recipient)
        conn, n = donor.connect(), 0
        with conn.cursor() as cur:
            while not stop.wait(0.02):
                n += 1
                for statement in (f"CREATE TABLE ext.t{n} (i INT PRIMARY KEY, s TEXT) DATA DIRECTORY = '{far}'",
                                  f"INSERT INTO ext.t{n} VALUES ({n}, REPEAT('x', 1000))",
                                  f'RENAME TABLE ext.t{n} TO new.r{n}', f'TRUNCATE new.r{n}',
                                  f'INSERT INTO new.r{n} VALUES ({n}, NULL)',
                                  f"CREATE TABLESPACE s{n} ADD DATAFILE '{far}/s{n}.ibd'",
                                  f'DROP TABLESPACE s{n - n % 2}', f'DROP TABLE IF EXISTS new.r{n - 3}'):
                    with contextlib.suppress(Exception):
                        cur.execute(statement)
        conn.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_local(world):
    """The donor's files lie where those of the clone would: as stock, 1086."""
    target = world.box.path('clones') + '/local'
    code, message = world.donor.error(local(target))
    assert code == EXISTS and message.startswith(f"File '{world.far}/") and 'already exists' in message
    nothing_left(world.box, target)


def test_file_exists(world):
    """The recipient has one of the same name, and keeps it."""
    target, before = world.box.path('clones') + '/exists', files_of(world.theirs)
    code, message = world.recipient.error(instance(world.donor, target))
    assert code == EXISTS and world.far in message
    nothing_left(world.box, target)
    assert files_of(world.theirs) == before
    assert world.recipient.sql('TABLE mine.t', 'SELECT * FROM ext.both') == ()


def test_not_known(world):
    """A recipient that does not know the directory: 1525, as stock."""
    with contextlib.ExitStack() as undo:
        server = world.box.server('stranger', plugin=OURS, loose_clone_valid_donor_list=f'127.0.0.1:{world.donor.port}')
        server.start().sql("INSTALL PLUGIN clone SONAME 'mysql_clone.so'")
        undo.callback(server.stop)
        target = world.box.path('clones') + '/stranger'
        for statement in (instance(world.donor, target), in_place(world.donor)):
            code, message = server.error(statement)
            assert code == WRONG_VALUE and message.startswith(f"Incorrect file path value: '{world.far}/"), message
        nothing_left(world.box, target)


def test_behind_a_link(world):
    """A tablespace behind a symbolic link is found by no clone: it is refused by name."""
    donor, target, link = world.donor, world.box.path('clones') + '/link', world.far + '/linked'
    donor.sql('SET sql_log_bin = 0', 'CREATE SCHEMA linked',
              f"CREATE TABLE linked.t (i INT) DATA DIRECTORY = '{world.far}'")
    moved = world.box.path('elsewhere') + '/linked'
    os.rename(link, moved)
    os.symlink(moved, link)
    try:
        code, message = world.recipient.error(instance(donor, target))
        assert code == 3862 and '3869 : ' in message and link + '/t.ibd' in message, message
        nothing_left(world.box, target)
    finally:
        os.unlink(link)
        os.rename(moved, link)
        donor.sql('SET sql_log_bin = 0', 'DROP SCHEMA linked')


def test_linked_schema(world):
    """A recipient whose schema lies behind a symbolic link is not replaced in place, and its tables stay; nor is a donor
    with such a schema cloned."""
    recipient, target = world.recipient, world.box.path('clones') + '/schema'
    recipient.sql('CREATE SCHEMA afar', 'CREATE TABLE afar.t (i INT PRIMARY KEY)', 'INSERT INTO afar.t VALUES (1)')
    moved, link = world.box.path('elsewhere') + '/afar', recipient.datadir + '/afar'
    os.rename(link, moved)
    os.symlink(moved, link)
    try:
        code, message = recipient.error(in_place(world.donor))
        assert code == 3869 and '(afar)' in message, message
        code, message = recipient.error(local(target))
        assert code and 'afar is a symbolic link' in message, message
        assert recipient.sql('TABLE afar.t') == ((1,),)
        nothing_left(world.box, target)
    finally:
        os.unlink(link)
        os.rename(moved, link)
        recipient.sql('DROP SCHEMA afar')


@pytest.fixture(scope='module')
def other(world):
    """A recipient that has no external tablespaces yet, and the directory where it will."""
    third = world.box.path('third')
    return world.server('other', binds={world.far: third}, loose_clone_valid_donor_list=f'127.0.0.1:{world.donor.port}'), third


def test_instance(world, other):
    """Into a new directory, under load, while external tablespaces come and go."""
    box, donor, pid, target = world.box, world.donor, world.donor.pid, world.box.path('clones') + '/instance'
    recipient, third = other
    load(donor, 4, tables=2)
    clone_under_load(box, donor, recipient, instance(donor, target), target, ('churn',), 0.3, 0.3,
                     beside=ddl(donor, world.far), binds={world.far: third}, innodb_directories=world.far)
    unharmed(donor, pid)
    assert {'ext/both.ibd', 'ts.ibd', 'new/t#p#p0.ibd'} <= set(files_of(third))
    assert not [name for name in files_of(third) if '#clone' in name]
    empty(third)


@contextlib.contextmanager
def as_before(world, third, target):
    """Nothing of a clone is left in the end, and what others have there stays."""
    os.makedirs(third + '/ext')
    with open(third + '/ext/own.ibd.txt', 'w', encoding='ascii') as f:
        f.write('own')
    give(third + '/ext')
    try:
        yield
        nothing_left(world.box, target)
        assert files_of(third) == ['ext/own.ibd.txt'] and os.listdir(third) == ['ext']
    finally:
        empty(third)


@pytest.mark.parametrize('step', ['recipient:receive', 'recipient:commit',
                                  pytest.param('recipient:seal', marks=LONG)])
def test_instance_killed(world, other, step):
    """The daemon dies, be it that it had committed."""
    recipient, third = other
    target = world.box.path('clones') + '/killed'
    with as_before(world, third, target), world.ordered('other', SNAPCLONE_KILL_AFTER=step):
        code, message = recipient.error(instance(world.donor, target))
        assert code == 1815 and 'lost the daemon' in message, message


def test_instance_killed_query(world, other):
    """KILL QUERY when the daemon has committed, before it could say so."""
    recipient, third = other
    target = world.box.path('clones') + '/killed-query'
    with as_before(world, third, target), world.ordered('other', SNAPCLONE_STOP_AFTER='recipient:commit'), \
            Background(recipient, instance(world.donor, target)) as clone:
        wait_for(lambda: stopped(recipient), 60, 'the commit')
        assert 'ts.ibd' in files_of(third)
        recipient.sql(f'KILL QUERY {clone.id}')
        time.sleep(0.5)  # the statement tells the daemon to stop
        for pid in stopped(recipient):
            os.kill(pid, signal.SIGCONT)
        assert clone.result()[0] == 1317


def test_in_place(world):
    """The donor's come, the recipient's own go, and `snapclone verify` finds damage in them."""
    before = world.old()
    replace(world.recipient, in_place(world.donor))
    assert world.outcome(before, True) == 'new'
    assert world.recipient.sql('SELECT * FROM ext.both ORDER BY i') == ((1,), (2,))
    assert world.recipient.value('SELECT COUNT(*) FROM new.t') == 4
    world.recipient.stop()
    try:
        assert world.verify(world.recipient.datadir)[0] == 0
        with open(world.theirs + '/ext/both.ibd', 'r+b') as f:
            f.seek(3 * 16384 + 100)
            byte = f.read(1)
            f.seek(-1, os.SEEK_CUR)
            f.write(bytes([byte[0] ^ 1]))
        code, said = world.verify(world.recipient.datadir)
        with open(world.theirs + '/ext/both.ibd', 'r+b') as f:
            f.seek(3 * 16384 + 100)
            f.write(byte)
        assert code == 1 and world.far + '/ext/both.ibd' in said
    finally:
        world.start()


@pytest.mark.parametrize('side, step', [('daemon', 'inplace:rename new files'), ('both', 'recipient:commit'),
                                        ('both', 'inplace:sync'),
                                        pytest.param('daemon', 'recipient:seal', marks=LONG),
                                        pytest.param('both', 'recipient:receive', marks=LONG),
                                        pytest.param('both', 'inplace:list new files', marks=LONG)])
def test_killed(world, side, step):
    """The recipient's daemon dies, or its mysqld with it: the old data or the new, in every directory."""
    world.recipient.sql('CREATE SCHEMA again', f"CREATE TABLE again.t (i INT PRIMARY KEY) DATA DIRECTORY = '{world.far}'",
                        'DROP SCHEMA IF EXISTS new')
    before = world.old()
    code = world.clone('recipient', step, parent=side == 'both')[0]
    assert (code in ENDED) == (side == 'both' or step in COMMITTED)
    if side == 'both':
        assert world.recipient.wait_ended() == -9
        world.start()
    assert world.outcome(before, side == 'both') == ('new' if step in COMMITTED else 'old')
    if step not in COMMITTED:
        replace(world.recipient, in_place(world.donor))
        tidy(world.recipient)


@pytest.mark.parametrize('kind, provider', [('btrfs', 'btrfs'), pytest.param('xfs', 'reflink', marks=LONG)])
def test_images(kind, provider):
    """External tablespaces are in the image; a directory on another file system that has none when the clone begins
    need not be, and those that come there meanwhile are in the clone."""
    with disk('ext4', mib=512) as other, on_disk(kind) as box:
        service = Service(box) if kind == 'btrfs' else None
        options = {'loose_clone_daemon_socket': service.path} if service else {}
        far, later = box.path('far'), other + '/later'
        os.mkdir(later)
        give(later)
        binds = {far: box.path('theirs'), later: box.path('theirs-later')}
        where = {'innodb_directories': f'{far};{later}'}
        donor = box.server('donor', plugin=OURS, **where, **options).start()
        recipient = box.server('recipient', plugin=OURS, binds=binds,
                               loose_clone_valid_donor_list=f'127.0.0.1:{donor.port}', **where).start()
        for server in (donor, recipient):
            server.sql("INSTALL PLUGIN clone SONAME 'mysql_clone.so'")
        add_user(donor)
        prepare_donor(donor)
        donor.sql('SET sql_log_bin = 0', 'CREATE SCHEMA ext', 'CREATE SCHEMA new',
                  f"CREATE TABLE ext.t (i INT PRIMARY KEY) DATA DIRECTORY = '{far}'", 'INSERT INTO ext.t VALUES (1)')
        load(donor, 10, tables=2)
        donor.sql(f'SET GLOBAL clone_provider = {provider.upper()}')
        target = box.path('clones') + '/c'
        slow(recipient, 8)
        clone_under_load(box, donor, recipient, instance(donor, target), target, ('churn',), 0.3, 0.3,
                         beside=ddl(donor, later, recipient), binds=binds, **where)
        assert head(target)['provider'] == provider
        assert files_of(binds[far]) == ['ext/t.ibd'] and files_of(binds[later])
        if service:
            assert service.end() == 0
