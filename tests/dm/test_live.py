# SPDX-License-Identifier: GPL-2.0-only
"""Clones by `live` in the guest: the data path on device-mapper devices, fully proven."""
import pytest

from devices import crypt, linear
from helpers import clone_under_load, instance, local, start_donor, start_recipient, unharmed

DISKS = ('1G', '1G')
MEMORY = '3G'
NOISE = ('churn', 'blobs')
PLACES = {'xfs': linear, 'ext4': crypt}


@pytest.mark.parametrize('kind', PLACES)
def test_local(stack, boxes, kind):
    """CLONE LOCAL under load."""
    box = boxes(stack.filesystem(kind, stack.dm('data', PLACES[kind]('/dev/disk0'))))
    donor = start_donor(box, megabytes=6)
    pid, target = donor.pid, box.path('clones') + '/c'
    clone_under_load(box, donor, donor, local(target), target, NOISE)
    unharmed(donor, pid)


def test_instance(stack, boxes):
    """CLONE INSTANCE: two servers in one guest."""
    box = boxes(stack.filesystem('xfs', stack.dm('data', linear('/dev/disk0', '/dev/disk1'))))
    donor = start_donor(box, megabytes=6)
    recipient = start_recipient(box, donor)
    pid, target = donor.pid, box.path('clones') + '/c'
    clone_under_load(box, donor, recipient, instance(donor, target), target, NOISE)
    unharmed(donor, pid)
