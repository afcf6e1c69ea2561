# SPDX-License-Identifier: GPL-2.0-only
"""Clones from images of devices: in a storm of DDL on every layout, with daemons killed at random, on areas that lie."""
import itertools
import os
import random
import re
import threading
import time

import pytest

from devices import LAYOUTS, MKFS, linear, lose_writes, run
from guest import ALL
from helpers import INSTALL, OURS, Background, add_user, local, slow, unharmed, wait_for
from image import await_undone, suspended
from leftovers import read
from proof.load import load
from proof.prove import Case, failures, prepare_donor, prove, table
from proof.writer import Session, Writers, now_us
from template import copy_template
from service import Service

DISKS = ('700M', '700M', '1G', '1500M')
FIRST, SECOND, AREA, OTHER = (f'/dev/disk{n}' for n in range(4))
MEMORY = '3G'
LIMIT_S = 600
ALL_LIMIT_S = 1500
STANDS = list(itertools.product(['xfs', 'ext4'], LAYOUTS)) if ALL else [('ext4', 'striped')]
KILLS = 40 if ALL else 5
STORM_S = 60
NOISE = ('churn', 'blobs', 'load')
STORM = [
    'CREATE TABLE storm.a{n} (i INT PRIMARY KEY AUTO_INCREMENT, t VARCHAR(500))',
    "INSERT INTO storm.a{n} (t) VALUES (REPEAT('{n}', 60)), ('b'), ('c')",
    'ALTER TABLE storm.a{n} ADD COLUMN j INT DEFAULT 7, ALGORITHM=INSTANT',
    'ALTER TABLE storm.a{n} ADD INDEX (t)',
    'RENAME TABLE storm.a{n} TO storm.b{n}',
    'ALTER TABLE storm.b{n} ROW_FORMAT=COMPRESSED',
    'TRUNCATE TABLE storm.b{n}',
    "INSERT INTO storm.b{n} (t) VALUES ('d')",
    'CREATE SCHEMA storm{n}',
    'CREATE TABLE storm{n}.t AS SELECT * FROM storm.b{n}',
    'DROP TABLE storm.b{n}',
    'ALTER TABLE storm{n}.t ENGINE=InnoDB',
    'DROP SCHEMA storm{n}',
]


class Storm(threading.Thread):
    """DDL on a donor, one statement after the other, all recorded as what writers do."""

    def __init__(self, donor, record):
        super().__init__(daemon=True)
        self.donor, self.record = donor, record
        self.stopping, self.error, self.done = threading.Event(), None, 0

    def run(self):
        """Thread body."""
        session = Session(self.donor, os.path.join(self.record, 'storm.acks'))
        try:
            session.run('ddl', 0, 'CREATE SCHEMA storm')
            for n in itertools.count(1):
                for statement in STORM:
                    if self.stopping.is_set():
                        return
                    session.run('ddl', n, statement.format(n=n))
                    self.done += 1
        except Exception as e:  # pylint: disable=broad-except
            self.error = e
        finally:
            session.close()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, *_exc):
        self.stopping.set()
        self.join(60)
        assert kind or (not self.error and not self.is_alive()), self.error


