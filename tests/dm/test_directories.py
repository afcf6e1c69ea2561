# SPDX-License-Identifier: GPL-2.0-only
"""Servers with several directories of tablespaces: images of what each stands on, fully proven clones."""
import os

import pytest

from devices import linear
from helpers import clone_under_load, instance, start_recipient, unharmed
from proof.load import load
from test_roots import undo_ddl
from world import AREA, SECOND, SMALL, World

DISKS = ('1200M', '300M', '1G', '64M', '1500M')
MEMORY = '3G'
LIMIT_S = 240
UNDO = ('undo_001', 'undo_002')


@pytest.fixture
def world(stack, boxes):
    """A World with undo directory and data home of its own."""
    it = World(stack, boxes, AREA, SMALL)
    it.options = {'innodb_data_home_dir': it.move(it.directory + '/home', 'ibdata1')}
    return it


def test_several_devices(world):
    """The undo tablespaces are on another device, which has an image of its own; they come and go meanwhile."""
    place = world.below.filesystem('ext4', world.below.dm('apart', linear(SECOND)))
    donor = world.start(innodb_undo_directory=world.move(place + '/undo', *UNDO), **world.options)
    load(donor, 10, tables=2)
    recipient = start_recipient(world.box, donor)
    donor.sql("SET GLOBAL clone_provider = 'DM'")
    world.note_tables()
    pid, target = donor.pid, world.target()
    clone_under_load(world.box, donor, recipient, instance(donor, target), target, ('churn',), beside=undo_ddl(donor))
    assert world.areas_made() == ['origin', 'apart']
    assert 'not of one moment' in world.log()
    assert {*UNDO, 'ibdata1'} <= set(os.listdir(target))
    unharmed(donor, pid)
    world.as_before()
