# SPDX-License-Identifier: GPL-2.0-only
"""Speaks the daemon's protocols (docs/protocol.md) from the outside, to misbehave in them."""
import contextlib
import ctypes
import os
import socket
import struct
import subprocess
import threading

CTL_MAGIC, FRAME_MAGIC = 0x4c544353, 0x46444353
HELLO, DONOR_START, DONOR_READY, RECIPIENT_START, ERROR, CANCEL, LOG, KEYS = 1, 2, 3, 9, 12, 13, 14, 24
STATUS_REPLY, CLEAN = 16, 21
PROTOCOL_VERSION = 6  # data channel
CONTROL_VERSION = 7


def text(value):
    """str: u32 length and bytes."""
    data = value.encode()
    return struct.pack('<I', len(data)) + data


def ctl(kind, body=b''):
    """A control message."""
    return struct.pack('<IHHI', CTL_MAGIC, kind, 0, len(body)) + body


def frame(kind, body=b'', data=b'', flags=0):
    """A frame of the data channel."""
    head = struct.pack('<IHHII', FRAME_MAGIC, kind, flags, len(body), len(data))
    xxh = ctypes.CDLL('libxxhash.so.0').XXH3_64bits
    xxh.restype, xxh.argtypes = ctypes.c_uint64, (ctypes.c_char_p, ctypes.c_size_t)
    both = head + body
    return head + struct.pack('<Q', xxh(both, len(both))) + body + data


class _Hash128(ctypes.Structure):
    _fields_ = [('low', ctypes.c_uint64), ('high', ctypes.c_uint64)]


def digest(data):
    """XXH3-128 of a chunk, as a frame has it."""
    xxh = ctypes.CDLL('libxxhash.so.0').XXH3_128bits
    xxh.restype, xxh.argtypes = _Hash128, (ctypes.c_char_p, ctypes.c_size_t)
    value = xxh(data, len(data))
    return struct.pack('>QQ', value.high, value.low)


def data_hello(job, stream, version=PROTOCOL_VERSION):
    """First frame of a stream over TLS."""
    return frame(HELLO, struct.pack('<HH', version, stream) + job + bytes(32))


# Directories of tablespaces: the data directory, ibdata1 in it.
PLACES = text('ibdata1:12M') + bytes([1, 0, 1, 0])


def recipient_body(name, port, job, key, tls=True):
    """RECIPIENT_START for a donor at 127.0.0.1:port. name: of a new directory, None: in place."""
    return (job + key + bytes([tls, name is None, 0]) + struct.pack('<IIIIH', 2, 0, 0, 16384, port) + text('127.0.0.1')
            + text(f'127.0.0.1:{port}') + text(name or '') + (text('') + bytes([1, 0, 0]) if name else PLACES))


def donor_body(job, key, uuid, data_file_path, tls=True, local=''):
    """DONOR_START of a server with one directory. local: name of the target."""
    return (job + key + bytes([tls, bool(local), 0, 0, 0, 0, 0]) + struct.pack('<IIIIIQI', 2, 4 << 20, 0, 0, 16384, 1, 0)
            + text('127.0.0.1') + text('test') + text(uuid) + text(data_file_path) + text('') + text(local)
            + bytes([1, 0, 1, 0]))