class World:
    """A donor on the device `origin`, a service as root, and another disk for the rest."""

    def __init__(self, stack, boxes, kind='xfs', layout='linear', area=AREA, megabytes=10):
        self.directory = stack.mount(self.origin(stack, kind, layout))
        self.box = boxes(stack.filesystem('xfs', OTHER))
        self.area, self.service, self.runs = area, None, itertools.count()
        stack.undo.append(self.end_service)
        self.start_service()
        data = os.path.join(self.directory, 'data')
        copy_template(data)
        self.donor = self.box.adopt('donor', data, plugin=OURS, loose_clone_daemon_socket=self.service.path).start()
        self.donor.sql(INSTALL, "SET GLOBAL clone_provider = 'DM'")
        add_user(self.donor)
        prepare_donor(self.donor)
        load(self.donor, megabytes, tables=2)
        self.table, self.pid = self.live_table(), self.donor.pid

    @staticmethod
    def origin(stack, kind, layout):
        """A new file system on the device."""
        run('dd', 'if=/dev/zero', f'of={AREA}', 'bs=1M', 'count=1', 'conv=fsync', 'status=none')
        device = stack.dm('origin', LAYOUTS[layout](FIRST, SECOND))
        run(*MKFS[kind], device)
        return device

    def start_service(self):
        """A daemon; it reaps what the one before it left."""
        self.service = Service(self.box, '--allow_user=root', f'--dm_cow={self.area}')

    def end_service(self):
        """SIGTERM."""
        if self.service.process.poll() is None:
            assert self.service.end() == 0

    @staticmethod
    def live_table():
        """Of the donor's device."""
        return run('dmsetup', 'table', '--showkeys', 'origin')

    def target(self):
        """A directory for a clone."""
        return f"{self.box.path('clones')}/c{next(self.runs)}"

    def unharmed(self):
        """The donor and its device are as before the clone."""
        unharmed(self.donor, self.pid)
        assert suspended() == []

    def prove(self, target, record, began, before):
        """The full proof; what failed."""
        results = prove(Case(self.donor, target, record, self.box, OURS, began, before), 'on-' + os.path.basename(target))
        print(table(results))
        return failures(results)


@pytest.mark.parametrize('kind, layout', STANDS)
def test_ddl_storm(stack, boxes, kind, layout):
    """The full proof of a clone made while writers write and DDL runs."""
    world = World(stack, boxes, kind, layout)
    record, target, before = world.box.path('record'), world.target(), world.donor.value('SELECT @@gtid_executed')
    with Storm(world.donor, record) as storm, Writers(world.donor, record, threads=3, noise=NOISE):
        wait_for(lambda: storm.done >= len(STORM) // 2, STORM_S, 'a storm')
        first, began = storm.done, now_us()
        world.donor.sql(local(target))
        time.sleep(0.5)
    print('DDL statements:', first, storm.done)
    assert storm.done > first
    assert re.findall(r'provider (\w+) \(', read(world.service.log))[-1:] == ['dm']
    assert world.live_table() == world.table
    world.unharmed()
    assert world.prove(target, record, began, before) == []


def test_daemon_killed_at_random(stack, boxes):
    """SIGKILL of the service while a clone runs: the donor goes on, the next service gives the device back."""
    world = World(stack, boxes)
    seed = random.randrange(1 << 30)
    chance, codes, left = random.Random(seed), [], 0
    began = time.monotonic()
    world.donor.sql(local(world.target()))
    whole_s = time.monotonic() - began
    print('seed', seed, 'seconds', whole_s)
    with Writers(world.donor, world.box.path('record'), threads=2, noise=('churn',)):
        for n in range(KILLS):
            slow(world.donor, 0 if n else 4)  # the first image lasts
            with Background(world.donor, local(world.target())) as clone:
                if n:
                    time.sleep(chance.uniform(0, whole_s))
                else:
                    wait_for(lambda: world.live_table() != world.table, what='an image')
                world.service.process.kill()
                world.service.process.wait()
                codes.append(clone.result()[0])
            world.unharmed()
            left += world.live_table() != world.table
            world.start_service()
            wait_for(lambda: world.live_table() == world.table, what='the table that the device had')
            world.unharmed()
    print('errors', codes, 'images left', left)
    assert left and set(codes) - {0}


def test_area_that_lies(clean, stack, boxes):
    """An area that takes writes and drops them: the clone fails, or is right."""
    clean.expected += ['XFS', 'I/O error']  # of the image: its metadata may be lost, too
    area = stack.dm('area', linear(AREA))
    world = World(stack, boxes, area=area)
    record, target, before = world.box.path('record'), world.target(), world.donor.value('SELECT @@gtid_executed')
    lose_writes('area', AREA)
    slow(world.donor, 8)
    with Writers(world.donor, record, threads=3, noise=('load', 'churn')):
        began = now_us()
        code, message = world.donor.error(local(target))
    print(code, message)
    await_undone(message, os.path.dirname(target))
    world.unharmed()
    assert world.live_table() == world.table
    assert code or world.prove(target, record, began, before) == []
