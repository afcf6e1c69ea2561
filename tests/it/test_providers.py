# SPDX-License-Identifier: GPL-2.0-only
"""Who makes the image: the choice, and clone_provider."""
import json
import os
import shutil

import pytest

from helpers import instance, local, need_ours, only_ours, start_donor, start_recipient
from sandbox import Sandbox


@pytest.fixture(scope='module')
def pair():
    """A donor and a recipient that the tests share."""
    need_ours()
    only_ours()
    with Sandbox() as box:
        donor = start_donor(box, megabytes=5)
        yield box, donor, start_recipient(box, donor)


@pytest.fixture(autouse=True)
def defaults(pair):  # pylint: disable=redefined-outer-name
    """The variable as it was, no clone."""
    yield
    pair[1].sql('SET GLOBAL clone_provider = DEFAULT')
    shutil.rmtree(pair[0].path('clones') + '/c', ignore_errors=True)


def head(target):
    """Head of a clone's manifest."""
    with open(os.path.join(target, '#clone', '#snapclone_manifest.jsonl'), encoding='utf-8') as f:
        return json.loads(f.readline())


def test_values(pair):
    """The names, the default, and nothing else."""
    donor = pair[1]
    assert donor.value('SELECT @@clone_provider') == 'AUTO'
    for name in ('DM', 'btrfs', 'Reflink', 'LIVE', 'AUTO'):
        donor.sql(f'SET GLOBAL clone_provider = {name}')
        assert donor.value('SELECT @@clone_provider') == name.upper()
    assert donor.error('SET GLOBAL clone_provider = LVM')[0] == 1231


@pytest.mark.parametrize('how', ['local', 'instance'])
def test_live_is_forced(pair, how):
    """LIVE always can; log and manifest say who it was."""
    box, donor, recipient = pair
    target = box.path('clones') + '/c'
    donor.sql('SET GLOBAL clone_provider = LIVE')
    where, statement = (donor, local(target)) if how == 'local' else (recipient, instance(donor, target))
    assert where.error(statement) == (0, '')
    assert head(target)['provider'] == 'live'
    assert head(target)['image_lsn'] is None
    assert 'provider live (clone_provider asks for it)' in donor.log_text()


@pytest.mark.parametrize('how', ['local', 'instance'])
def test_refusal_is_the_error(pair, how):
    """What is forced and cannot be done fails the clone, with the reason; nothing is left."""
    box, donor, recipient = pair
    target = box.path('clones') + '/c'
    donor.sql('SET GLOBAL clone_provider = DM')
    where, statement = (donor, local(target)) if how == 'local' else (recipient, instance(donor, target))
    code, message = where.error(statement)
    assert code == (3869 if how == 'local' else 3862), message
    assert 'clone_provider=DM cannot be used: ' in message
    assert not os.path.exists(target)
