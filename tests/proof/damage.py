# SPDX-License-Identifier: GPL-2.0-only
"""Makes a good clone directory without any clone plugin, and damages copies of it: for the harness' self test."""
import json
import os
import re
import shutil
import struct
import subprocess

from .checks_files import END_FILE, pages
from .writer import now_us

PAGE = 16384
FIL_PAGE_INDEX = 17855


def redo_files(datadir):
    """(start LSN, path, size, checkpoint LSNs) of the redo files in use, in LSN order."""
    found = []
    directory = os.path.join(datadir, '#innodb_redo')
    for name in os.listdir(directory):
        if re.fullmatch(r'#ib_redo\d+', name):
            path = os.path.join(directory, name)
            with open(path, 'rb') as f:
                head = f.read(2048)
            found.append((struct.unpack_from('>Q', head, 8)[0], path, os.path.getsize(path),
                          [struct.unpack_from('>Q', head, at + 8)[0] for at in (512, 1536)]))
    return sorted(found)


def checkpoint(datadir):
    """C: the newest checkpoint that lies inside its own file."""
    return max(c for start, _, size, cs in redo_files(datadir) for c in cs if start <= c < start + size - 2048)


def redo_blocks(datadir, lsn):
    """(LSN, path, offset, data length) of each valid block from lsn on."""
    lsn = lsn // 512 * 512
    for start, path, size, _ in redo_files(datadir):
        with open(path, 'rb') as f:
            while start <= lsn < start + size - 2048:
                at = 2048 + lsn - start
                f.seek(at)
                number, length = struct.unpack('>IH', f.read(6))
                if number != 1 + lsn // 512 % (1 << 30):
                    return
                yield lsn, path, at, length & 0x7fff
                if length & 0x7fff < 512:
                    return
                lsn += 512


def redo_end(datadir):
    """E of a crashed data directory: where recovery will stop."""
    lsn, _, _, length = list(redo_blocks(datadir, checkpoint(datadir)))[-1]
    return lsn + length


def crash_copy(donor, target):
    """Kill an idle donor and make its directory, as it lies there, a clone with an end mark.

    Nothing may write to the donor. It is down afterwards.
    """
    seal = now_us()
    donor.sql('FLUSH LOCAL BINARY LOGS', 'FLUSH LOCAL ENGINE LOGS')
    local = json.loads(donor.value('SELECT LOCAL FROM performance_schema.log_status'))
    uuid = donor.value('SELECT @@server_uuid')
    donor.kill()
    subprocess.run(['cp', '-a', '--reflink=auto', donor.datadir, target], check=True)
    for name in os.listdir(target):
        if re.match(r'(auto\.cnf|.*\.pid|binlog\..*|ibtmp1|mysqld-auto\.cnf)$', name):
            os.unlink(os.path.join(target, name))
    os.makedirs(os.path.join(target, '#clone'), exist_ok=True)
    end = {'format': 1, 'checkpoint_lsn': checkpoint(target), 'end_lsn': redo_end(target), 'seal_begin_us': seal,
           'donor_uuid': uuid, 'binlog_file': local['binary_log_file'],
           'binlog_position': local['binary_log_position'], 'gtid_flushed': local['gtid_executed'],
           'gtid_executed': local['gtid_executed'].replace('\n', '')}
    with open(os.path.join(target, END_FILE), 'w', encoding='ascii') as f:
        f.writelines(f'{k}={v}\n' for k, v in end.items())


def copy(good, target):
    """A copy to damage."""
    subprocess.run(['cp', '-a', '--reflink=auto', good, target], check=True)
    return target


def overwrite(path, at, data):
    """Write data at an offset of a file."""
    with open(path, 'r+b') as f:
        f.seek(at)
        f.write(data)


def flip_bit(datadir, name, page=5):
    """Flip one bit in the middle of a page of a file."""
    path, at = os.path.join(datadir, name), page * PAGE + 3333
    with open(path, 'rb') as f:
        f.seek(at)
        byte = f.read(1)[0]
    overwrite(path, at, bytes([byte ^ 4]))


def shape(page):
    """What of an index page the pages around it depend on: neighbours, number of records, level, index."""
    return page[8:16], page[38 + 16:38 + 18], page[38 + 26:38 + 36]


def stale_page(datadir, name, old):
    """Put one page of the older file `old` back that recovery will not bring up to date.

    Preferably one in which only rows changed: with another shape the server may not survive its check.
    """
    path, limit = os.path.join(datadir, name), checkpoint(datadir)
    found = []
    with open(old, 'rb') as f, open(path, 'rb') as now:
        before, after = f.read(), now.read()
    for number, header, _, _ in pages(path):
        was, page = (text[number * PAGE:(number + 1) * PAGE] for text in (before, after))
        lsn, kind = struct.unpack_from('>QH', header, 16)
        if kind == FIL_PAGE_INDEX and len(was) == PAGE and lsn < limit and was[16:24] != header[16:24] and any(was):
            found.append((shape(was) != shape(page), number, was))
    if not found:
        raise ValueError('no page to make stale')
    _, number, was = min(found)
    overwrite(path, number * PAGE, was)
    return number


def future_page(datadir, name, lsn):
    """Put a higher LSN into the header and trailer of page 3 (the checksum is then wrong too)."""
    path = os.path.join(datadir, name)
    overwrite(path, 3 * PAGE + 16, struct.pack('>Q', lsn))
    overwrite(path, 4 * PAGE - 4, struct.pack('>I', lsn & 0xffffffff))


def cut_redo(datadir, blocks):
    """Zero the last `blocks` blocks of the redo."""
    for _, path, at, _ in list(redo_blocks(datadir, checkpoint(datadir)))[-blocks:]:
        overwrite(path, at, bytes(512))


def keep_old(donor, name, target):
    """Checkpoint, then keep the file as it is now, for stale_page()."""
    donor.sql('SELECT innodb_redo_log_sharp_checkpoint()')
    shutil.copy(os.path.join(donor.datadir, name), target)
