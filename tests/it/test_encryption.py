# SPDX-License-Identifier: GPL-2.0-only
"""Encrypted donors: tables, mysql.ibd, undo and redo; donor and recipient have keyrings of their own."""
import concurrent.futures
import contextlib
import itertools
import os
import shutil
import threading
import time

import pytest

import keyring
from helpers import (OURS, Background, clone_under_load, copying, fast, instance, local, need_ours, nothing_left,
                     only_ours, slow, start_donor, start_recipient, unharmed, wait_for)
from inplace import Unchanged, checksums, in_place, own_data, recipient_of, replace, tidy
from proof.prove import Case, failures, prove_in_place, table
from proof.writer import Writers, now_us
from service import Service

ROTATE = 'ALTER INSTANCE ROTATE INNODB MASTER KEY'
NOISE = ('churn', 'blobs', 'load', 'flush', 'drop')
ALL_ON = {'keyring_file': True, 'default_table_encryption': 'ON', 'innodb_redo_log_encrypt': 'ON',
          'innodb_undo_log_encrypt': 'ON'}
KINDS = [
    'CREATE SCHEMA kinds',
    "CREATE TABLESPACE gen ADD DATAFILE 'gen.ibd' ENCRYPTION='Y'",
    "CREATE TABLE kinds.gen (i INT PRIMARY KEY, t TEXT) TABLESPACE gen ENCRYPTION='Y'",
    "CREATE TABLE kinds.zip (i INT PRIMARY KEY, t TEXT) ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE=4 ENCRYPTION='Y'",
    "CREATE TABLE kinds.packed (i INT PRIMARY KEY, t TEXT) COMPRESSION='zlib' ENCRYPTION='Y'",
    "CREATE TABLE kinds.geo (i INT PRIMARY KEY, g POINT NOT NULL SRID 0, SPATIAL INDEX (g)) ENCRYPTION='Y'",
    "CREATE TABLE kinds.plain (i INT PRIMARY KEY, t TEXT) ENCRYPTION='N'",
    'INSERT INTO kinds.geo WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < 900) '
    'SELECT i, POINT(i, i) FROM s',
] + [f'INSERT INTO kinds.{t} WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < 500) '
     "SELECT i, REPEAT('some text ', 90) FROM s" for t in ('gen', 'zip', 'packed', 'plain')]


@pytest.fixture(autouse=True)
def built():
    """All tests need our build."""
    need_ours()


def encrypted_donor(box, megabytes=8, **options):
    """A donor with everything encrypted that can be, its master key rotated once."""
    donor = start_donor(box, megabytes=megabytes, **{**ALL_ON, **options})
    donor.sql(*KINDS)
    donor.sql("ALTER TABLESPACE mysql ENCRYPTION='Y'", ROTATE)
    return donor


class Switching:
    """Server variables switched all the time."""

    def __init__(self, server, *names, every=0.15):
        self.server, self.names, self.every, self.count = server, names, every, 0
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        values = itertools.cycle(itertools.product(('OFF', 'ON'), self.names))
        while not self.stopping.wait(self.every):
            value, name = next(values)
            self.server.sql(f'SET GLOBAL {name} = {value}')
            self.count += 1

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_exc):
        self.stopping.set()
        self.thread.join()


def rotates(server, expected):
    """Rotation works, before and after a crash, and the old data stays readable."""
    server.sql(ROTATE)
    server.kill()
    server.start()
    server.sql(ROTATE)
    assert checksums(server) == expected


def started(box, name, target, keyring_file, **options):
    """A server on a clone, with that keyring."""
    return box.adopt(name, target, plugin=OURS, keyring_file=keyring_file, **options).start()


# ---- the proof ----------------------------------------------------------------------------------------------


def test_instance(box):
    """All kinds of encryption under load, redo and undo encryption switched in mid-clone; rotation afterwards."""
    donor = encrypted_donor(box, innodb_redo_log_capacity='64M')
    recipient = start_recipient(box, donor, keyring_file=True)
    target = box.path('clones') + '/c'
    slow(recipient, 25)
    with Switching(donor, 'innodb_redo_log_encrypt', 'innodb_undo_log_encrypt') as switching:
        clone_under_load(box, donor, recipient, instance(donor, target), target, NOISE,
                         keyring_file=recipient.keyring)
    assert switching.count > 5
    donors = keyring.key_ids(donor.keyring)
    assert set(donors) & set(keyring.key_ids(recipient.keyring)) or OURS != 'ours'
    recipient.stop()
    clone = started(box, 'clone', target, recipient.keyring)
    rotates(clone, checksums(clone))
    assert len(set(keyring.key_ids(recipient.keyring)) - set(donors)) == 2 or OURS != 'ours'
    rotates(donor, checksums(donor))
    clone.stop()


