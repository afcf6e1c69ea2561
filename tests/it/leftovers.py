# SPDX-License-Identifier: GPL-2.0-only
"""What a test may leave behind and must not: processes, sockets, mounts, loop devices, files."""
import contextlib
import fnmatch
import glob
import os

# Names no finished, failed or killed clone may leave in a data directory or a directory for clones.
STRAY_FILES = ('*.#clone', '*.#clone_save', '#status_in_progress', '#status_error', '#new_files',
               '#old_files', '*.snapclone*', '#snapclone_stage*', '*.spill', 'core', 'core.*', 'vgcore.*')
# Stock writes an empty #replace_files for a clone with DATA DIRECTORY; the first start removes it.


def read(path):
    """Content of a /proc file as text, '' when it vanished or may not be read."""
    try:
        with open(path, 'rb') as f:
            return f.read().decode('utf-8', 'replace')
    except OSError:
        return ''


def descriptors(pid):
    """What the open files of a process are, as links of /proc; those it closes meanwhile may be missing."""
    found = []
    for path in glob.glob(f'/proc/{pid}/fd/*'):
        with contextlib.suppress(OSError):
            found.append(os.readlink(path))
    return found


def children_of(pids):
    """All descendants of the given process ids (a set)."""
    parent = {}
    for pid in filter(str.isdigit, os.listdir('/proc')):
        stat = read(f'/proc/{pid}/stat')
        if stat:
            parent[int(pid)] = int(stat.rpartition(')')[2].split()[1])
    found = set(pids)
    grown = True
    while grown:
        more = {p for p, pp in parent.items() if pp in found} - found
        found |= more
        grown = bool(more)
    return found


def processes(base, allowed=()):
    """Processes whose command line, environment or working directory names base.

    Our own ancestors and ourselves are not meant; `allowed` are ids of processes that may be there.
    """
    ours, pid = set(), os.getpid()
    while pid > 1:
        ours.add(pid)
        pid = int((read(f'/proc/{pid}/stat').rpartition(')')[2].split() or [0, 0])[1])
    found = []
    for name in filter(str.isdigit, os.listdir('/proc')):
        pid = int(name)
        if pid in ours or pid in allowed:
            continue
        try:
            cwd = os.readlink(f'/proc/{pid}/cwd')
        except OSError:
            cwd = ''
        cmdline = read(f'/proc/{pid}/cmdline').replace('\0', ' ').strip()
        if base in cmdline or base in read(f'/proc/{pid}/environ') or cwd.startswith(base):
            found.append(f'process {pid}: {cmdline[:200] or read(f"/proc/{pid}/comm").strip()}')
    return found


def kernel_objects(base, sockets_allowed=()):
    """Unix sockets, mounts and loop devices that name base."""
    found = []
    for line in read('/proc/net/unix').splitlines()[1:]:
        path = line.split(maxsplit=7)[7] if len(line.split()) > 7 else ''
        if base in path and path not in sockets_allowed:
            found.append(f'unix socket {path}')
    found += [f'mount {line.split()[4]}' for line in read('/proc/self/mountinfo').splitlines() if base in line]
    for loop in glob.glob('/sys/block/loop*'):
        backing = read(f'{loop}/loop/backing_file').strip()
        if base in backing:
            found.append(f'loop device {os.path.basename(loop)}: {backing}')
    return found


def stray_files(*directories):
    """Files below the directories that a clone should have removed."""
    found = []
    for directory in directories:
        for path, dirs, files in os.walk(directory):
            for name in dirs + files:
                if any(fnmatch.fnmatchcase(name, pattern) for pattern in STRAY_FILES):
                    found.append(f'file {os.path.join(path, name)}')
    return sorted(found)


def leftovers(base, servers=(), directories=()):
    """Everything under base that should not be there, as a list of texts; [] is good.

    base: the directory of a sandbox. servers: sandbox servers that may run (they, their supervisors
    and sockets are fine; a helper started by mysqld is not, unless a clone runs). directories: more
    places, beside the servers' data directories, to look for stray files.
    """
    allowed = {p for s in servers for p in (s.pid, s.supervisor_pid) if p}
    sockets = {s.socket for s in servers}
    data = [s.datadir for s in servers]
    return (processes(base, allowed) + kernel_objects(base, sockets) +
            stray_files(*data, *directories))
