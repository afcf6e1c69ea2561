# SPDX-License-Identifier: GPL-2.0-only
"""A donor on devices, and the service that makes images of them."""
import os
import re
import shutil

from devices import MKFS, Stack, linear, run
from helpers import INSTALL, OURS, add_user
from image import suspended
from leftovers import read
from proof.prove import prepare_donor
from service import Service
from template import copy_template, give

FIRST, SECOND, AREA, SMALL, OTHER = (f'/dev/disk{n}' for n in range(5))  # DISKS of the tests is in this order


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

    def move(self, place, *names):
        """Files of the data directory go to another directory, which mysqld may use; that directory."""
        os.makedirs(place, exist_ok=True)
        for name in names:
            shutil.move(f'{self.data}/{name}', place)
        give(place)
        return place

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

    def areas_made(self):
        """Devices for which an area was made, in that order."""
        return re.findall(r'copy-on-write area for (\S+) ', self.log())
