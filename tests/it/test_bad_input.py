# SPDX-License-Identifier: GPL-2.0-only
"""Bad input: a clear error, nothing left, the donor unharmed, DDL possible again."""
import os
import re
import shutil
import signal
import socket
import subprocess
import time

import pytest

from helpers import (OURS, Background, add_user, copying, daemons, fast, instance, local, need_ours,
                     nothing_left, only_ours, slow, start_donor, start_recipient, unharmed)
from leftovers import descriptors, read
from proof import damage
from sandbox import free_port
from service import Service
from template import server_user

PAIR_MEGABYTES = 30


@pytest.fixture(autouse=True)
def built():
    """All tests need our build."""
    need_ours()


def refused(pair, statement, codes, text, where=None):
    """The statement fails with one of the numbers and a message with that text; nothing is left."""
    box, donor, recipient = pair
    pid, target = donor.pid, re.search(r"DATA DIRECTORY = '([^']*)'", statement).group(1)
    executed = donor.value('SELECT @@gtid_executed')
    began = time.monotonic()
    code, message = (where or recipient).error(statement)
    print(f'{code} {message} ({time.monotonic() - began:.1f} s)')
    assert code in codes, message
    assert re.search(text, message), message
    nothing_left(box, target)
    unharmed(donor, pid)
    assert donor.value('SELECT @@gtid_executed') == executed
    return message


def goes_on(pair):
    """After all that, a normal clone works."""
    box, donor, recipient = pair
    target = box.path('clones') + '/good'
    recipient.sql(instance(donor, target))
    shutil.rmtree(target)


def place(pair):
    """A target directory."""
    return pair[0].path('clones') + '/bad'


def test_wrong_password(pair):
    """Wrong password: as stock, 3862 with the login error in it."""
    refused(pair, instance(pair[1], place(pair), password='wrong'), [3862], 'Access denied')


def test_no_backup_admin(pair):
    """A user without BACKUP_ADMIN on the donor."""
    add_user(pair[1], 'plain', privilege=None)
    refused(pair, instance(pair[1], place(pair), user='plain'), [3862], '1227.*BACKUP_ADMIN')


def test_unreachable(pair):
    """Nothing listens at the donor's port."""
    port = free_port()
    pair[2].sql(f"SET GLOBAL clone_valid_donor_list = '127.0.0.1:{pair[1].port},127.0.0.1:{port}'")
    refused(pair, instance(pair[1], place(pair), port=port), [3862], f'(?i)connect.*{port}')


def test_donor_without_plugin(pair):
    """The donor has no clone plugin."""
    pair[1].sql('UNINSTALL PLUGIN clone')
    try:
        refused(pair, instance(pair[1], place(pair)), [3862], '(?i)plugin.*not loaded')
    finally:
        pair[1].sql("INSTALL PLUGIN clone SONAME 'mysql_clone.so'")
    goes_on(pair)


def test_stock_donor(pair):
    """Our recipient, the stock plugin on the donor: says so."""
    only_ours()
    box, _, recipient = pair
    other = start_donor(box, 'stockdonor', 0, 'stock')
    recipient.sql(f"SET GLOBAL clone_valid_donor_list = '127.0.0.1:{pair[1].port},127.0.0.1:{other.port}'")
    refused((box, other, recipient), instance(other, place(pair)), [3862, 3863, 3864, 3870], '(?i)stock|snapclone|plugin')
    other.stop()


def test_stock_recipient(pair):
    """The stock plugin on the recipient, ours on the donor: an error on both sides, soon."""
    only_ours()
    box, donor, _ = pair
    other = start_recipient(box, donor, 'stockrecipient', 'stock')
    target = place(pair)
    code, message = other.error(instance(donor, target))
    assert code in (3862, 3863, 3864), message
    shutil.rmtree(target, ignore_errors=True)  # stock's own leavings
    other.stop()
    nothing_left(box, target)
    goes_on(pair)


def test_other_page_size(pair):
    """A recipient of another page size is refused, as stock: 3868."""
    box, donor, _ = pair
    small = start_recipient(box, donor, 'small', page_size=4096)
    refused(pair, instance(donor, place(pair)), [3868], 'innodb_page_size', small)
    small.stop()


def test_other_charset(pair):
    """A recipient with another server collation is refused, as stock: 3868."""
    box, donor, _ = pair
    other = start_recipient(box, donor, 'latin', character_set_server='latin1')
    refused(pair, instance(donor, place(pair)), [3868], 'character_set_server|collation_server', other)
    other.stop()


def test_target_exists(pair):
    """The target directory exists: 1007, and what is in it stays."""
    target = pair[0].path('clones/there')
    with open(target + '/file', 'w', encoding='ascii') as f:
        f.write('mine')
    for where, statement in ((pair[1], local(target)), (pair[2], instance(pair[1], target))):
        assert where.error(statement)[0] == 1007
    assert os.listdir(target) == ['file']


