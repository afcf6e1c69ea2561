# SPDX-License-Identifier: GPL-2.0-only
"""CLONE INSTANCE without DATA DIRECTORY that fails or is refused: the recipient has all it had, nothing staged."""
import os
import re
import subprocess
import time

import pytest

from helpers import (INSTALL, OURS, Background, add_user, copying, daemons, fast, need_ours, only_ours, slow, start_donor)
from inplace import (ENDED, Unchanged, changed, in_place, is_clone, own_data, recipient_of, replace,
                     replicate, staged, state, status)
from leftovers import read
from proof import damage
from sandbox import Sandbox, ServerError
from template import copy_template, give
from test_bad_input import GARBAGE, listening, poke

pytestmark = pytest.mark.usefixtures('built')


@pytest.fixture(scope='module')
def built():
    """All tests need our build; the stock plugin drops the recipient's data at once."""
    need_ours()
    only_ours()


@pytest.fixture(scope='module')
def three():
    """(box, donor, recipient): the recipient has data of its own and is a running replica of the donor."""
    with Sandbox() as box:
        donor = start_donor(box)
        other = box.server('nobody')  # never started: its port stands for a host that does not answer
        recipient = recipient_of(box, donor, other)
        own_data(recipient)
        replicate(recipient, donor)
        yield box, donor, recipient


def fails(recipient, statement, codes, text):
    """The statement fails like this."""
    began = time.monotonic()
    code, message = recipient.error(statement)
    print(f'{code} {message} ({time.monotonic() - began:.1f} s)')
    assert code in codes, message
    assert re.search(text, message), message
    if code != 3869:  # refused before it is a clone
        row = status(recipient)
        assert (row['STATE'], row['ERROR_NO'], row['ERROR_MESSAGE']) == ('Failed', code, message)


def goes_on(three):
    """After all that, a clone succeeds; then the recipient gets data of its own again."""
    _, donor, recipient = three
    before = state(recipient)
    replace(recipient, in_place(donor))
    is_clone(recipient, donor, before)
    recipient.sql('DROP SCHEMA proof')
    own_data(recipient)
    recipient.sql('SET sql_log_bin = 0', 'DROP SCHEMA proof')
    replicate(recipient, donor)


# ---- refused -----------------------------------------------------------------------------------------------------


def test_wrong_password(three):
    """Wrong password: 3862 with the login error in it."""
    with Unchanged(*three):
        fails(three[2], in_place(three[1], password='wrong'), [3862], 'Access denied')


def test_no_backup_admin(three):
    """A user without BACKUP_ADMIN on the donor."""
    add_user(three[1], 'plain', privilege=None)
    with Unchanged(*three):
        fails(three[2], in_place(three[1], user='plain'), [3862], '1227.*BACKUP_ADMIN')


def test_no_clone_admin(three):
    """BACKUP_ADMIN alone does not allow to replace data, as stock: 1227."""
    recipient = three[2]
    recipient.sql('SET sql_log_bin = 0', "CREATE USER IF NOT EXISTS weak@'%' IDENTIFIED BY 'pw'",
                  "GRANT BACKUP_ADMIN ON *.* TO weak@'%'")
    with Unchanged(*three):
        code, message = recipient.error(in_place(three[1]), user='weak', password='pw')
        assert code == 1227 and 'CLONE_ADMIN' in message


def test_not_in_the_list(three):
    """clone_valid_donor_list: 3869."""
    with Unchanged(*three):
        fails(three[2], in_place(three[1], port=1), [3869], 'clone_valid_donor_list')


def test_unreachable(three):
    """Nothing listens at the donor's port."""
    port = three[0].servers['nobody'].port
    with Unchanged(*three):
        fails(three[2], in_place(three[1], port=port), [3862], f'(?i)connect.*{port}')


def test_itself(three):
    """A server cannot replace its own data with itself, as stock."""
    recipient = three[2]
    add_user(recipient, 'self_clone')
    recipient.sql(f"SET GLOBAL clone_valid_donor_list = '127.0.0.1:{recipient.port},127.0.0.1:{three[1].port}'")
    with Unchanged(*three):
        fails(recipient, in_place(recipient, user='self_clone'), [3862], '(?i)loop ?back')


def test_donor_without_plugin(three):
    """The donor has no clone plugin."""
    three[1].sql('UNINSTALL PLUGIN clone')
    try:
        with Unchanged(*three):
            fails(three[2], in_place(three[1]), [3862], '(?i)plugin.*not loaded')
    finally:
        three[1].sql(INSTALL)
    goes_on(three)


