# SPDX-License-Identifier: GPL-2.0-only
"""DDL while files are cloned from an image: the clone is the donor at E with every provider."""
import threading

import pytest

from disks import head, on_disk
from helpers import clone_under_load, instance, local, slow, start_donor, start_recipient
from service import Service

ROUND = (
    'CREATE TABLE proof.made{n} (id INT AUTO_INCREMENT PRIMARY KEY, a INT, b VARCHAR(500))',
    "INSERT INTO proof.made{n} (a, b) WITH RECURSIVE s (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < 900) "
    "SELECT i, REPEAT('x', 400) FROM s",
    'ALTER TABLE proof.kept ADD INDEX k{n} (a, b(100)), ALGORITHM=INPLACE',
    'ALTER TABLE proof.made{n} ADD COLUMN c INT DEFAULT 7, ALGORITHM=INSTANT',
    'UPDATE proof.kept SET a = a + 1 WHERE id % 3 = 0',
    'OPTIMIZE TABLE proof.kept',
    'RENAME TABLE proof.made{n} TO proof.renamed{n}',
    'ALTER TABLE proof.kept DROP INDEX k{n}',
    'TRUNCATE TABLE proof.emptied',
    "INSERT INTO proof.emptied SELECT id, b FROM proof.kept WHERE id < 200",
    'DROP TABLE proof.renamed{n}',
)


class Ddl:
    """Runs ROUND again and again while it is open."""

    def __init__(self, donor):
        self.donor, self.rounds, self.failure = donor, 0, None
        self.end = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        donor.sql('CREATE TABLE proof.kept (id INT AUTO_INCREMENT PRIMARY KEY, a INT, b VARCHAR(500))',
                  "INSERT INTO proof.kept (a, b) WITH RECURSIVE s (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s "
                  "WHERE i < 900) SELECT i, REPEAT('y', 400) FROM s",
                  'CREATE TABLE proof.emptied (id INT PRIMARY KEY, b VARCHAR(500))')

    def _run(self):
        try:
            while not self.end.is_set():
                for statement in ROUND:
                    self.donor.sql(statement.format(n=self.rounds))
                self.rounds += 1
        except Exception as e:  # pylint: disable=broad-except
            self.failure = e

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_exc):
        self.end.set()
        self.thread.join(60)


@pytest.mark.parametrize('provider, kind, how', [('reflink', 'xfs', 'instance'), ('btrfs', 'btrfs', 'instance'),
                                                 ('reflink', 'btrfs', 'local')])
def test_ddl(provider, kind, how):
    """Tables made, filled, rebuilt, indexed, renamed, truncated and dropped during the copy."""
    with on_disk(kind) as box:
        options = {}
        service = Service(box) if provider == 'btrfs' else None
        if service:
            options['loose_clone_daemon_socket'] = service.path
        try:
            donor = start_donor(box, megabytes=60, **options)
            recipient = start_recipient(box, donor)
            target = box.path('clones') + '/c'
            where, statement = (recipient, instance(donor, target)) if how == 'instance' else (donor, local(target))
            slow(where, 20)
            ddl = Ddl(donor)
            clone_under_load(box, donor, where, statement, target, (), beside=ddl)
            assert ddl.failure is None and ddl.rounds >= 1, (ddl.failure, ddl.rounds)
            assert head(target)['provider'] == provider
        finally:
            if service:
                assert service.end() == 0
