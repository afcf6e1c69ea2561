# SPDX-License-Identifier: GPL-2.0-only
"""Servers with several directories of tablespaces: images of what each stands on, fully proven clones."""
import os
import signal
import time

import pytest

from devices import linear
from disks import head
from helpers import OURS, Background, clone_under_load, copying, fast, instance, local, slow, start_recipient, unharmed
from proof.load import load
from proof.prove import Case, failures, prove, table
from proof.writer import Writers, now_us
from test_inplace_kill import HOOKS
from test_redo_lost import AGAIN, CAPACITY, OtherConsumer, write_over
from test_redo_lost_image import ENDS
from test_roots import undo_ddl
from world import AREA, SECOND, SMALL, World

DISKS = ('1200M', '300M', '1G', '64M', '1500M')
MEMORY = '3G'
LIMIT_S = 600
UNDO = ('undo_001', 'undo_002')


@pytest.fixture
def world(stack, boxes):
    """A World with undo directory and data home of its own."""
    it = World(stack, boxes, AREA, SMALL)
    it.options = {'innodb_data_home_dir': it.move(it.directory + '/home', 'ibdata1')}
    return it


def test_several_devices(world):
    """Undo and external tablespaces are on another device, which has an image of its own; undo tablespaces come and go
    meanwhile. A directory on a partition, in which no tablespace lies yet, is no hindrance."""
    place = world.below.filesystem('ext4', world.below.dm('apart', linear(SECOND)))
    far, box = world.move(place + '/far'), world.box
    known = {'innodb_directories': f'{far};{box.path("later")}'}
    donor = world.start(innodb_undo_directory=world.move(place + '/undo', *UNDO), **known, **world.options)
    load(donor, 10, tables=2)
    donor.sql(f"CREATE TABLE proof.far (i INT PRIMARY KEY) DATA DIRECTORY = '{far}'", 'INSERT INTO proof.far VALUES (7)')
    known['binds'] = {far: box.path('theirs')}
    recipient = start_recipient(box, donor, **known)
    donor.sql("SET GLOBAL clone_provider = 'DM'")
    world.note_tables()
    pid, target = donor.pid, world.target()
    clone_under_load(box, donor, recipient, instance(donor, target), target, ('churn',), beside=undo_ddl(donor), **known)
    assert world.areas_made() == ['origin', 'apart']
    assert 'not of one moment' in world.log()
    assert {*UNDO, 'ibdata1'} <= set(os.listdir(target))
    assert os.listdir(box.path('theirs/proof')) == ['far.ibd']
    unharmed(donor, pid)
    world.as_before()


def test_redo_lost(world):
    """All is on one device, and redo is overwritten before it was read: the clone ends with the image, without newer
    pages from any directory."""
    donor = world.start(innodb_undo_directory=world.move(world.directory + '/undo', *UNDO),
                        innodb_redo_log_capacity=CAPACITY, **world.options)
    load(donor, 20, tables=2)
    donor.sql("SET GLOBAL clone_provider = 'DM'")
    world.note_tables()
    pid, target, record = donor.pid, world.target(), world.box.path('record')
    slow(donor)
    before, began = donor.value('SELECT @@gtid_executed'), now_us()
    with Writers(donor, record, noise=('churn', 'blobs')), Background(donor, local(target)) as clone:
        with OtherConsumer(donor):
            copying(donor)
            os.kill(world.service.pid, signal.SIGSTOP)
            try:
                write_over(donor)
            finally:
                os.kill(world.service.pid, signal.SIGCONT)
        fast(donor)
        assert clone.result(150) == (0, '')
    top = head(target)
    assert top['end_lsn'] == top['image_lsn'] >= top['checkpoint_lsn']
    assert (top['provider'], top['binlog_file'], top['binlog_position']) == ('dm', '', 0)
    said = top['redo_lost']
    assert said.startswith(f"The clone ends at the LSN of its image, {top['end_lsn']}")
    assert world.log().count(ENDS) == 1 and AGAIN not in world.log()
    row = donor.sql('SELECT state, error_no, error_message, binlog_file, binlog_position, gtid_executed '
                    'FROM performance_schema.clone_status')[0]
    assert tuple(row) == ('Completed', 0, said, '', 0, '')
    assert world.areas_made() == ['origin']
    results = prove(Case(donor, target, record, world.box, OURS, began, before))
    print(table(results))
    assert failures(results) == []
    unharmed(donor, pid)
    world.as_before()


def test_redo_of_the_image(world):
    """The follower has not come to S: it goes on in the image, which is given back at once, with no device left."""
    world.end_service()
    world.serve(build=HOOKS, SNAPCLONE_LOSE_REDO='image')
    donor = world.start(**world.options)
    load(donor, 10, tables=2)
    donor.sql("SET GLOBAL clone_provider = 'DM'")
    world.note_tables()
    with Writers(donor, world.box.path('record'), noise=('churn', 'blobs')):
        time.sleep(0.3)
        assert donor.error(local(world.target())) == (0, '')
    assert 'following the redo of the image from LSN' in world.log()
    assert 'could not give its image back' not in world.log()
    world.as_before()
    assert world.areas_made() == ['origin']