class Control:
    """A connection to the control socket of a service."""

    def __init__(self, path, version=CONTROL_VERSION):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        self.sock.connect(path)
        self.sock.sendall(ctl(HELLO, struct.pack('<I', version) + text('test')))
        self.hello = self.receive()

    def receive(self):
        """(type, body) of the next message that is not a log line; (0, b'') at the end."""
        while True:
            head = self._exactly(12)
            if not head:
                return 0, b''
            _, kind, _, length = struct.unpack('<IHHI', head)
            body = self._exactly(length)
            if kind != LOG:
                return kind, body

    def _exactly(self, n):
        data = b''
        while len(data) < n:
            more = self.sock.recv(n - len(data))
            if not more:
                return b''
            data += more
        return data

    def wait(self, *kinds):
        """The first message of one of the types."""
        while True:
            kind, body = self.receive()
            if kind in kinds or kind == 0:
                return kind, body

    def send(self, kind, body, paths=()):
        """Send a message with descriptors of the directories."""
        fds = [os.open(p, os.O_RDONLY | os.O_DIRECTORY) for p in paths]
        message = ctl(kind, body)
        socket.send_fds(self.sock, [message[:12]], fds)
        self.sock.sendall(message[12:])
        for fd in fds:
            os.close(fd)

    def close(self):
        """Hang up."""
        self.sock.close()

    def recipient_start(self, target, port, job, key, tls=True):
        """Begin a recipient job that connects to 127.0.0.1:port. target: an empty directory."""
        self.send(RECIPIENT_START, recipient_body(os.path.basename(target), port, job, key, tls),
                  [target, os.path.dirname(target)])

    def donor_start(self, server, spool, job, key, tls=True):
        """Begin a donor job for a running server; the port it listens on."""
        body = donor_body(job, key, server.value('SELECT @@server_uuid'),
                          server.value('SELECT @@innodb_data_file_path'), tls)
        self.send(DONOR_START, body, [server.datadir, server.datadir + '/#innodb_redo', spool])
        kind, reply = self.wait(DONOR_READY, ERROR)
        assert kind == DONOR_READY, (kind, reply)
        return struct.unpack_from('<H', reply)[0]


def error_of(body):
    """(number, text) of an ERROR message."""
    code, length = struct.unpack_from('<II', body)
    return code, body[8:8 + length].decode()


def open_tls_client(port, job, key):
    """openssl s_client with a PSK: a Popen."""
    argv = ['openssl', 's_client', '-connect', f'127.0.0.1:{port}', '-tls1_3', '-quiet', '-ciphersuites',
            'TLS_AES_128_GCM_SHA256', '-psk', key.hex(), '-psk_identity', job.hex()]
    return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0)


def tls_answer(client, send, n=4, seconds=20):
    """Of a client that was just opened: the first n bytes the server answers, fewer when it hangs up or says nothing."""
    limit = threading.Timer(seconds, client.kill)
    limit.start()
    answer = b''
    with contextlib.suppress(BrokenPipeError):
        client.stdin.write(send)
    while len(answer) < n and (more := client.stdout.read(n - len(answer))):
        answer += more
    limit.cancel()
    return answer


def is_admitted(port, job, key, send):
    """A peer with that key that begins like this is answered by a frame."""
    with open_tls_client(port, job, key) as client:
        answer = tls_answer(client, send)
        client.kill()
        said = client.stderr.read().decode()
    print(answer, said)
    return answer == struct.pack('<I', FRAME_MAGIC)


def tls_client(port, job, key, send=b'', seconds=3):
    """openssl s_client with a PSK: (exit status, bytes the server sent, what openssl said)."""
    with open_tls_client(port, job, key) as p:
        with contextlib.suppress(BrokenPipeError):  # refused before all of it was sent
            p.stdin.write(send)
        try:
            p.wait(seconds)
        except subprocess.TimeoutExpired:
            p.terminate()
        out, said = p.stdout.read(), p.stderr.read().decode()
    return p.returncode, out, said


def rogue_server(port, cert=None, key=None, psk=None):
    """openssl s_server on that port, with a certificate or a PSK; a Popen."""
    argv = ['openssl', 's_server', '-accept', f'127.0.0.1:{port}', '-quiet']
    argv += ['-cert', cert, '-key', key] if cert else ['-nocert']
    if psk:
        argv += ['-tls1_3', '-psk', psk.hex(), '-psk_identity', 'x', '-ciphersuites', 'TLS_AES_128_GCM_SHA256']
    return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
