# SPDX-License-Identifier: GPL-2.0-only
"""Runs all checks on a clone and reports everything found at once.

    case = Case(donor, datadir, record, box, plugin='ours', began_us=...)
    results = prove(case)
    print(table(results)); assert not failures(results)

The donor's writers must be stopped by then. `plugin` is the one that made the clone: for 'stock' E and
the time of the seal are not known, the checks that need them say 'n/a', and the time the CLONE statement
was sent (began_us) takes the place of the seal.
"""
import glob
import os
import time
from collections import namedtuple

import pymysql

from . import checks_files, checks_server
from .checks_files import NotApplicable, read_end
from .gtid import GtidSet
from .writer import read_record

Result = namedtuple('Result', 'check status findings')  # status: ok, FAIL, n/a
REPAIR_S = 30  # our plugin completes the GTID set once the server serves sessions
REPLICA_USER = ('proof_replica', 'proof')


def prepare_donor(server):
    """Before the clone: make the user for replication. Not written to the binary log."""
    user, password = REPLICA_USER
    server.sql('SET sql_log_bin = 0', f"CREATE USER IF NOT EXISTS '{user}'@'%' IDENTIFIED BY '{password}'",
               f"GRANT REPLICATION SLAVE ON *.* TO '{user}'@'%'", 'CREATE SCHEMA IF NOT EXISTS proof')


class Case:
    """What the checks know about one clone."""

    def __init__(self, donor, datadir, record, box, plugin='ours', began_us=0, donor_before='', end=None,
                 apart=(), **options):
        """donor: a running sandbox server (or Sql). datadir: the clone, not started yet. record: the
        writers' directory. box: Sandbox to start it in; options: for that server. began_us: before CLONE was
        sent. donor_before: the donor's gtid_executed before any writer ran. end: the end mark, when the
        clone runs already. apart: schemas whose changes are not in the binary log, with tables that may be
        discarded."""
        self.donor, self.datadir, self.box, self.plugin = donor, datadir, box, plugin
        self.acks = read_record(record)
        self.end = end or read_end(datadir)
        self.redo_lost = (self.end or {}).get('redo_lost', '')  # the clone ends with S
        self.end_lsn = int(self.end['end_lsn']) if self.end else None
        self.sealed_after_us = int(self.end['seal_begin_us']) if self.end else began_us
        self.donor_before = GtidSet.parse(donor_before)
        self.replica_user, self.apart = REPLICA_USER, apart
        self.has_gtids = bool(donor.value('SELECT @@log_bin')) and donor.value('SELECT @@gtid_mode') == 'ON'
        self.options = options
        self.clone = self.executed = self.status = None
        self.mark = 0

    def start(self, name):
        """Start a server on the clone; the checks of checks_server.py need it. Returns the server."""
        self.clone = self.box.adopt(name, self.datadir, plugin=self.plugin, **self.options)
        self.mark = self.clone.log_mark()
        self.clone.start()
        self.await_gtids()
        return self.clone

    def take(self, server, mark):
        """The clone runs: it replaced that server's own data. mark: position in its error log before that."""
        self.clone, self.mark = server, mark
        self.await_gtids()

    def await_gtids(self):
        """Read GTIDs and clone_status; our plugin may need a moment to complete the set."""
        self.look()
        want = GtidSet.parse(self.end.get('gtid_executed', '')) if self.end and not self.redo_lost else None
        deadline = time.monotonic() + REPAIR_S
        while self.plugin == 'ours' and not self.finished(want) and time.monotonic() < deadline:
            time.sleep(0.1)
            self.look()

    def finished(self, want):
        """Our plugin has done its part; want: G, if that is the set of the clone."""
        if self.redo_lost:
            return not glob.glob(os.path.join(self.clone.datadir, '#clone', '#snapclone_[ec]*'))
        return want is None or want == self.executed

    def look(self):
        """Read GTIDs and clone_status of the running clone."""
        self.executed = GtidSet.parse(self.clone.value('SELECT @@gtid_executed'))
        try:
            conn = self.clone.connect(cursorclass=pymysql.cursors.DictCursor)
            with conn.cursor() as cur:
                cur.execute('SELECT * FROM performance_schema.clone_status')
                self.status = cur.fetchone()
            conn.close()
        except pymysql.Error:
            self.status = None

    def log(self):
        """Error log of the clone since its first start."""
        return self.clone.log_text(self.mark)


def run(checks, case):
    """Run checks; a check that breaks has failed."""
    results = []
    for check in checks:
        try:
            findings = check(case)
            status = 'FAIL' if findings else 'ok'
        except NotApplicable as e:
            findings, status = [str(e)], 'n/a'
        except (pymysql.Error, OSError, ValueError, KeyError) as e:
            findings, status = [f'could not be checked: {e!r}'], 'FAIL'
        results.append(Result(check.__name__, status, findings))
    return results


def leftovers(case):
    """Nothing is left: processes, sockets, mounts, loop devices, stray files."""
    return case.box.leftovers(case.datadir)


def prove(case, name='clone'):
    """All checks, first to last; the clone is stopped at the end. Returns Results."""
    results = run(checks_files.CHECKS, case)
    try:
        case.start(name)
    except Exception as e:  # pylint: disable=broad-except
        return results + [Result('starts', 'FAIL', [str(e)])] + run([leftovers], case)
    results.append(Result('starts', 'ok', []))
    results += run(checks_server.CHECKS + checks_server.REPLICATION, case)
    case.clone.stop()
    return results + run([leftovers], case)


def prove_in_place(case, server, mark):
    """prove() for a clone that replaced the data of a server that runs; the server is stopped at the end.

    What can be seen only before the clone's first start is not checked.
    """
    case.take(server, mark)
    results = run(checks_server.CHECKS + [checks_server.same_gtids] + checks_server.REPLICATION, case)
    server.stop()
    return results + run([checks_files.page_identity, checks_files.innochecksum, leftovers], case)


def failures(results):
    """Names of the checks that failed."""
    return [r.check for r in results if r.status == 'FAIL']


def table(results):
    """A short text table."""
    lines = []
    for r in results:
        lines.append(f'{r.check:<15} {r.status:<5} {r.findings[0] if r.findings else ""}'.rstrip())
        lines += [f'{"":<21} {text}' for text in r.findings[1:]]
    return '\n'.join(lines)
