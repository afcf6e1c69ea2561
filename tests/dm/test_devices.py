# SPDX-License-Identifier: GPL-2.0-only
"""Servers on several devices: images of each, fully proven clones, and nothing left of any when a clone ends early."""
import os
import re
import shutil

import pytest

from devices import MKFS, Stack, linear, run
from guest import ALL
from helpers import (INSTALL, OURS, Background, add_user, clone_under_load, copying, fast, instance, local, slow,
                     start_recipient, unharmed, wait_for)
from image import suspended
from leftovers import read
from proof.load import load
from proof.prove import prepare_donor
from service import Service
from template import BUILD, copy_template, give

DISKS = ('700M', '500M', '1G', '48M', '1500M')
FIRST, SECOND, AREA, SMALL, OTHER = (f'/dev/disk{n}' for n in range(5))
MEMORY = '3G'
LIMIT_S = 450
NOISE = ('churn', 'blobs')
HOOKS = os.path.join(BUILD, 'hooks')


class World:
    """A donor on the device `origin`, not started, and a service. What is mounted by `below` may be in its use."""

    def __init__(self, stack, boxes, *areas):
        for area in areas:
            run('dd', 'if=/dev/zero', f'of={area}', 'bs=1M', 'count=1', 'conv=fsync', 'status=none')
        self.below, self.areas = Stack(), [f'--dm_cow={area}' for area in areas]
        self.directory = stack.filesystem('xfs', stack.dm('origin', linear(FIRST)))
        stack.undo.append(self.below.close)
        self.box = boxes(stack.filesystem('xfs', OTHER))
        self.data = os.path.join(self.directory, 'data')
        copy_template(self.data)
        self.service = None
        stack.undo.append(self.end_service)
        self.serve()
        self.tables = {}

    def serve(self, *options, **where):
        """A daemon; it reaps what the one before it left."""
        self.service = Service(self.box, '--allow_user=root', *self.areas, *options, **where)

    def end_service(self):
        """SIGTERM."""
        if self.service.process.poll() is None:
            assert self.service.end() == 0

    def start(self, **options):
        """The donor, with users, and the schema `proof` without tables."""
        donor = self.box.adopt('donor', self.data, plugin=OURS, loose_clone_daemon_socket=self.service.path, **options)
        donor.start().sql(INSTALL)
        add_user(donor)
        prepare_donor(donor)
        return donor

    def mount_schema(self, how):
        """Put a file system where the tables of `proof` will be."""
        schema = f'{self.data}/proof'
        if how == 'bind':
            os.mkdir(f'{self.directory}/schema')
            self.below.mount(f'{self.directory}/schema', '--bind', directory=schema)
        else:
            device = SECOND if how == 'plain' else self.below.dm('apart', linear(SECOND))
            run(*MKFS['ext4'], device)
            self.below.mount(device, directory=schema)
        give(schema)

    def note_tables(self):
        """Those that the devices have without images."""
        self.tables = self.live_tables()

    @staticmethod
    def live_tables():
        """Of all devices that are there."""
        return {name: run('dmsetup', 'table', name) for name in ('origin', 'apart', 'redo')
                if os.path.exists(f'/dev/mapper/{name}')}

    def images(self):
        """Devices that go through an image."""
        return sorted(name for name, table in self.live_tables().items() if 'snapshot-origin' in table)

    def as_before(self):
        """Nothing is left of an image."""
        assert self.live_tables() == self.tables
        assert suspended() == []
        assert not [line for line in run('dmsetup', 'ls').splitlines() if '-snapclone-' in line]

    def log(self):
        """What the service has said."""
        return read(self.service.log)

    def target(self, name='c'):
        """Directory of a clone."""
        return f"{self.box.path('clones')}/{name}"


@pytest.fixture
def world(stack, boxes):
    """world(areas...): a World."""
    return lambda *areas: World(stack, boxes, *areas)


def areas_made(world):
    """Devices for which an area was made, in that order."""
    return re.findall(r'copy-on-write area for (\S+) ', world.log())


