# SPDX-License-Identifier: GPL-2.0-only
"""Keys, rogue peers and bad messages, against a daemon run as a service."""
import os
import socket
import struct
import time

import pytest

import wire
from helpers import need_ours, only_ours, wait_for
from sandbox import Sandbox, free_port
from service import Service

JOB, KEY, WRONG = bytes(range(16)), bytes(range(50, 82)), bytes(32)


@pytest.fixture(scope='module')
def world():
    """(sandbox, a running server, path of a service's socket, the service)."""
    need_ours()
    only_ours()
    with Sandbox() as box:
        server = box.server('donor', plugin='ours').start()
        service = Service(box)
        yield box, server, service.path, service.process
        assert service.pid, 'the service has ended'
        assert service.end() == 0
        assert not os.path.exists(service.path)


@pytest.fixture
def donor_job(world):
    """A donor job: (its control connection, data port). Cancelled at the end."""
    box, server, path, _ = world
    control = wire.Control(path)
    port = control.donor_start(server, box.path('spool'), JOB, KEY)
    yield control, port
    control.close()
    wait_for(lambda: not listens(port), 30, 'end of the listener')
    assert os.listdir(box.path('spool')) == []


def listens(port):
    """True if something accepts connections there."""
    with socket.socket() as s:
        return s.connect_ex(('127.0.0.1', port)) == 0


def test_right_key(donor_job):
    """With the key and the job id, stream 0 is admitted: the control for the tests below."""
    assert wire.is_admitted(donor_job[1], JOB, KEY, wire.data_hello(JOB, 0))


@pytest.mark.parametrize('job, key', [(JOB, WRONG), (WRONG[:16], KEY), (JOB, KEY[:31] + b'x')],
                         ids=['key', 'job', 'last byte'])
def test_wrong_key(donor_job, job, key):
    """Another key or job id: the handshake fails, nothing is sent; the job can still be used."""
    _, out, said = wire.tls_client(donor_job[1], job, key, wire.data_hello(JOB, 0), 20)
    assert out == b'' and 'alert' in said, said
    assert wire.is_admitted(donor_job[1], JOB, KEY, wire.data_hello(JOB, 0))


def test_reused_key(donor_job):
    """The key a second time, while the first stream lives and after it: no second stream 0."""
    with wire.open_tls_client(donor_job[1], JOB, KEY) as first:
        assert wire.tls_answer(first, wire.data_hello(JOB, 0)) == struct.pack('<I', wire.FRAME_MAGIC)
        out = wire.tls_client(donor_job[1], JOB, KEY, wire.data_hello(JOB, 0), 3)[1]
        assert len(out) < 4096 and (not out or struct.unpack_from('<H', out, 4)[0] == 11), out[:64]
        first.kill()
    time.sleep(0.5)
    out = wire.tls_client(donor_job[1], JOB, KEY, wire.data_hello(JOB, 0), 3)[1] if listens(donor_job[1]) else b''
    assert len(out) < 4096


def test_expired_key(world):
    """When the job ends, its port and key end with it."""
    box, server, path, _ = world
    control = wire.Control(path)
    port = control.donor_start(server, box.path('spool'), JOB, KEY)
    assert listens(port)
    control.send(wire.CANCEL, b'')
    kind, body = control.wait(wire.ERROR)
    assert kind == wire.ERROR and wire.error_of(body)[0] == 1317
    control.close()
    wait_for(lambda: not listens(port), 30, 'end of the listener')


@pytest.mark.parametrize('hello', [
    b'GET / HTTP/1.0\r\n\r\n', wire.data_hello(JOB, 1), wire.data_hello(bytes(16), 0), wire.data_hello(JOB, 0, 999),
    wire.data_hello(JOB, 0)[:20], wire.data_hello(JOB, 60000), wire.frame(1, b'x' * 60000), wire.frame(8, bytes(32)),
    wire.frame(99), wire.frame(1, b'', b'y' * 100000), wire.data_hello(JOB, 0)[:-1] + b'\x01',
    struct.pack('<IHHII', wire.FRAME_MAGIC, 1, 0, 0xffffffff, 0xffffffff) + bytes(8),
], ids=['text', 'stream 1 first', 'other job', 'version', 'truncated', 'stream 60000', 'long body', 'chunk', 'type 99',
        'data', 'bad hash', 'oversized'])