@pytest.fixture
def locked(pair):
    """A directory that mysqld may not write to: somebody else's, or for root read-only."""
    path = pair[0].path('locked')
    mount = server_user().pw_uid == os.geteuid() == 0
    if mount:
        subprocess.run(['mount', '-t', 'tmpfs', '-o', 'ro', 'none', path], check=True)
    else:
        os.chown(path, os.geteuid(), -1)
        os.chmod(path, 0o555)
    yield path
    if mount:
        subprocess.run(['umount', path], check=True)
    os.rmdir(path)


def test_target_not_writable(pair, locked):
    """The parent of the target may not be written to."""
    parent = locked
    for where, statement in ((pair[1], local(parent + '/x')), (pair[2], instance(pair[1], parent + '/x'))):
        code, message = where.error(statement)
        assert code == 1006 or re.search('ermission denied|rrcode: (13|30)', message), (code, message)
    assert os.listdir(parent) == []


@pytest.fixture
def small_fs(pair):
    """A file system of 40 MiB."""
    if os.geteuid() != 0:
        pytest.skip('needs root to mount a small file system')
    path = pair[0].path('small')
    if subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=40m,mode=0777', 'none', path], check=False).returncode:
        pytest.skip('mount is not permitted here')
    yield path
    subprocess.run(['umount', path], check=True)


@pytest.mark.parametrize('how', ['local', 'instance'])
def test_full_file_system(pair, small_fs, how):
    """No room for the clone: 3873 before or while copying, nothing left."""
    box, donor, recipient = pair
    target, pid = small_fs + '/c', donor.pid
    where, statement = (donor, local(target)) if how == 'local' else (recipient, instance(donor, target))
    code, message = where.error(statement)
    print(code, message)
    assert code == 3873 or (OURS != 'ours' and code), message
    if OURS == 'ours':
        assert os.listdir(small_fs) == []
    unharmed(donor, pid)


def test_redo_disabled(pair):
    """ALTER INSTANCE DISABLE INNODB REDO_LOG: refused, and says what to do."""
    only_ours()
    donor = pair[1]
    donor.sql('ALTER INSTANCE DISABLE INNODB REDO_LOG')
    try:
        for where, statement in ((donor, local(place(pair))), (pair[2], instance(donor, place(pair)))):
            refused(pair, statement, [3862, 3983], '(?i)redo', where)  # 3983 is stock's
    finally:
        donor.sql('ALTER INSTANCE ENABLE INNODB REDO_LOG')
    goes_on(pair)


def listening(pid):
    """TCP ports on which a process listens."""
    inodes = {link[8:-1] for link in descriptors(pid) if link.startswith('socket:[')}
    ports = set()
    for name in ('tcp', 'tcp6'):
        for line in read(f'/proc/net/{name}').splitlines()[1:]:
            field = line.split()
            if field[3] == '0A' and field[9] in inodes:
                ports.add(int(field[1].rpartition(':')[2], 16))
    return sorted(ports)


def poke(port, data, wait=1.0):
    """Send bytes to a port; what comes back within a second (b'' when it hangs up)."""
    with socket.create_connection(('127.0.0.1', port), timeout=wait) as s:
        try:
            s.sendall(data)
            return s.recv(4096)
        except OSError:
            return b''


CLIENT_HELLO = bytes.fromhex('16030100c0010000bc0303' + '11' * 32 + '20' + '22' * 32 + '0002130101000071')
GARBAGE = {
    'nothing': b'', 'zeros': bytes(4096), 'text': b'GET / HTTP/1.1\r\n\r\n', 'ones': b'\xff' * 70000,
    'random': os.urandom(300000), 'truncated hello': CLIENT_HELLO[:50], 'hello then junk': CLIENT_HELLO + os.urandom(500),
    'oversized record': b'\x16\x03\x01\xff\xff' + bytes(66000), 'ssl2': b'\x80\x2e\x01\x00\x02' + bytes(40),
}


@pytest.mark.parametrize('clause', ['REQUIRE SSL', 'REQUIRE NO SSL'])
def test_garbage_on_the_data_port(pair, clause):
    """Whoever knows no key gets nothing, and does not disturb the clone that is going on."""
    only_ours()
    box, donor, recipient = pair
    target = place(pair)
    slow(recipient, 4)
    with Background(recipient, instance(donor, target, clause)) as clone:
        copying(recipient)
        helpers = daemons(donor)
        ports = [p for pid in helpers for p in listening(pid)]
        assert ports, 'the donor\'s daemon listens nowhere'
        held = [socket.create_connection(('127.0.0.1', ports[0])) for _ in range(20)]  # connect and say nothing
        for data in GARBAGE.values():
            poke(ports[0], data, 0.3)
        assert daemons(donor) == helpers
        fast(recipient)
        code, message = clone.result(120)
        for s in held:
            s.close()
    assert code == 0, message
    shutil.rmtree(target)
    nothing_left(box, target)
    unharmed(donor, donor.pid)