def test_local(box):
    """CLONE LOCAL: the clone uses a copy of the donor's keyring."""
    donor = encrypted_donor(box)
    target = box.path('clones') + '/c'
    clone_under_load(box, donor, donor, local(target), target, NOISE, keyring_file=donor.keyring)


def test_in_place(box):
    """The recipient had encrypted data of its own, which is replaced; its keyring has both keys; rotation works."""
    donor = encrypted_donor(box)
    recipient = recipient_of(box, donor, keyring_file=True)
    own_data(recipient)
    recipient.sql("CREATE TABLE own.secret (i INT PRIMARY KEY) ENCRYPTION='Y'", 'INSERT INTO own.secret VALUES (1)')
    own, mark, pid = keyring.key_ids(recipient.keyring), recipient.log_mark(), donor.pid
    before, record = donor.value('SELECT @@gtid_executed'), box.path('record')
    with Writers(donor, record, noise=NOISE), Switching(donor, 'innodb_redo_log_encrypt'):
        time.sleep(0.5)
        began = now_us()
        replace(recipient, in_place(donor))
        time.sleep(0.5)
    if OURS == 'ours':
        tidy(recipient)
        assert set(keyring.key_ids(recipient.keyring)) >= {*own, *keyring.key_ids(donor.keyring)[-1:]}
    case = Case(donor, recipient.datadir, record, box, OURS, began, before)
    results = prove_in_place(case, recipient, mark)
    print(table(results))
    assert failures(results) == []
    unharmed(donor, pid)
    recipient.start()
    rotates(recipient, checksums(recipient))


def test_first_key_in_mid_clone(box):
    """A donor where nothing is encrypted: redo and undo encryption, and with them the first master key, come later."""
    only_ours()
    donor = start_donor(box, megabytes=8, keyring_file=True)
    recipient = start_recipient(box, donor, keyring_file=True)
    target = box.path('clones') + '/c'
    slow(recipient, 4)

    def switch():
        try:
            copying(recipient)
            assert keyring.key_ids(donor.keyring) == []
            donor.sql('SET GLOBAL innodb_undo_log_encrypt = ON', 'SET GLOBAL innodb_redo_log_encrypt = ON')
        finally:
            fast(recipient)

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        switched = pool.submit(switch)
        clone_under_load(box, donor, recipient, instance(donor, target), target, NOISE, keyring_file=recipient.keyring)
        switched.result()
    assert keyring.key_ids(recipient.keyring) == keyring.key_ids(donor.keyring) != []


def test_rotation_in_mid_clone(box):
    """Some pages 0 were copied before they were wrapped in the new master key, some after it: both keys travel."""
    donor = start_donor(box, megabytes=24, keyring_file=True, default_table_encryption='ON')
    recipient = start_recipient(box, donor, keyring_file=True)
    donor.sql(*KINDS)
    target = box.path('clones') + '/c'
    slow(recipient, 5)
    with Background(recipient, instance(donor, target)) as clone:
        copying(recipient)
        donor.sql(ROTATE)
        copying(recipient)
        donor.sql(ROTATE)
        assert clone.result()[0] == 0
    fast(recipient)
    clone = started(box, 'clone', target, recipient.keyring)
    assert checksums(clone) == checksums(donor)


def test_just_encrypted(box):
    """Tables, a general tablespace and undo were encrypted and filled a moment ago: page 0 is not on disk yet."""
    donor = start_donor(box, megabytes=0, keyring_file=True, innodb_max_dirty_pages_pct=99,
                        innodb_buffer_pool_size='64M')
    recipient = start_recipient(box, donor, keyring_file=True)
    donor.sql(*KINDS, 'SET GLOBAL innodb_undo_log_encrypt = ON', 'CREATE TABLE kinds.gone LIKE kinds.gen',
              "ALTER TABLE kinds.gone ENCRYPTION='Y'", ROTATE, 'INSERT INTO kinds.gone SELECT * FROM kinds.gen',
              'DROP TABLE kinds.gone', *[f'UPDATE kinds.{t} SET t = REVERSE(t)' for t in ('gen', 'zip', 'packed')])
    target = box.path('clones') + '/c'
    recipient.sql(instance(donor, target))
    clone = started(box, 'clone', target, recipient.keyring)
    assert checksums(clone) == checksums(donor)
    assert {r[3] for r in clone.sql(*[f'CHECK TABLE kinds.{t}' for t in ('gen', 'zip', 'packed', 'geo')])} == {'OK'}
    clone.stop()


