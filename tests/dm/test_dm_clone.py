# SPDX-License-Identifier: GPL-2.0-only
"""Clones from an image of the donor's device (provider dm), fully proven; what ends them, and what is left then."""
import os
import re
import signal
import time

import pytest

from devices import LAYOUTS, MKFS, linear, run
from helpers import (Background, clone_under_load, copying, fast, instance, local, slow, start_donor, start_recipient,
                     unharmed, wait_for)
from image import await_undone, reap, suspended
from leftovers import read
from template import BUILD
from test_service import Service

DISKS = ('1200M', '1200M', '1G', '1G')
MEMORY = '3G'
LIMIT_S = 600
NOISE = ('churn', 'blobs')
COW = '--dm_cow=/dev/disk2'
ALL = os.environ.get('DM_ALL') == '1'
STANDS = [('crypt', 'ext4'), ('linear', 'xfs'), ('segments', 'ext4'), ('striped', 'xfs')]


def table():
    """Live table of the donor's device."""
    return run('dmsetup', 'table', '--showkeys', 'origin')


@pytest.fixture
def places(stack, boxes):
    """places(layout, kind): sandboxes on the device `origin` and on another disk."""
    def make(layout='linear', kind='xfs'):
        run('dd', 'if=/dev/zero', 'of=/dev/disk2', 'bs=1M', 'count=1', 'conv=fsync')
        origin = stack.dm('origin', LAYOUTS[layout]('/dev/disk0', '/dev/disk1'))
        run(*MKFS[kind], origin)
        return boxes(stack.mount(origin)), boxes(stack.filesystem('xfs', '/dev/disk3'))

    return make


@pytest.fixture
def services(clean):
    """services(box, options...): a daemon as a service, which ends with the test."""
    made = []

    def make(box, *options):
        made.append(Service(box, '--allow_user=root', *options))
        return made[-1]

    yield make
    for service in made:
        if service.process.poll() is None:
            assert service.end() == 0


def from_image(service, provider='dm'):
    """The provider that the last clone used, by the service's log."""
    text = read(service.log)
    assert re.findall(r'provider (\w+) \(', text)[-1:] == [provider], text
    return text


@pytest.mark.parametrize('layout,kind', STANDS if ALL else STANDS[:1])
def test_instance(places, services, layout, kind):
    """CLONE INSTANCE from an image: the full proof, and the device is as before."""
    box, other = places(layout, kind)
    service = services(box, COW)
    donor = start_donor(box, megabytes=30, loose_clone_daemon_socket=service.path)
    recipient = start_recipient(other, donor)
    donor.sql("SET GLOBAL clone_provider = 'DM'")
    before, pid, target = table(), donor.pid, other.path('clones') + '/c'
    clone_under_load(other, donor, recipient, instance(donor, target), target, NOISE)
    text = from_image(service)
    assert re.search(r'image made, a write of this server waited at most [1-9]', text)
    assert re.search(r'image given back, a write of this server waited at most [1-9]', text)
    unharmed(donor, pid)
    assert table() == before


def begin_slowly(donor, target, *rate):
    """A local clone that takes long, when it copies."""
    slow(donor, *rate)
    clone = Background(donor, local(target))
    clone.__enter__()
    copying(donor)
    assert 'snapshot-origin' in table()
    return clone


def ended(clone, donor, pid, clones, *words):
    """The clone failed for that reason, and the donor does not notice."""
    code, message = clone.result()
    assert code and any(word in message for word in words), f'{code}: {message}'
    fast(donor)
    unharmed(donor, pid)
    await_undone(message, clones)
    assert suspended() == []


def test_what_ends_a_clone(clean, places, services):
    """A foreign table, the daemon's death, a full area: the clone fails, the donor does not, nothing stays."""
    box, other = places()
    service = services(box, COW)
    donor = start_donor(box, megabytes=60, loose_clone_daemon_socket=service.path)
    donor.sql("SET GLOBAL clone_provider = 'DM'")
    before, pid, clones = table(), donor.pid, other.path('clones')

    clone = begin_slowly(donor, clones + '/foreign')
    run('dmsetup', 'load', 'origin', text=before)
    run('dmsetup', 'resume', 'origin')
    ended(clone, donor, pid, clones, 'somebody else changed the table')
    assert table() == before

    # Somebody is between load and resume: that is waited for, the client does not wait for all of it.
    clone = begin_slowly(donor, clones + '/ended')
    run('dmsetup', 'load', 'origin', text=table())
    service.process.terminate()
    clone.result()
    assert 'snapshot-origin' in table()  # for two seconds more
    ended(clone, donor, pid, clones, 'the image is still being given back (`snapclone status`): snapcloned was told to end')
    assert service.end() == 0
    assert table() == before

    service = services(box, COW)
    clone = begin_slowly(donor, clones + '/killed')
    service.process.send_signal(signal.SIGKILL)
    service.process.wait()
    ended(clone, donor, pid, clones, 'lost the daemon')
    assert 'snapshot-origin' in table()
    again = services(box, COW, '--dm_cow_size=16')
    wait_for(lambda: 'removed 1 images' in read(again.log), what='reaping')
    assert table() == before
    assert reap() == 0

    clean.expected += ['Invalidating snapshot', 'I/O error', 'XFS']
    clone = begin_slowly(donor, clones + '/full')
    for _ in range(10):
        if not clone.running:
            break
        donor.error('SET sql_log_bin = 0', 'UPDATE proof.load0 SET payload = REVERSE(payload)')
    ended(clone, donor, pid, clones, 'copy-on-write area of origin')
    assert table() == before
    assert os.listdir(clones) == []


