# SPDX-License-Identifier: GPL-2.0-only
"""snapcloned as a service, its options, and `snapclone status`."""
import contextlib
import ctypes
import glob
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import threading

import pytest

import wire
from helpers import (OURS, Background, copying, daemons, fast, instance, local, need_ours, nothing_left, only_ours,
                     slow, start_donor, start_recipient, unharmed)
from leftovers import read
from service import Service
from template import BUILD, server_user

pytestmark = pytest.mark.skipif(OURS != 'ours', reason='about our daemon only')


@pytest.fixture(autouse=True)
def built():
    """All tests need our build."""
    need_ours()
    only_ours()


def run(program, *args):
    """(exit status, standard output, standard error) of one of our programs."""
    done = subprocess.run([os.path.join(BUILD, program), *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=30, check=False)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.fixture
def service(box):
    """A service that has ended, and cleaned up, when the test is over."""
    found = Service(box)
    yield found
    if found.process.poll() is None:
        assert found.end() == 0
    assert not os.path.exists(found.path)


def rings(service):
    """How many io_uring rings the service has."""
    count = 0
    for fd in glob.glob(f'/proc/{service.process.pid}/fd/*'):
        try:
            count += 'io_uring' in os.readlink(fd)
        except FileNotFoundError:  # closed meanwhile
            pass
    return count


def with_service(box, service):
    """Donor and recipient that use the service."""
    donor = start_donor(box, loose_clone_daemon_socket=service.path)
    return donor, start_recipient(box, donor, loose_clone_daemon_socket=service.path)


def test_help_and_version():
    """Every option with its unit or choices and its default; wrong ones are named."""
    status, out, _ = run('snapcloned', '--help')
    assert status == 0
    for option in ('socket', 'data_port', 'max_jobs', 'allow_user', 'log_level', 'engine', 'config'):
        assert re.search(rf'--{option}=.*\(default', out), option
    for program in ('snapcloned', 'snapclone'):
        status, out, _ = run(program, '--version')
        assert status == 0 and re.match(rf'{program} \d+\.\d+\.\d+', out)
    for args in (['--nonsense'], ['--data_port=70000'], ['--max_jobs=0'], ['--log_level=loud'], ['--engine=fast'],
                 ['--config=/nonexistent']):
        status, _, err = run('snapcloned', *args)
        assert status == 2 and args[0].split('=')[0].strip('-') in err.replace('nonexistent', 'config'), err


def test_a_second_service(box, service):
    """A socket that is in use is not taken over; a stale one is."""
    second = subprocess.run([os.path.join(BUILD, 'snapcloned'), f'--socket={service.path}', '--config=/dev/null'],
                            stderr=subprocess.PIPE, timeout=10, check=False)
    assert second.returncode == 1 and service.path in second.stderr.decode()
    service.process.kill()
    service.process.wait()
    assert os.path.exists(service.path)
    again = Service(box)
    assert again.end() == 0


def test_clone_through_a_service(box, service):
    """Both sides in one service, no helper of their own; files belong to the server's user; status shows both."""
    donor, recipient = with_service(box, service)
    slow(recipient, 8)
    target = box.path('clones') + '/c'
    with Background(recipient, instance(donor, target, 'REQUIRE SSL')) as clone:
        copying(recipient)
        assert daemons(donor) == daemons(recipient) == []
        assert rings(service) >= 2 or 'io_uring is not available' in read(service.log)
        status, out, err = run('snapclone', 'status', f'--socket={service.path}')
        assert status == 0, err
        # others' clones on this machine are in the list too
        ours = {line.split()[0] for line in out.splitlines() if f'127.0.0.1:{donor.port}' in line}
        jobs = [line.split()[1] for line in out.splitlines() if line.split()[0] in ours]
        assert sorted(jobs) == ['donor', 'recipient'], out
        assert re.search(r'\[#*\.*\] +\d+% .*FILE COPY In Progress .*MiB/s', out), out
        fast(recipient)
        assert clone.result()[0] == 0, clone.result()
    owners = {os.stat(os.path.join(path, name)).st_uid for path, _, names in os.walk(target) for name in names}
    assert owners == {os.stat(recipient.datadir).st_uid}
    clone_server = box.adopt('clone', target, plugin=OURS).start()
    assert clone_server.value('SELECT COUNT(*) > 0 FROM proof.load0') == 1
    clone_server.stop()


def test_without_io_uring(box):
    """engine=sync: plain system calls on both sides; no ring is made, and the clones are right."""
    service = Service(box, '--engine=sync')
    donor, recipient = with_service(box, service)
    rows = donor.value('SELECT COUNT(*) FROM proof.load0')
    slow(donor, 4)
    for name, where, statement in (('local', donor, local), ('remote', recipient, lambda to: instance(donor, to))):
        target = box.path('clones') + '/' + name
        with Background(where, statement(target)) as clone:
            if name == 'local':
                copying(donor)
                assert not rings(service)
                fast(donor)
            assert clone.result()[0] == 0, clone.result()
        server = box.adopt('clone-' + name, target, plugin=OURS).start()
        assert server.value('SELECT COUNT(*) FROM proof.load0') == rows
        server.stop()
    assert service.end() == 0


@pytest.mark.parametrize('how', ['local', 'instance'])
def test_sigterm_in_mid_clone(box, service, how):
    """Jobs end cleanly: an error that says why, nothing left, servers unharmed."""
    donor, recipient = with_service(box, service)
    target, pid = box.path('clones') + '/c', donor.pid
    where, statement = (donor, local(target)) if how == 'local' else (recipient, instance(donor, target))
    slow(where, 2)
    with Background(where, statement) as clone:
        copying(where)
        assert service.end() == 0
        code, message = clone.result(15)
    assert code and re.search('snapcloned|daemon', message), (code, message)
    nothing_left(box, target)
    unharmed(donor, pid)


def test_too_many_jobs(box):
    """max_jobs: one more is refused with the option's name, the others go on."""
    service = Service(box, '--max_jobs=1')
    donor, _ = with_service(box, service)
    other = start_donor(box, 'other', loose_clone_daemon_socket=service.path)
    slow(donor, 4)
    first, second = box.path('clones') + '/1', box.path('clones') + '/2'
    with Background(donor, local(first)) as clone:
        copying(donor)
        code, message = other.error(local(second))
        assert code and 'max_jobs' in message, (code, message)
        assert not os.path.exists(second)
        assert clone.result()[0] == 0
    shutil.rmtree(first)
    assert service.end() == 0


def test_status_of_embedded_daemons(box):
    """Without a service: the abstract socket of the helper, gone with it, also after SIGKILL."""
    donor = start_donor(box)
    slow(donor, 4)
    target = box.path('clones') + '/c'
    with Background(donor, local(target)) as clone:
        copying(donor)
        helper, = daemons(donor)
        status, out, err = run('snapclone', 'status')
        assert status == 0 and ' local ' in out, (out, err)
        assert f'embedded-{helper}' in read('/proc/net/unix')
        os.kill(helper, signal.SIGKILL)
        assert clone.result()[0]
    assert f'embedded-{helper}' not in read('/proc/net/unix')
    nothing_left(box, target)


@contextlib.contextmanager
def as_server(path):
    """A control connection whose peer is the server's user; the descriptors it sends are root's."""
    user = server_user()
    if os.geteuid() or user.pw_uid == 0:
        pytest.skip('needs root, and servers that are not')
    os.setegid(user.pw_gid)
    os.seteuid(user.pw_uid)
    try:
        control = wire.Control(path)
    finally:
        os.seteuid(0)
        os.setegid(0)
    yield control
    control.close()


JOB, KEY = bytes(range(16)), bytes(range(100, 132))
DONOR = wire.donor_body(JOB, KEY, '01234567-0123-0123-0123-0123456789ab', 'ibdata1:12M')
LOCAL = wire.donor_body(JOB, KEY, '01234567-0123-0123-0123-0123456789ab', 'ibdata1:12M', local='theirs')
NEW, IN_PLACE = (wire.recipient_body(name, 1, JOB, KEY) for name in ('theirs', None))
HANDED = {
    'target': (wire.RECIPIENT_START, NEW, 'theirs base', 'theirs'),
    'in place': (wire.RECIPIENT_START, IN_PLACE, 'theirs', 'theirs'),
    'in place, group': (wire.RECIPIENT_START, IN_PLACE, 'shared', 'shared'),
    'data directory': (wire.DONOR_START, DONOR, 'theirs ours tmp', 'theirs'),
    'redo': (wire.DONOR_START, DONOR, 'ours theirs tmp', 'theirs'),
    'spool': (wire.DONOR_START, DONOR, 'ours shared theirs', 'theirs'),
    'local target': (wire.DONOR_START, LOCAL, 'ours ours tmp theirs base', 'theirs'),
    'clean': (wire.CLEAN, wire.PLACES, 'theirs', 'theirs'),
}


@pytest.mark.parametrize('kind, body, names, named', HANDED.values(), ids=HANDED)
def test_directories_of_others(box, service, kind, body, names, named):
    """A service works only in directories that are its peer's: others are named, and nothing is done to them."""
    paths = {'base': box.path('base'), 'ours': box.path('ours'), 'tmp': '/tmp'}
    for name, mode in (('theirs', 0o755), ('shared', 0o770)):
        paths[name] = f"{paths['base']}/{name}"
        os.mkdir(paths[name])
        os.chown(paths[name], 0, server_user().pw_gid)
        os.chmod(paths[name], mode)
    with as_server(service.path) as control:
        control.send(kind, body, [paths[name] for name in names.split()])
        answer, said = control.wait(wire.ERROR)
        assert answer == wire.ERROR
        code, message = wire.error_of(said)
    assert code == 1815 and f'may not hand the directory {paths[named]} to snapcloned: it belongs to user 0' in message
    assert os.listdir(paths[named]) == [] and sorted(os.listdir(paths['base'])) == ['shared', 'theirs']


def test_directories_that_are_shared(box, service):
    """A redo directory of the server's group passes; what is not in it is the error."""
    shared = box.path('shared')
    with as_server(service.path) as control:
        os.chown(shared, 0, server_user().pw_gid)
        os.chmod(shared, 0o770)
        control.send(wire.DONOR_START, DONOR, [box.path('ours'), shared, '/tmp'])
        answer, said = control.wait(wire.ERROR)
        assert answer == wire.ERROR and 'may not hand' not in wire.error_of(said)[1]


def job_status(text):
    """A STATUS_REPLY with one job."""
    return wire.ctl(wire.STATUS_REPLY, struct.pack('<I16s3BI8Q', 1, JOB, 0, 2, 1, 1, *[1] * 8) + bytes(8)
                    + wire.text(text) * 4)


ESCAPE = '\x1b]0;owned\x07\x9b2J'
STRANGERS = {  # a name, and what comes when somebody asks
    'a': (b'HTTP/1.0 400\r\n\r\n', b''),
    'b': (wire.ctl(wire.HELLO, struct.pack('<I', wire.CONTROL_VERSION) + wire.text('x')), job_status(ESCAPE[:9])),
    'c': (wire.ctl(wire.ERROR, struct.pack('<I', 1815) + wire.text('go away' + ESCAPE)), b''),
    'd': (),
    'e': (wire.ctl(wire.HELLO, struct.pack('<I', wire.CONTROL_VERSION) + wire.text('x')), b'SCTL' * 100),
}


def play_stranger(name):
    """Listen like an embedded daemon, in this network namespace; answer two visitors."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind('\0snapclone/embedded-' + name)
    listener.listen(4)

    def answer():
        with listener:
            for _ in range(2):
                with listener.accept()[0] as s, contextlib.suppress(OSError):
                    for said in STRANGERS[name]:
                        s.recv(1000)
                        s.sendall(said)

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    return thread


def test_status_among_strangers():
    """Whoever has a socket of a daemon's name neither hides a job nor writes to the terminal; others' are root's business."""
    if os.geteuid():
        pytest.skip('needs root for a network namespace')
    found = []

    def visit():
        assert ctypes.CDLL(None).unshare(0x40000000) == 0  # CLONE_NEWNET: abstract sockets of our own
        threads = [play_stranger(name) for name in STRANGERS]
        found.append(subprocess.run([os.path.join(BUILD, 'snapclone'), 'status'], stdout=subprocess.PIPE,
                                    stderr=subprocess.PIPE, user=server_user().pw_uid, timeout=30, check=False))
        found.append(run('snapclone', 'status'))
        for thread in threads:
            thread.join(10)

    thread = threading.Thread(target=visit)
    thread.start()
    thread.join(60)
    if server_user().pw_uid:
        assert (found[0].returncode, found[0].stdout, found[0].stderr) == (0, b'no jobs\n', b'')
    status, out, err = found[1]
    assert status == 0
    assert out.count('\n') == 2 and re.match('00010203 donor +\\?]0;owned', out), out
    assert sorted(line.split()[2] for line in err.splitlines()) == [f'snapclone/embedded-{name}:' for name in 'ace'], err
    assert 'go away?]0;owned??2J' in err and not re.search('[\x00-\x09\x0b-\x1f\x7f-\x9f]', out + err)


def test_status_without_jobs():
    """Wrong usage and a service that is not there are errors; no jobs is none."""
    assert run('snapclone', 'status', '--nonsense')[0] == 2
    assert run('snapclone', 'nonsense')[0] == 2
    status, _, err = run('snapclone', 'status', '--socket=/nonexistent/s.sock')
    assert status == 1 and '/nonexistent/s.sock' in err