def test_decrypted_in_mid_copy(box):
    """General tablespaces that are decrypted while they are copied, and encrypted again with another key.

    The pages that were copied before are encrypted, and recovery forgets their key: it stops there, or never starts.
    """
    donor = start_donor(box, megabytes=4, keyring_file=True)
    names = [f'g{n}' for n in range(4)]
    for name in names:
        donor.sql(f"CREATE TABLESPACE {name} ADD DATAFILE '{name}.ibd' ENCRYPTION='Y'",
                  f"CREATE TABLE proof.{name} (i INT PRIMARY KEY, t TEXT) TABLESPACE {name} ENCRYPTION='Y'",
                  f'INSERT INTO proof.{name} SELECT id, REPEAT(payload, 3) FROM proof.load0 LIMIT 1500')
    target = box.path('clones') + '/c'
    slow(donor, 4)
    with Background(donor, local(target)) as clone:
        copying(donor)
        for name in names:
            donor.sql(f"ALTER TABLESPACE {name} ENCRYPTION='N'")
            time.sleep(1.2)
        assert clone.running, 'the clone was too fast'
        for name in names[::2]:
            donor.sql(f"ALTER TABLESPACE {name} ENCRYPTION='Y'")
        fast(donor)
        assert clone.result() == (0, '')
    clone = started(box, 'clone', target, donor.keyring)
    assert checksums(clone) == checksums(donor)
    assert {r[3] for r in clone.sql(*[f'CHECK TABLE proof.{name} EXTENDED' for name in names])} == {'OK'}


# ---- what is refused, before data moves ---------------------------------------------------------------------


def test_without_tls(box):
    """Encrypted data goes over TLS only: 3872 from the donor, by whatever way TLS is missing."""
    donor = start_donor(box, megabytes=0, keyring_file=True)
    donor.sql("CREATE TABLE proof.secret (i INT PRIMARY KEY) ENCRYPTION='Y'")
    recipient = start_recipient(box, donor, keyring_file=True)
    target = box.path('clones') + '/c'
    secret = (3862, 'Clone Donor Error: 3872 : Clone needs SSL connection for encrypted table..')
    assert recipient.error(instance(donor, target, 'REQUIRE NO SSL')) == secret
    nothing_left(box, target)
    if OURS == 'ours':
        recipient.sql('CREATE SCHEMA own', 'SET GLOBAL clone_drop_data_first = ON')
        assert recipient.error(in_place(donor, 'REQUIRE NO SSL')) == secret
        assert recipient.value("SHOW SCHEMAS LIKE 'own'") == 'own'
    donor.sql('ALTER INSTANCE DISABLE INNODB REDO_LOG', 'ALTER INSTANCE ENABLE INNODB REDO_LOG')
    for statement in ('DROP TABLE proof.secret', 'SET GLOBAL innodb_redo_log_encrypt = ON'):
        donor.sql(statement)
    assert recipient.error(instance(donor, target, 'REQUIRE NO SSL')) == secret
    nothing_left(box, target)
    assert keyring.key_ids(recipient.keyring) == []
    other = start_donor(box, 'no-tls', megabytes=0, keyring_file=True, tls_version='', innodb_undo_log_encrypt='ON')
    recipient.sql(f"SET GLOBAL clone_valid_donor_list = '127.0.0.1:{other.port}'")
    other.sql("SET sql_log_bin = 0", "ALTER USER cloner@'%' IDENTIFIED WITH caching_sha2_password BY 'clone pw'")
    conn = other.connect(host='127.0.0.1', user='cloner', password='clone pw')  # into the cache: no TLS is needed then
    conn.close()
    assert recipient.error(instance(other, target)) == secret
    nothing_left(box, target)


def unnamed_files(pid):
    """Files that a process has open and that have no name any more."""
    found = []
    for fd in os.listdir(f'/proc/{pid}/fd'):
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            found.append(os.readlink(f'/proc/{pid}/fd/{fd}'))
    return [path for path in found if path.endswith(' (deleted)')]


def test_service_without_redo_key(box):
    """The key of the redo log is refused when the donor begins: the service has nothing of such a clone."""
    only_ours()
    service = Service(box)
    donor = start_donor(box, megabytes=0, keyring_file=True, innodb_redo_log_encrypt='ON',
                        loose_clone_daemon_socket=service.path)
    recipient = start_recipient(box, donor, keyring_file=True)
    target = box.path('clones') + '/c'
    donor.sql('SET GLOBAL innodb_redo_log_encrypt = OFF')  # the log keeps its key
    assert recipient.error(instance(donor, target, 'REQUIRE NO SSL'))[0] == 3862
    wait_for(lambda: 'job failed' in service.read_log(), what='the end of the job')
    wait_for(lambda: not unnamed_files(service.pid), what='the end of the spool')
    nothing_left(box, target)
    assert service.end() == 0


