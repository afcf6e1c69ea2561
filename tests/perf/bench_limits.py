# SPDX-License-Identifier: GPL-2.0-only
"""What the machine can do: disk by fio, memory, loopback TCP, AES. Rates are 10^6 bytes per second.

The disk is measured at 1 MiB with O_DIRECT, the best of depths 2 and 4, twice each: reading, writing, and both at
once, because a clone on one disk does both (there depth 2 may be the better: reads in the queue hold up writes).
A file that is written has its blocks already, as a preallocated file has.
"""
import json
import os
import re
import shutil
import socket
import subprocess
import threading
import time

BYTES = 1 << 30
BLOCK = 1 << 20
DEPTHS = (4, 2, 4, 2)
FIO = ['fio', '--output-format=json', '--ioengine=libaio', '--bs=1M', '--direct=1', '--end_fsync=1',
       f'--size={BYTES}', '--fallocate=posix']


def fio(directory, depth, *jobs):
    """Rate of each of the jobs (name, read or write), run side by side; all count as long as the slowest."""
    argv = FIO + [f'--directory={directory}', f'--iodepth={depth}']
    for name, how in jobs:
        argv += [f'--name={name}', f'--rw={how}', f'--filename={name}']
    run = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    if run.returncode:
        raise RuntimeError(f'fio failed: {run.stderr.decode()}')
    done = json.loads(run.stdout[run.stdout.index(b'{'):])['jobs']
    return BYTES / 1000 / max(j['job_runtime'] for j in done)


def disk(directory):
    """Rates of the file system, {} without fio."""
    if not shutil.which('fio'):
        return {}
    place = os.path.join(directory, 'fio')
    shutil.rmtree(place, ignore_errors=True)  # of a run that was killed
    os.makedirs(place)
    try:
        fio(place, 4, ('a', 'write'))
        fio(place, 4, ('b', 'write'))
        jobs = {'disk_write': [('b', 'write')], 'disk_read': [('a', 'read')],
                'disk_both': [('a', 'read'), ('b', 'write')]}
        return {name: max(fio(place, depth, *job) for depth in DEPTHS) for name, job in jobs.items()}
    finally:
        shutil.rmtree(place)


def memory():
    """Rate of copying memory that no cache holds, one thread."""
    source, target = bytearray(os.urandom(BLOCK) * 256), bytearray(256 * BLOCK)
    rates = []
    for _ in range(4):
        began = time.monotonic()
        memoryview(target)[:] = source
        rates.append(len(source) / 1e6 / (time.monotonic() - began))
    return {'memcpy': max(rates)}


def receive(listener):
    """The other end of loopback()."""
    conn, _ = listener.accept()
    buf = bytearray(BLOCK)
    with conn:
        while conn.recv_into(buf):
            pass


def loopback():
    """Rate of TCP on loopback, one connection, and CPU seconds of both ends for 10^9 bytes."""
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', 0))
        listener.listen()
        reader = threading.Thread(target=receive, args=(listener,))
        reader.start()
        data, began, cpu = os.urandom(BLOCK), time.monotonic(), time.process_time()
        with socket.create_connection(listener.getsockname()) as conn:
            for _ in range(2 * BYTES // BLOCK):
                conn.sendall(data)
        reader.join()
        return {'tcp': 2 * BYTES / 1e6 / (time.monotonic() - began),
                'tcp_cpu_per_gb': (time.process_time() - cpu) / (2 * BYTES / 1e9)}


def aes():
    """Rate of AES-128-GCM on TLS records, one thread, one direction; {} without openssl."""
    if not shutil.which('openssl'):
        return {}
    run = subprocess.run(['openssl', 'speed', '-seconds', '1', '-bytes', '16384', '-evp', 'aes-128-gcm'],
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    return {'aes': float(re.search(r'^AES-128-GCM\s+([\d.]+)k', run.stdout.decode(), re.M | re.I).group(1)) / 1000}


def measure(directory):
    """All of it."""
    return {**disk(directory), **memory(), **loopback(), **aes(), 'cpus': os.cpu_count()}


def disk_s(mb, limits):
    """Seconds to read and write that much: side by side or one after the other, whichever is faster here."""
    both = mb / limits['disk_both'], 'disk, reading and writing at once'
    turns = mb / limits['disk_read'] + mb / limits['disk_write'], 'disk, reading and writing in turn'
    return min(both, turns)


def network_cpu_s(mb, limits, tls):
    """Seconds of CPU to send and receive that much over TCP, with tls encrypted and decrypted."""
    seconds = mb / 1000 * limits['tcp_cpu_per_gb']
    return seconds + 2 * mb / limits['aes'] if tls and 'aes' in limits else seconds


def limit_s(case, size, limits):
    """(seconds no clone of that many bytes can be much faster than here, why), (None, why not) without numbers."""
    if 'disk_both' not in limits:
        return None, 'no fio'
    found = [disk_s(size / 1e6, limits)]
    if not case.endswith('local'):
        work = network_cpu_s(size / 1e6, limits, case.endswith('tls'))
        found.append((work / limits['cpus'], 'CPU of TCP' + (' and AES' if case.endswith('tls') else '')))
    return max(found)