def test_redo_disabled(three):
    """ALTER INSTANCE DISABLE INNODB REDO_LOG on the donor: refused, and says what to do."""
    three[1].sql('ALTER INSTANCE DISABLE INNODB REDO_LOG')
    try:
        with Unchanged(*three):
            fails(three[2], in_place(three[1]), [3862], '(?i)redo')
    finally:
        three[1].sql('ALTER INSTANCE ENABLE INNODB REDO_LOG')


def test_other_settings(three):
    """Another page size or server collation, as stock: 3868. A stock donor is named."""
    box, donor, _ = three
    for name, options, text in (('small', {'page_size': 4096}, 'innodb_page_size'),
                                ('latin', {'character_set_server': 'latin1'}, 'character_set_server|collation_server')):
        recipient = recipient_of(box, donor, name=name, **options)
        recipient.sql('CREATE SCHEMA own', 'CREATE TABLE own.t (i INT)', 'INSERT INTO own.t VALUES (1)')
        with Unchanged(box, donor, recipient):
            fails(recipient, in_place(donor), [3868], text)
        recipient.stop()
    stock = start_donor(box, 'stockdonor', 0, 'stock')
    three[2].sql(f"SET GLOBAL clone_valid_donor_list = '127.0.0.1:{donor.port},127.0.0.1:{stock.port}'")
    with Unchanged(box, stock, three[2]):
        fails(three[2], in_place(stock), [3862, 3863, 3864, 3870], '(?i)stock|snapclone|plugin')
    stock.stop()


# ---- something breaks -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize('side', ['donor', 'recipient'])
def test_daemon_killed(three, side):
    """SIGKILL to a daemon in mid-clone: an error soon."""
    _, donor, recipient = three
    slow(recipient, 2)
    with Unchanged(*three):
        with Background(recipient, in_place(donor)) as clone:
            copying(recipient)
            for pid in daemons(donor if side == 'donor' else recipient):
                os.kill(pid, 9)
            began = time.monotonic()
            code, message = clone.result(30)
            print(f'{code} {message} after {time.monotonic() - began:.1f} s')
            assert code not in ENDED
        fast(recipient)
    if side == 'recipient':
        goes_on(three)


def test_garbage_on_the_data_port(three):
    """Whoever knows no key gets nothing, and does not disturb the clone that is going on."""
    _, donor, recipient = three
    slow(recipient, 4)
    before, runs = state(recipient), len(recipient.statuses())
    with Background(recipient, in_place(donor)) as clone:
        copying(recipient)
        port = next(p for pid in daemons(donor) for p in listening(pid))
        for data in GARBAGE.values():
            poke(port, data, 0.2)
        assert clone.running
        fast(recipient)
        assert clone.result()[0] in ENDED
    recipient.wait_restarted(runs)
    is_clone(recipient, donor, before)
    recipient.sql('DROP SCHEMA proof')
    own_data(recipient)


def test_daemon_missing(box):
    """clone_daemon_path names nothing: the error says what to do. The donor's, then the recipient's."""
    donor = start_donor(box, megabytes=0)
    broken = recipient_of(box, donor, name='broken', loose_clone_daemon_path='/nonexistent/snapcloned')
    with Unchanged(box, donor, broken):
        fails(broken, in_place(donor), [1815, 3862], 'nonexistent.*(clone_daemon_path|install)|clone_daemon_path')


def test_donor_shut_down(three):
    """The donor is shut down, or killed, in mid-clone."""
    box, donor, recipient = three
    donor.sql('SET GLOBAL clone_donor_timeout_after_network_failure = 0')
    recipient.sql('SET GLOBAL clone_donor_timeout_after_network_failure = 0', 'STOP REPLICA')
    for row in donor.sql("SELECT id FROM information_schema.processlist WHERE command LIKE 'Binlog Dump%'"):
        donor.sql(f'KILL {row[0]}')  # mysqld would wait for it
    for end in (donor.stop, donor.kill):
        before, pid = state(recipient), recipient.pid
        slow(recipient, 2)
        with Background(recipient, in_place(donor)) as clone:
            copying(recipient)
            began = time.monotonic()
            end()
            print(f'ended after {time.monotonic() - began:.1f} s')
            code, message = clone.result()
        print(f'{code} {message} after {time.monotonic() - began:.1f} s')
        assert code not in ENDED
        donor.start()
        assert recipient.pid == pid
        assert not changed(before, state(recipient)) and not staged(recipient)
    fast(recipient)
    assert box.leftovers() == []


def test_flipped_bit(box):
    """One bit of an .ibd of the donor is flipped: the error names file and page."""
    donor = start_donor(box, megabytes=6)
    recipient = recipient_of(box, donor)
    own_data(recipient)
    donor.stop()
    damage.flip_bit(donor.datadir, 'proof/load1.ibd', page=77)
    donor.start()
    with Unchanged(box, donor, recipient):
        fails(recipient, in_place(donor), [3862, 3865, 1815, 1817], r'page.*\b77\b.*load1\.ibd|load1\.ibd.*page.*\b77\b')


