# SPDX-License-Identifier: GPL-2.0-only
"""DDL of every kind while a clone is made; each clone is proved.

SNAPCLONE_STORM_SEEDS=a-b takes other seeds, SNAPCLONE_STORM_PROVIDER=live|reflink|btrfs another provider. The seed also
says how it is cloned and how fast; a failure prints it and every statement. SNAPCLONE_STORM_KEEP=directory keeps the
servers of a failure there, and the clone as it was before its first start (`unstarted`).
"""
import contextlib
import os
import random
import shutil
import time

import pytest

from disks import disk
from helpers import (OURS, Background, fast, instance, local, need_ours, only_ours, slow, start_donor,
                     start_recipient, unharmed, wait_for)
from proof.prove import Case, failures, prove, table
from proof.writer import Writers, now_us
from sandbox import Sandbox
from service import Service
from storm import APART, Storm
from storm_turf import base_rows
from test_inplace_kill import HOOKS, need_hooks

PROVIDER = os.environ.get('SNAPCLONE_STORM_PROVIDER', 'live')
KEEP = os.environ.get('SNAPCLONE_STORM_KEEP')
FIRST, _, LAST = os.environ.get('SNAPCLONE_STORM_SEEDS', '1').partition('-')
MOST = "SELECT data > 0.8 * estimate FROM performance_schema.clone_progress WHERE stage='FILE COPY'"
FILE_SYSTEM = {'reflink': 'xfs', 'btrfs': 'btrfs'}


@contextlib.contextmanager
def sandbox(build=None):
    """Where the provider can work."""
    need_ours()
    only_ours()
    with contextlib.ExitStack() as stack:
        base = None
        if PROVIDER in FILE_SYSTEM:
            base = stack.enter_context(disk(FILE_SYSTEM[PROVIDER], mib=8192)) + '/box'
        box = stack.enter_context(Sandbox(base, build=build))
        service = Service(box) if PROVIDER == 'btrfs' else None  # snapshots need root
        try:
            yield box
        finally:
            if service:
                assert service.end() == 0
        assert box.leftovers() == []


class World:
    """A donor, a recipient, and a storm that is ready. external: with tablespaces outside the data directories."""

    def __init__(self, box, seed, external=False, **options):
        self.box, far, self.far = box, None, {}
        if external and os.geteuid() == 0:
            far = box.path('far')
            self.far = {'innodb_directories': far, 'binds': {far: box.path('theirs')}}
            options['innodb_directories'] = far
        if PROVIDER == 'btrfs':
            options['loose_clone_daemon_socket'] = box.services[0].path
        self.donor = start_donor(box, megabytes=30, keyring_file=True, innodb_redo_log_capacity='256M',
                                 loose_clone_provider=PROVIDER, **options)
        self.recipient = start_recipient(box, self.donor, keyring_file=True, **self.far)
        self.target = box.path('clones') + '/c'
        self.storm = Storm(self.donor, seed, box.path('record'), box.path('aside'), far=far)
        self.storm.prepare()

    def clone(self, how, mib, lasts):
        """Clone in the storm, which lasts so many seconds from then on; a Case. mib: MiB/s of the clone."""
        where, statement, keyring = self.recipient, instance(self.donor, self.target), self.recipient.keyring
        if how == 'local':
            where, statement, keyring = self.donor, local(self.target), self.donor.keyring
        slow(where, mib)
        before = self.donor.value('SELECT @@gtid_executed')
        with Writers(self.donor, self.storm.record, threads=2, noise=('churn', 'load', 'drop')), self.storm:
            time.sleep(1)
            began = now_us()
            with Background(where, statement) as clone:
                clone.thread.join(lasts)
                during = len(self.storm.waits)
                self.storm.stopping.set()
                code, message = clone.result(200)
        print(f'{how} at {mib} MiB/s took {(now_us() - began) / 1e6:.1f} s, {during} statements')
        assert code == 0, message
        return Case(self.donor, self.target, self.storm.record, self.box, OURS, began, before, apart=(APART,),
                    keyring_file=keyring, **self.far)


@pytest.mark.parametrize('seed', range(int(FIRST), int(LAST or FIRST) + 1))
def test_storm(seed):
    """The clone is the donor at E, whatever DDL ran; the clone ends in the storm or after it."""
    rng = random.Random(seed)
    how, mib, lasts = rng.choice(('local', 'instance', 'instance')), rng.choice((12, 20, 30)), rng.choice((4, 12, 30))
    with sandbox() as box:
        world = World(box, seed, how == 'instance')
        pid = world.donor.pid
        try:
            case = world.clone(how, mib, lasts)
            if KEEP:
                shutil.rmtree(KEEP, ignore_errors=True)
                shutil.copytree(world.target, KEEP + '/unstarted')
            results = prove(case)
            print(table(results))
            assert failures(results) == []
        except BaseException:
            print(f'SNAPCLONE_STORM_SEEDS={seed}-{seed} SNAPCLONE_STORM_PROVIDER={PROVIDER}; begin, end, statement:')
            print(world.storm.log.text())
            if KEEP:
                shutil.copytree(box.base, KEEP, symlinks=True, dirs_exist_ok=True,
                                ignore=shutil.ignore_patterns('*.sock*', '.plugin'))
            raise
        unharmed(world.donor, pid)


def test_storm_can_fail():
    """A donor that copies nothing again for indexes that were built without redo is found out."""
    need_hooks()
    with sandbox(HOOKS) as box:
        daemon = box.path('ignores') + '/snapcloned'
        with open(daemon, 'w', encoding='ascii') as f:
            f.write(f'#!/bin/sh\nSNAPCLONE_IGNORE_NOTES=1 exec {box.our_plugin()[1]} "$@"\n')
        os.chmod(daemon, 0o755)
        donor = start_donor(box, megabytes=4, loose_clone_daemon_path=daemon, loose_clone_provider='live')
        base_rows(donor)
        tables = [f'storm.t{n}' for n in range(12)]
        donor.sql('SET sql_log_bin = 0', *[sql for t in tables for sql in (
            f'CREATE TABLE {t} LIKE storm.base', f'INSERT INTO {t} SELECT * FROM storm.base LIMIT 2000')])
        target, before = box.path('clones') + '/c', donor.value('SELECT @@gtid_executed')
        slow(donor, 8)
        with Writers(donor, box.path('record'), threads=1), Background(donor, local(target)) as clone:
            wait_for(lambda: donor.value(MOST), 60, 'most of the copy')
            slow(donor, 1)
            for t in tables:  # most were copied before
                donor.sql('SET sql_log_bin = 0', f'ALTER TABLE {t} ADD INDEX k (t, n), ALGORITHM=INPLACE, LOCK=SHARED')
            assert clone.running
            fast(donor)
            assert clone.result(150) == (0, '')
        results = {r.check: r.findings for r in prove(Case(donor, target, box.path('record'), box, OURS, 0, before))}
        print(results['check_table'])
        assert any('Corrupt' in text for text in results['check_table']), results