def test_switched_on_without_tls(box):
    """Redo encryption switched on during a clone without TLS ends the clone."""
    only_ours()
    donor = start_donor(box, megabytes=4, keyring_file=True)
    recipient = start_recipient(box, donor, keyring_file=True)
    pid, target = donor.pid, box.path('clones') + '/c'
    slow(recipient, 2)
    with Background(recipient, instance(donor, target, 'REQUIRE NO SSL')) as clone:
        copying(recipient)
        donor.sql('SET GLOBAL innodb_redo_log_encrypt = ON', 'INSERT INTO proof.load0 (payload) VALUES ("x")')
        assert clone.result() == (3862, 'Clone Donor Error: 3872 : Clone needs SSL connection for encrypted table..')
    nothing_left(box, target)
    unharmed(donor, pid)


def test_recipient_keyring(box):
    """A recipient without a keyring, with one that cannot be written, or that has another key of that name."""
    only_ours()
    donor = start_donor(box, megabytes=1, keyring_file=True, default_table_encryption='ON')
    key = keyring.key_ids(donor.keyring)[0]
    target = box.path('clones') + '/c'
    bad = box.path('keyrings') + '/bad'
    keyring.copy(donor.keyring, bad)
    keyring.change(bad, key)
    gone = box.path('gone') + '/keyring'
    for number, (file, words) in enumerate((
            (None, 'has no keyring that works'), (bad, f'has a key {key} already'),
            (gone, f'does not take key {key}'))):
        recipient = recipient_of(box, donor, name=f'recipient{number}', keyring_file=file)
        own_data(recipient, 0)
        before = keyring.key_ids(file) if file else []
        if file == gone:
            shutil.rmtree(box.path('gone'))
        with Unchanged(box, donor, recipient):
            if not file:  # known before anything is dropped
                recipient.sql('SET GLOBAL clone_drop_data_first = ON')
            for statement in (instance(donor, target), in_place(donor)):
                code, message = recipient.error(statement)
                assert (code, words in message) == (3872, True), message
                nothing_left(box, target)
        assert (keyring.key_ids(file) if file else []) == before
        recipient.stop()


def test_kill_leaves_no_key(box):
    """A clone that was killed, or failed, takes out of the keyring what it had stored, and nothing else."""
    only_ours()
    donor = start_donor(box, megabytes=4, keyring_file=True, default_table_encryption='ON')
    donor.restart()  # all pages 0 are on disk: the keys are known, and stored, before the copy and not at its end
    recipient = recipient_of(box, donor, keyring_file=True)
    own_data(recipient, 0)
    recipient.sql("CREATE TABLE own.secret (i INT PRIMARY KEY) ENCRYPTION='Y'")
    before, target = keyring.key_ids(recipient.keyring), box.path('clones') + '/c'
    for statement in (instance(donor, target), in_place(donor)):
        slow(recipient, 5)
        with Unchanged(box, donor, recipient), Background(recipient, statement) as clone:
            copying(recipient)
            assert set(keyring.key_ids(recipient.keyring)) - set(before) == set(keyring.key_ids(donor.keyring))
            recipient.sql(f'KILL QUERY {clone.id}')
            assert clone.result()[0] == 1317
        assert keyring.key_ids(recipient.keyring) == before
        nothing_left(box, target)
    fast(recipient)
    recipient.sql(instance(donor, target))  # and then it works


def test_donor_keyring(box):
    """A donor that lost its keyring cannot read its table either; the clone names the file."""
    only_ours()
    donor = start_donor(box, megabytes=0, keyring_file=True)
    donor.sql("CREATE TABLE proof.secret (i INT PRIMARY KEY) ENCRYPTION='Y'", 'INSERT INTO proof.secret VALUES (1)')
    donor.sql('SET GLOBAL innodb_fast_shutdown = 0')
    donor.stop()
    os.unlink(donor.keyring)
    donor.start()
    assert donor.error('SELECT * FROM proof.secret')[0] == 3185
    target = box.path('clones') + '/c'
    code, message = donor.error(local(target))
    assert code == 3872 and 'proof/secret.ibd is encrypted and cannot be read' in message, message
    assert 'INNODBKey-' in message
    nothing_left(box, target)