def status(service):
    """What `snapclone status` says."""
    return run(os.path.join(BUILD, 'snapclone'), 'status', f'--socket={service.path}')


def test_image_that_stays(places, services):
    """The snapshot is in use by somebody when it is to go: the clone counts, the daemon says so until cleanup or the next clone
    removes it."""
    box, other = places()
    service = services(box, COW)
    donor = start_donor(box, megabytes=20, loose_clone_daemon_socket=service.path)
    donor.sql("SET GLOBAL clone_provider = 'DM'")
    before, pid, clones = table(), donor.pid, other.path('clones')
    said = 'provider dm could not give its image back: undoing the image of origin (`snapclone cleanup` removes what stayed)'
    for name in ('first', 'second'):
        clone = begin_slowly(donor, f'{clones}/{name}')
        minor = run('dmsetup', 'info', '-c', '--noheadings', '-o', 'minor', 'origin-snapclone-snap').strip()
        with open(f'/dev/dm-{minor}', 'rb'):
            fast(donor)
            assert clone.result() == (0, '')
            assert table() == before
            assert 'ERROR: ' + said in status(service)
        assert 'ERROR: ' + said in status(service)
        assert ': error: ' + said in read(service.log)
        if name == 'first':
            assert run(os.path.join(BUILD, 'snapclone'), 'cleanup') == '1 image removed\n'
            assert status(service) == 'no jobs\n'
    donor.sql(local(clones + '/third'))
    assert 'what an earlier image had left is gone' in from_image(service)
    assert status(service) == 'no jobs\n'
    unharmed(donor, pid)
    assert table() == before


def without_dm(service):
    """Who made the images that dm did not, and why."""
    text = read(service.log)
    assert text.count('provider dm is not used: another job has an image of origin') >= 1
    return [name for name in re.findall(r'provider (\w+) \(', text) if name != 'dm']


def test_later_jobs_on_one_device(places, services):
    """While a server is cloned from an image, later clones of it and of another one on that device do without, or say why not."""
    box, other = places()
    service = services(box, COW)
    first = start_donor(box, 'first', megabytes=40, loose_clone_daemon_socket=service.path)
    second = start_donor(box, 'second', megabytes=0, loose_clone_daemon_socket=service.path)
    first.sql("SET GLOBAL clone_provider = 'DM'")
    before, clones = table(), other.path('clones')
    clone = begin_slowly(first, clones + '/first', 1)  # all below happens meanwhile
    image = r'image by dm \(writes waited [1-9][0-9.]* ms for it\), copy-on-write area \d+ of 1023 MiB'
    wait_for(lambda: re.search(image, status(service)), what='the image in the status')
    second.sql(f"SET GLOBAL clone_valid_donor_list = '127.0.0.1:{first.port}'")
    code, message = second.error(instance(first, clones + '/refused'))
    assert code and 'another job has an image of origin, which is older than this one; try again' in message, message
    first.sql("SET GLOBAL clone_provider = 'AUTO'")
    assert second.error(local(clones + '/other')) == (0, '')
    with Background(second, instance(first, clones + '/same')) as same:
        wait_for(lambda: len(without_dm(service)) == 2, 60, 'two images by another provider')
        assert without_dm(service) == ['reflink', 'reflink']
        assert 'snapshot-origin' in table() and clone.running
        first.sql(f'KILL QUERY {clone.id}')
        assert clone.result()[0] == 1317
        fast(first)
        assert same.result() == (0, '')
    # A KILL does not wait for it when it takes long.
    wait_for(lambda: table() == before, what='the table that the device had')


def test_jobs_that_begin_together(stack, places, services):
    """One image for two jobs, which wait at its area until both have begun; it is undone with the second."""
    box, other = places()
    area = stack.dm('area', linear('/dev/disk2'))
    service = services(box, f'--dm_cow={area}')
    servers = [start_donor(box, name, megabytes=5, loose_clone_daemon_socket=service.path)
               for name in ('first', 'second')]
    before = table()
    for server in servers:
        server.sql("SET GLOBAL clone_provider = 'DM'")
    run('dmsetup', 'suspend', 'area')
    try:
        clones = [Background(server, local(f'{other.path("clones")}/{server.name}')).__enter__() for server in servers]
        wait_for(lambda: len(status(service).splitlines()) == 2, 60, 'two jobs')
        time.sleep(5)  # until the second one waits for an image
    finally:
        run('dmsetup', 'resume', 'area')
    for clone in clones:
        assert clone.result() == (0, '')
    text = read(service.log)
    assert 'that another job made is used' in text
    assert text.count('copy-on-write area for origin') == 1
    assert table() == before