@pytest.mark.parametrize('how,side', [('local', 'donor'), ('instance', 'donor'), ('instance', 'recipient')])
def test_daemon_killed(pair, how, side):
    """SIGKILL to a daemon in mid-clone: an error soon, nothing left, mysqld unharmed, the next clone works."""
    only_ours()
    box, donor, recipient = pair
    where, statement = (donor, local(place(pair))) if how == 'local' else (recipient, instance(donor, place(pair)))
    victim = donor if side == 'donor' else recipient
    pids = donor.pid, recipient.pid
    slow(where, 2)
    with Background(where, statement) as clone:
        copying(where)
        killed = daemons(victim)
        assert killed
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        began = time.monotonic()
        code, message = clone.result()
        print(f'{code} {message} after {time.monotonic() - began:.1f} s')
    fast(where)
    assert code not in (0, 2013) and time.monotonic() - began < 30
    nothing_left(box, place(pair))
    assert (donor.pid, recipient.pid) == pids
    unharmed(donor, donor.pid)
    goes_on(pair)


def test_kill_query_on_recipient(pair):
    """KILL QUERY in mid-clone: 1317, nothing left on either side."""
    box, donor, recipient = pair
    slow(recipient, 2)
    with Background(recipient, instance(donor, place(pair))) as clone:
        copying(recipient)
        recipient.sql(f'KILL QUERY {clone.id}')
        assert clone.result()[0] == 1317
    fast(recipient)
    nothing_left(box, place(pair))
    unharmed(donor, donor.pid)
    goes_on(pair)


def test_donor_shut_down(box):
    """The donor is shut down, or killed, in mid-clone: the recipient gets an error."""
    donor = start_donor(box, megabytes=30)
    recipient = start_recipient(box, donor)
    target = box.path('clones') + '/x'
    recipient.sql('SET GLOBAL clone_donor_timeout_after_network_failure = 0')
    donor.sql('SET GLOBAL clone_donor_timeout_after_network_failure = 0')
    for end in (donor.stop, donor.kill):
        slow(recipient, 2)
        with Background(recipient, instance(donor, target)) as clone:
            copying(recipient)
            end()
            code, message = clone.result()
        print(code, message)
        assert code not in (0, 2013)
        donor.start()
        nothing_left(box, target)
    fast(recipient)
    recipient.sql(instance(donor, target))


@pytest.mark.parametrize('how', ['local', 'instance'])
def test_flipped_bit(box, how):
    """One bit of an .ibd is flipped before the clone: the error names file and page."""
    only_ours()
    donor = start_donor(box, megabytes=10)
    recipient = start_recipient(box, donor) if how == 'instance' else None
    donor.stop()
    damage.flip_bit(donor.datadir, 'proof/load1.ibd', page=77)
    donor.start()
    statement = instance(donor, place((box,))) if how == 'instance' else local(place((box,)))
    message = refused((box, donor, recipient), statement, [3862, 3865, 1815, 1817], r'load1\.ibd', recipient or donor)
    assert re.search(r'page.*\b77\b', message)


def test_daemon_missing(box):
    """clone_daemon_path names nothing, or something else: the error says what to do."""
    only_ours()
    for name, path in (('none', '/nonexistent/snapcloned'), ('false', '/bin/false'), ('cat', '/bin/cat')):
        donor = box.server(name, plugin=OURS, loose_clone_daemon_path=path).start()
        donor.sql("INSTALL PLUGIN clone SONAME 'mysql_clone.so'")
        code, message = donor.error(local(place((box,))))
        print(code, message)
        assert code and path in message and re.search('clone_daemon_path|install', message), message
        nothing_left(box, place((box,)))
        unharmed(donor, donor.pid)
        donor.stop()


@pytest.fixture
def service(box):
    """A daemon run as a service: (path of its socket, Popen)."""
    only_ours()
    found = Service(box)
    yield found.path, found.process
    assert found.end() == 0
    print(found.read_log()[-2000:])
    assert not os.path.exists(found.path)


def test_garbage_on_the_unix_socket(box, service):
    """Garbage, truncated and oversized frames on the control socket: refused, the service lives and serves."""
    path, process = service
    for data in [*GARBAGE.values(), b'\xff\xff\xff\x7f' * 4, bytes([1, 0, 0, 0]) + bytes(60), os.urandom(20)]:
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(0.3)
            s.connect(path)
            try:
                s.sendall(data)
                s.recv(1000)
            except OSError:
                pass
    assert process.poll() is None
    donor = box.server('donor', plugin=OURS, loose_clone_daemon_socket=path).start()
    donor.sql("INSTALL PLUGIN clone SONAME 'mysql_clone.so'")
    target = box.path('clones') + '/c'
    assert donor.error(local(target)) == (0, '')
    assert daemons(donor) == []
    donor.stop()


def test_stranger_on_the_unix_socket(service):
    """SO_PEERCRED: another user is turned away."""
    if os.geteuid() != 0:
        pytest.skip('needs root to be another user')
    code = ('import socket,sys; s=socket.socket(socket.AF_UNIX); s.settimeout(2)\n'
            'try:\n s.connect(sys.argv[1]); s.sendall(b"x" * 64); d = s.recv(100)\n'
            'except OSError: sys.exit(0)\n'
            'sys.exit(0 if not d or b"allow" in d else 1)')
    os.chmod(os.path.dirname(service[0]), 0o755)
    assert subprocess.run(['/usr/bin/python3', '-c', code, service[0]], user=1, group=1, extra_groups=[],
                          check=False).returncode == 0