def test_bad_frames_with_the_key(donor_job, world, hello):
    """A peer with the key that sends nonsense: refused, the service lives."""
    _, out, _ = wire.tls_client(donor_job[1], JOB, KEY, hello, 1)
    assert not out or struct.unpack_from('<H', out, 4)[0] == 11, out[:64]
    assert world[3].poll() is None


@pytest.mark.parametrize('kind', ['certificate', 'wrong key', 'silent', 'garbage', 'nobody'])
def test_rogue_server(world, kind):
    """A recipient is sent to a server that does not have the key: an error, nothing received, nothing left."""
    box, server, path, _ = world
    port, target = free_port(), box.path('rogue/target')
    listener = process = None
    if kind == 'certificate':
        process = wire.rogue_server(port, server.datadir + '/server-cert.pem', server.datadir + '/server-key.pem')
    elif kind == 'wrong key':
        process = wire.rogue_server(port, psk=WRONG)
    elif kind != 'nobody':
        listener = socket.create_server(('127.0.0.1', port))
    if process:
        wait_for(lambda: listens(port), 30, 'the server')
    control = wire.Control(path)
    control.recipient_start(target, port, JOB, KEY)
    if kind == 'garbage':
        peer = listener.accept()[0]
        peer.sendall(os.urandom(50000))
        peer.close()
    began = time.monotonic()
    answer, body = control.wait(wire.ERROR)
    control.close()
    for thing in filter(None, (listener, process)):
        (thing.kill if thing is process else thing.close)()
    if process:
        process.wait()
        assert b'SCDF' not in process.stdout.read()
    assert answer == wire.ERROR, answer
    print(wire.error_of(body), f'{time.monotonic() - began:.1f} s')
    assert not os.path.exists(target) or os.listdir(target) == []


@pytest.mark.parametrize('message', [
    wire.ctl(wire.DONOR_START, bytes(4000)), wire.ctl(wire.RECIPIENT_START), wire.ctl(wire.RECIPIENT_START, bytes(100)),
    wire.ctl(99), wire.ctl(6, bytes(100)), wire.ctl(13), struct.pack('<IHHI', wire.CTL_MAGIC, 2, 0, 0xffffffff),
    struct.pack('<IHHI', wire.CTL_MAGIC, 2, 7, 0), b'SCTL', bytes(12), wire.ctl(1, bytes(100)),
], ids=['zero start', 'empty start', 'short start', 'type 99', 'seal first', 'cancel nothing', 'oversized', 'reserved set',
        'truncated', 'zeros', 'hello twice'])
def test_bad_control_messages(world, message):
    """After a good HELLO: each is answered by ERROR or a hang-up, and the service lives."""
    control = wire.Control(world[2])
    assert control.hello[0] == wire.HELLO
    control.sock.sendall(message)
    control.sock.shutdown(socket.SHUT_WR)
    assert control.wait(wire.ERROR)[0] in (wire.ERROR, 0)
    control.close()
    assert world[3].poll() is None


@pytest.mark.parametrize('body', [struct.pack('<I', 0), struct.pack('<I', 5000), b'', bytes(50)])
def test_keys_nobody_asked_for(world, body):
    """KEYS in the middle of a donor job ends it; the service lives."""
    box, server, path, process = world
    control = wire.Control(path)
    port = control.donor_start(server, box.path('spool'), JOB, KEY)
    control.send(wire.KEYS, body)
    kind, said = control.wait(wire.ERROR)
    assert kind == wire.ERROR and 'KEYS' in wire.error_of(said)[1]
    control.close()
    wait_for(lambda: not listens(port), 30, 'end of the listener')
    assert process.poll() is None


def test_other_version_on_the_control_socket(world):
    """Another protocol version is refused with both versions in the text."""
    control = wire.Control(world[2], version=999)
    kind, body = control.hello if control.hello[0] == wire.ERROR else control.wait(wire.ERROR)
    assert kind == wire.ERROR and '999' in wire.error_of(body)[1]
    control.close()
