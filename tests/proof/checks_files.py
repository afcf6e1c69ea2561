# SPDX-License-Identifier: GPL-2.0-only
"""Checks of a cloned data directory before its first start. Each returns a list of findings; [] is good.

Raise NotApplicable when a check has nothing to go by: it is reported as such, never as passed.
"""
import os
import re
import struct
import subprocess

from template import TREE, program

SNAPCLONE = os.path.join(TREE, 'build', 'snapclone')
END_FILE = '#clone/#snapclone_end'
DATA_FILE = re.compile(r'(.+\.ibd|.+\.ibu|ibdata\d+|undo_\d+)$')
PAGE_ENCRYPTED = (15, 16, 17)
PAGE_COMPRESSED = 14


class NotApplicable(Exception):
    """This check cannot be made here; the text says why."""


def read_end(datadir):
    """Our clone's end mark as a dict of texts (end_lsn, gtid_executed, seal_begin_us, ...), or None."""
    try:
        with open(os.path.join(datadir, END_FILE), encoding='utf-8') as f:
            return dict(line.rstrip('\n').partition('=')[::2] for line in f if '=' in line)
    except FileNotFoundError:
        return None


def data_files(datadir):
    """Paths of all files of InnoDB pages below datadir."""
    for path, dirs, files in os.walk(datadir):
        dirs[:] = [d for d in dirs if d not in ('#innodb_temp', '#innodb_redo', '#clone')]
        for name in sorted(files):
            if DATA_FILE.match(name):
                yield os.path.join(path, name)


def page_size_of(page0):
    """(physical page size, no KEY_BLOCK_SIZE) from the space flags in page 0."""
    flags = struct.unpack_from('>I', page0, 54)[0]
    zip_ssize, page_ssize = flags >> 1 & 15, flags >> 6 & 15
    return 512 << zip_ssize if zip_ssize else 512 << page_ssize if page_ssize else 16384, not zip_ssize


def pages(path):
    """Yield (number, header of 38 bytes, last 8 bytes, has a trailer) of each page that is not all zero."""
    with open(path, 'rb') as f:
        size, plain = page_size_of(f.read(64).ljust(64, b'\0'))
        f.seek(0)
        number = 0
        while chunk := f.read(size * 64):
            for at in range(0, len(chunk) - size + 1, size):
                header = chunk[at:at + 38]
                if any(header):
                    yield number, header, chunk[at + size - 8:at + size], plain
                number += 1


def end_file(case):
    """The end mark is there and complete."""
    if case.end is None:
        if case.plugin == 'stock':
            raise NotApplicable('a stock clone has no end mark')
        return [f'{END_FILE} is missing']
    want = ('format', 'checkpoint_lsn', 'end_lsn', 'seal_begin_us', 'donor_uuid', 'binlog_file', 'binlog_position',
            'gtid_flushed', 'gtid_executed')
    return [f'{END_FILE} has no {key}' for key in want if key not in case.end]


def page_lsn(case):
    """No page has an LSN above E."""
    if not case.end_lsn:
        raise NotApplicable('E is not known for a stock clone')
    found = []
    for path in data_files(case.datadir):
        bad = [(n, struct.unpack_from('>Q', h, 16)[0]) for n, h, _, _ in pages(path)]
        bad = [(n, lsn) for n, lsn in bad if lsn > case.end_lsn]
        if bad:
            found.append(f'{os.path.relpath(path, case.datadir)}: {len(bad)} pages above E={case.end_lsn}, '
                         f'first page {bad[0][0]} LSN {bad[0][1]}')
    return found


def page_identity(case):
    """Each page is in its place: page number, space id of page 0, LSN in header and trailer alike."""
    found = []
    for path in data_files(case.datadir):
        space, name = None, os.path.relpath(path, case.datadir)
        for number, header, trailer, plain in pages(path):
            number_there, kind, space_there = (struct.unpack_from(f, header, o)[0] for f, o in
                                               (('>I', 4), ('>H', 24), ('>I', 34)))
            space = space_there if space is None else space
            if not any(header[:24]) and not space_there:
                continue  # never initialised; IMPORT of a page-compressed table compresses such pages, too
            if number_there != number or space_there != space:
                found.append(f'{name}: page {number} says page {number_there} of space {space_there} (not {space})')
            elif (plain and kind not in PAGE_ENCRYPTED and kind != PAGE_COMPRESSED
                  and header[20:24] != trailer[4:]):
                found.append(f'{name}: page {number}: LSN in header and trailer differ')
            if len(found) > 20:
                return found
    return found


def is_encrypted(path):
    """True for a file with encrypted pages, which innochecksum cannot check; CHECK TABLE reads them."""
    return any(struct.unpack_from('>H', header, 24)[0] in PAGE_ENCRYPTED for _, header, _, _ in pages(path))


def innochecksum(case):
    """MySQL's own innochecksum accepts every page of every file that is not encrypted."""
    found, any_file = [], False
    for path in data_files(case.datadir):
        any_file = True
        if is_encrypted(path):
            continue
        run = subprocess.run([program('innochecksum'), path], stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, check=False)
        if run.returncode:
            lines = run.stdout.decode('utf-8', 'replace').split('\n')
            said = [line for line in lines if 'ail' in line or 'rror' in line] or lines
            found.append(f'{os.path.relpath(path, case.datadir)}: {said[0].strip()} (exit status {run.returncode})')
    return found if any_file else [f'no data file in {case.datadir}']


def seen_with(binds, *argv):
    """Command line that runs argv where these directories are others ({directory: another}, supervisor.py)."""
    if not binds:
        return list(argv)
    mounts = ''.join(f"mount --bind '{source}' '{target}' && " for target, source in binds.items())
    return ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', mounts + 'exec "$@"', 'sh', *argv]


def verify(case):
    """snapclone verify finds every file, digest and page, and the redo log, as the manifest has them."""
    if case.plugin == 'stock':
        raise NotApplicable('a stock clone has no manifest')
    ran = subprocess.run(seen_with(case.options.get('binds'), SNAPCLONE, 'verify', case.datadir), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                         check=False, text=True, errors='replace')
    lines = ran.stdout.splitlines()
    if ran.returncode == 0 and not lines[-1].startswith('before the first start: '):
        return [f'not verified as a clone that was never started: {lines[-1]}']
    return lines if ran.returncode else []


def not_cloned(case):
    """What must not come from the donor is not there: server uuid, binary logs, persisted variables."""
    unwanted = re.compile(r'(auto\.cnf|mysqld-auto\.cnf|binlog\.\d+|binlog\.index|.*\.pid|ibtmp1)$')
    return [f'{name} came with the clone' for name in sorted(os.listdir(case.datadir)) if unwanted.match(name)]


CHECKS = [end_file, verify, page_lsn, page_identity, innochecksum, not_cloned]