@pytest.fixture
def small_fs(box):
    """A file system of 340 MiB."""
    if os.geteuid() != 0:
        pytest.skip('needs root to mount a small file system')
    path = box.path('small')
    if subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=340m,mode=0777', 'none', path], check=False).returncode:
        pytest.skip('mount is not permitted here')
    yield path
    for server in box.servers.values():
        server.kill()
    subprocess.run(['umount', path], check=True)


def test_full_file_system(box, small_fs):
    """No room beside the old data: 3873 before anything is copied, or while copying when somebody fills the disk."""
    donor = start_donor(box, megabytes=20)
    datadir = small_fs + '/data'
    copy_template(datadir)
    give(datadir)
    recipient = box.adopt('small-recipient', datadir, plugin=OURS, innodb_redo_log_capacity='20M',
                          loose_clone_valid_donor_list=f'127.0.0.1:{donor.port}').start()
    recipient.sql(INSTALL)
    own_data(recipient)
    free = os.statvfs(small_fs).f_bavail * 4096
    filler = small_fs + '/filler'
    with open(filler, 'wb') as f:
        os.posix_fallocate(f.fileno(), 0, free - (60 << 20))
    with Unchanged(box, donor, recipient):
        fails(recipient, in_place(donor), [3873], '')
    os.unlink(filler)
    slow(recipient, 4)
    with Unchanged(box, donor, recipient):
        with Background(recipient, in_place(donor)) as clone:
            copying(recipient)
            with open(filler, 'wb') as f:
                try:
                    while True:
                        f.write(bytes(1 << 20))
                except OSError:
                    pass
            fast(recipient)
            code, message = clone.result()
            print(code, message)
            assert code not in ENDED
        os.unlink(filler)


# ---- the start fails ------------------------------------------------------------------------------------------------


def clone_unsupervised(donor, recipient):
    """Clone with nobody to restart the recipient: it is down, committed. Its state before, without what RESET took."""
    recipient.stop()
    recipient.start(supervised=False)
    before = state(recipient)
    logs = {}
    for name, _ in before['binary logs'][:-1]:
        with open(os.path.join(recipient.datadir, name), 'rb') as f:
            logs[name] = f.read()
    assert recipient.error(in_place(donor))[0] == 3707
    assert recipient.wait_ended() == 0
    return before, logs


def overwrite(path, offset, data):
    """Damage a file."""
    with open(path, 'r+b') as f:
        f.seek(offset)
        f.write(data)


@pytest.mark.parametrize('what', ['redo', 'ibdata1'])
def test_start_rolls_back(three, what):
    """Staged files are damaged after the commit, the start on them fails: the next one has the old data and GTIDs."""
    _, donor, recipient = three
    recipient.sql('STOP REPLICA')
    manifest = os.path.join(recipient.datadir, '#clone', '#snapclone_manifest.jsonl')
    of_old_data = read(manifest)
    before, logs = clone_unsupervised(donor, recipient)
    if what == 'redo':
        directory = os.path.join(recipient.datadir, '#innodb_redo.#clone')
        for name in os.listdir(directory):
            overwrite(os.path.join(directory, name), 512, os.urandom(4096))
    else:
        overwrite(os.path.join(recipient.datadir, what + '.#clone'), 0, os.urandom(16384))
    mark = recipient.log_mark()
    with pytest.raises(ServerError):
        recipient.start(supervised=False)
    assert recipient.wait_ended() != 0
    recipient.start()
    deadline = time.monotonic() + 10
    while status(recipient)['STATE'] != 'Failed' and time.monotonic() < deadline:
        time.sleep(0.05)
    row = status(recipient)
    print(row)
    assert row['STATE'] == 'Failed' and row['ERROR_NO'] and row['ERROR_MESSAGE']
    deadline = time.monotonic() + 10
    while staged(recipient) != ['#clone/#snapclone_binlogs'] and time.monotonic() < deadline:
        time.sleep(0.05)
    assert staged(recipient) == ['#clone/#snapclone_binlogs']
    assert read(manifest) == of_old_data
    after = state(recipient)
    found = changed(before, after, 'binary logs', 'gtid_purged')
    assert not found, found
    saved = os.path.join(recipient.datadir, '#clone/#snapclone_binlogs')
    assert re.search(r'GTIDs of the old data are set again.*#snapclone_binlogs', recipient.log_text(mark))
    for name, data in logs.items():
        with open(os.path.join(saved, name), 'rb') as f:
            assert f.read() == data
    recipient.restart()
    assert not changed(before, state(recipient), 'binary logs', 'gtid_purged')
    if what == 'redo':
        goes_on(three)
        recipient.sql('STOP REPLICA')
