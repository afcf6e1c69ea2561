# SPDX-License-Identifier: GPL-2.0-only
"""CLONE INSTANCE ... DATA DIRECTORY: right under load; TLS clauses as stock."""
import os
import shutil

import pytest

from helpers import (OURS, add_user, clone_under_load, instance, need_ours, start_donor, start_recipient,
                     unharmed)
from sandbox import Sandbox

CLAUSES = ['', 'REQUIRE SSL', 'REQUIRE NO SSL']


@pytest.fixture(autouse=True)
def built():
    """All tests need our build."""
    need_ours()


@pytest.mark.parametrize('clause', CLAUSES)
def test_instance_under_load(box, clause):
    """Data and writers; the clone has everything; replication by auto-position goes on."""
    donor = start_donor(box)
    recipient = start_recipient(box, donor)
    pid, target = donor.pid, box.path('clones') + '/c'
    executed = recipient.value('SELECT @@gtid_executed')
    case, _ = clone_under_load(box, donor, recipient, instance(donor, target, clause), target,
                               ('churn', 'blobs', 'load'))
    assert recipient.value('SELECT @@gtid_executed') == executed
    if OURS == 'ours':
        assert case.status['SOURCE'] == f'127.0.0.1:{donor.port}'
    unharmed(donor, pid)


@pytest.fixture(scope='module')
def pairs():
    """{(plugin, donor has TLS): (donor, recipient)} for our plugin and stock's."""
    with Sandbox() as box:
        found = {}
        for plugin in (OURS, 'stock'):
            for tls in (True, False):
                name = f'{plugin}{int(tls)}'
                if name in box.servers:
                    continue
                donor = start_donor(box, name, 0, plugin, **({} if tls else {'tls_version': ''}))
                add_user(donor, 'needs_tls', require='REQUIRE SSL')
                found[plugin, tls] = donor, start_recipient(box, donor, 'r' + name, plugin)
        yield box, found


@pytest.mark.parametrize('user', ['cloner', 'needs_tls'])
@pytest.mark.parametrize('tls', [True, False])
@pytest.mark.parametrize('clause', CLAUSES)
def test_ssl_clauses_as_stock(pairs, clause, tls, user):
    """Each clause, donor with and without TLS, user that requires TLS or not: stock's outcome."""
    box, found = pairs
    codes = []
    for n, plugin in enumerate((OURS, 'stock')):
        donor, recipient = found[plugin, tls]
        target = f"{box.path('clones')}/s{n}"
        # an earlier test may have left the password in the donor's cache: then no TLS is needed to log in
        donor.sql('FLUSH PRIVILEGES')
        codes.append(recipient.error(instance(donor, target, clause, user))[0])
        assert os.path.exists(target) == (codes[-1] == 0) or plugin == 'stock'
        shutil.rmtree(target, ignore_errors=True)
    assert codes[0] == codes[1]


def test_compression_and_concurrency(box):
    """Other settings of the recipient: one stream, many streams, compression asked for."""
    donor = start_donor(box)
    recipient = start_recipient(box, donor)
    for n, settings in enumerate(['clone_max_concurrency = 1', 'clone_max_concurrency = 128',
                                  'clone_enable_compression = ON', 'clone_autotune_concurrency = OFF']):
        recipient.sql(f'SET GLOBAL {settings}', instance(donor, f"{box.path('clones')}/c{n}"))
        recipient.sql(f"SET GLOBAL {settings.split(' ', maxsplit=1)[0]} = DEFAULT")
    clone = box.adopt('on-c', box.path('clones') + '/c1', plugin=OURS).start()
    assert clone.value('SELECT COUNT(*) FROM proof.load0') == donor.value('SELECT COUNT(*) FROM proof.load0')
    clone.stop()
    clone = box.adopt('on-c0', box.path('clones') + '/c0', plugin=OURS).start()
    assert clone.sql('CHECKSUM TABLE proof.load0, proof.load1') == donor.sql('CHECKSUM TABLE proof.load0, proof.load1')
    clone.stop()