@pytest.mark.parametrize('what', ['redo', 'doublewrite'] if ALL else ['redo'])
def test_log_elsewhere(world, what):
    """Only the redo log, or the doublewrite files, are on another device: one image, and recovery begins before it."""
    world = world(AREA)
    place = world.below.filesystem('xfs', world.below.dm('redo', linear(SECOND)))
    if what == 'redo':
        shutil.move(f'{world.data}/#innodb_redo', place)
    give(place)
    donor = world.start(**{{'redo': 'innodb_log_group_home_dir', 'doublewrite': 'innodb_doublewrite_dir'}[what]: place})
    load(donor, 10, tables=2)
    recipient = start_recipient(world.box, donor)
    donor.sql("SET GLOBAL clone_provider = 'DM'")
    world.note_tables()
    pid = donor.pid
    clone_under_load(world.box, donor, recipient, instance(donor, world.target()), world.target(), NOISE)
    assert areas_made(world) == ['origin']
    assert 'recovery of the clone begins at the checkpoint before the image' in world.log()
    assert ('not of one moment' in world.log()) == (what == 'doublewrite')
    unharmed(donor, pid)
    world.as_before()


@pytest.mark.parametrize('how', ['device', 'plain', 'bind'] if ALL else ['device', 'plain'])
def test_schema_elsewhere(world, how):
    """A schema on another device has an image of its own; on a partition it is read as it runs; a bind mount is found."""
    world = world(AREA, SMALL)
    donor = world.start()
    world.mount_schema(how)
    load(donor, 10, tables=2)
    recipient = start_recipient(world.box, donor)
    world.note_tables()
    pid, statement = donor.pid, instance(donor, world.target())
    if how == 'plain':
        donor.sql("SET GLOBAL clone_provider = 'DM'")
        code, message = recipient.error(statement)
        assert code and 'proof: ' in message and 'is no device-mapper device' in message, message
        donor.sql("SET GLOBAL clone_provider = 'AUTO'")
    clone_under_load(world.box, donor, recipient, statement, world.target(), NOISE)
    text = world.log()
    assert re.findall(r'provider (\w+) \(', text)[-1:] == ['dm'], text
    assert areas_made(world) == {'device': ['origin', 'apart'], 'plain': ['origin'], 'bind': ['origin']}[how]
    assert ('the running files in proof are read: ' in text) == (how == 'plain')
    assert ('not of one moment' in text) == (how != 'bind')
    assert ('the image is of LSN' in text) == (how == 'bind')
    unharmed(donor, pid)
    world.as_before()


def snapclone(*args):
    """Output of the command line."""
    return run(os.path.join(BUILD, 'snapclone'), *args)


def ended(world, clone, donor, pid, *words):
    """The clone failed for that reason, and the donor does not notice."""
    code, message = clone.result()
    assert code and any(word in message for word in words), f'{code}: {message}'
    fast(donor)
    unharmed(donor, pid)
    assert suspended() == []
    assert os.listdir(world.box.path('clones')) == []


def test_what_ends_a_clone(clean, world):
    """The second image cannot be made, the daemon dies between the two or with both, an area is full: nothing is left."""
    world = world(AREA, SMALL)
    donor = world.start()
    world.mount_schema('device')
    load(donor, 60, tables=2)
    donor.sql("SET GLOBAL clone_provider = 'DM'")
    world.note_tables()
    pid, both = donor.pid, ['apart', 'origin']

    world.end_service()
    world.areas, areas = world.areas[:1], world.areas
    world.serve()
    code, message = donor.error(local(world.target()))
    assert code and 'provider dm: proof: ' in message and 'is in use' in message, message
    assert areas_made(world)[-1:] == ['origin']
    world.as_before()
    world.end_service()
    world.areas = areas

    world.serve(build=HOOKS, SNAPCLONE_KILL_AFTER='dm:mount')
    code, message = donor.error(local(world.target()))
    assert code and 'lost the daemon' in message, message
    world.service.process.wait()
    assert world.images() == ['origin']
    unharmed(donor, pid)
    world.serve()
    wait_for(lambda: 'removed 1 images' in world.log(), what='reaping of one')
    world.as_before()

    slow(donor)
    with Background(donor, local(world.target())) as clone:
        copying(donor)
        assert world.images() == both
        world.service.process.kill()
        world.service.process.wait()
        ended(world, clone, donor, pid, 'lost the daemon')
    assert world.images() == both
    assert snapclone('cleanup') == '2 images removed\n'
    world.as_before()

    clean.expected += ['Invalidating snapshot', 'I/O error', 'EXT4-fs']
    world.serve()
    slow(donor)
    with Background(donor, local(world.target())) as clone:
        copying(donor)
        status = snapclone('status', f'--socket={world.service.path}')
        assert re.search(r'copy-on-write area \d+ of (700|47) MiB', status), status
        filler = f'{world.data}/proof/filler'
        run('dd', 'if=/dev/zero', f'of={filler}', 'bs=1M', 'count=100', 'conv=fsync', 'status=none')
        ended(world, clone, donor, pid, 'copy-on-write area of apart')
    os.unlink(filler)
    world.as_before()
