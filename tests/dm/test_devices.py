# SPDX-License-Identifier: GPL-2.0-only
"""Servers on several devices: images of each, fully proven clones, and nothing left of any when a clone ends early."""
import os
import re

import pytest

from devices import linear, run
from guest import ALL
from helpers import (Background, clone_under_load, copying, fast, instance, local, slow, start_recipient, unharmed,
                     wait_for)
from image import await_undone, suspended
from proof.load import load
from template import BUILD
from world import AREA, SECOND, SMALL, World

DISKS = ('700M', '500M', '1G', '48M', '1500M')
MEMORY = '3G'
LIMIT_S = 600
NOISE = ('churn', 'blobs')
HOOKS = os.path.join(BUILD, 'hooks')


@pytest.fixture
def world(stack, boxes):
    """world(areas...): a World."""
    return lambda *areas: World(stack, boxes, *areas)


@pytest.mark.parametrize('what', ['redo', 'doublewrite'] if ALL else ['redo'])
def test_log_elsewhere(world, what):
    """Only the redo log, or the doublewrite files, are on another device: one image, and recovery begins before it."""
    world = world(AREA)
    place = world.below.filesystem('xfs', world.below.dm('redo', linear(SECOND)))
    world.move(place, *(['#innodb_redo'] if what == 'redo' else []))
    donor = world.start(**{{'redo': 'innodb_log_group_home_dir', 'doublewrite': 'innodb_doublewrite_dir'}[what]: place})
    load(donor, 10, tables=2)
    recipient = start_recipient(world.box, donor)
    donor.sql("SET GLOBAL clone_provider = 'DM'")
    world.note_tables()
    pid = donor.pid
    clone_under_load(world.box, donor, recipient, instance(donor, world.target()), world.target(), NOISE)
    assert world.areas_made() == ['origin']
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
    assert world.areas_made() == {'device': ['origin', 'apart'], 'plain': ['origin'], 'bind': ['origin']}[how]
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
    await_undone(message, world.box.path('clones'))
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
    assert world.areas_made()[-1:] == ['origin']
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
        wait_for(lambda: re.search(r'copy-on-write area \d+ of (700|47) MiB',
                                   snapclone('status', f'--socket={world.service.path}')), what='an area in the status')
        filler = f'{world.data}/proof/filler'
        run('dd', 'if=/dev/zero', f'of={filler}', 'bs=1M', 'count=100', 'conv=fsync', 'status=none')
        ended(world, clone, donor, pid, 'copy-on-write area of apart')
    os.unlink(filler)
    world.as_before()
