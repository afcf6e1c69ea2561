# SPDX-License-Identifier: GPL-2.0-only
"""Checks of the server started on a clone, and against its donor. Each returns a list of findings.

The order matters: `replicates` and later ones change the clone.
"""
import re

import pymysql

from .checks_files import NotApplicable
from .gtid import GtidSet
from .writer import DETAILS

SYSTEM_SCHEMAS = "('mysql','sys','information_schema','performance_schema')"
CATCH_UP_S = 120


def short(items, limit=5):
    """'3 (a, b, c)' for a message."""
    items = list(items)
    return f'{len(items)} ({", ".join(map(str, items[:limit]))}{", ..." if len(items) > limit else ""})'


def log_clean(case):
    """No [ERROR] and no 'in the future' in the error log of the first start."""
    return [line.strip() for line in case.log().splitlines() if '[ERROR]' in line or 'in the future' in line][:10]


def scanned_to(case):
    """Recovery scanned the redo to E exactly."""
    if not case.end_lsn:
        raise NotApplicable('E is not known for a stock clone')
    lsns = [int(n) for n in re.findall(r'scanned up to log sequence number (\d+)', case.log())]
    if not lsns:
        return ['the error log names no LSN recovery scanned to']
    return [] if lsns[-1] == case.end_lsn else [f'recovery scanned to {lsns[-1]}, E is {case.end_lsn}: '
                                                f'{lsns[-1] - case.end_lsn} bytes']


def clone_status(case):
    """clone_status says Completed, and its position is the end mark's."""
    if not case.status:
        raise NotApplicable('no clone_status: the clone plugin is not loaded')
    found = [] if case.status['STATE'] == 'Completed' else [f'clone_status.STATE is {case.status["STATE"]}']
    if case.end:
        for column, key in (('BINLOG_FILE', 'binlog_file'), ('BINLOG_POSITION', 'binlog_position')):
            if str(case.status[column]) != case.end.get(key):
                found.append(f'clone_status.{column} is {case.status[column]}, end mark says {case.end.get(key)}')
        if case.status['ERROR_MESSAGE'] != case.redo_lost or case.status['ERROR_NO']:
            found.append(f'clone_status says {case.status["ERROR_MESSAGE"]}, end mark {case.redo_lost}')
    return found


def gtids(case):
    """@@gtid_executed of the clone, clone_status and the end mark are the same set."""
    if not case.has_gtids:
        raise NotApplicable('the donor writes no binary log, so there are no GTIDs')
    sets = {'@@gtid_executed': case.executed}
    if case.status:
        sets['clone_status.GTID_EXECUTED'] = GtidSet.parse(case.status['GTID_EXECUTED'])
    if case.redo_lost:
        flushed, executed = (GtidSet.parse(case.end[key]) for key in ('gtid_flushed', 'gtid_executed'))
        if flushed - case.executed or case.executed - executed:
            return [f'{case.executed} is not between F, {flushed}, and what the donor had at the seal, {executed}']
    elif case.end:
        sets['the end mark'] = GtidSet.parse(case.end.get('gtid_executed', ''))
    if len(sets) == 1:
        raise NotApplicable('nothing to compare @@gtid_executed with')
    (first, want), *others = reversed(list(sets.items()))
    found = []
    for name, have in others:
        if have - want:
            found.append(f'{name} has what {first} has not: {have - want}')
        if want - have:
            found.append(f'{name} lacks {want - have}')
    return found


def acked_gtids(case):
    """Every GTID acknowledged before the seal is in the clone's set; every GTID in it is known."""
    if not case.has_gtids:
        raise NotApplicable('the donor writes no binary log, so there are no GTIDs')
    acked = GtidSet.of(a.gtid for a in case.acks if a.gtid != '-' and a.us < case.sealed_after_us)
    known = GtidSet.of(a.gtid for a in case.acks if a.gtid != '-') | case.donor_before
    found = []
    if acked - case.executed:
        found.append(f'acknowledged before the seal and missing: {acked - case.executed}')
    if case.executed - known:
        found.append(f'in the clone but never acknowledged by the donor: {case.executed - known}')
    return found


def present(case):
    """Ids in the ledger of the clone."""
    return {row[0] for row in case.clone.sql('SELECT id FROM proof.ledger')}


def acked_commits(case):
    """Every commit acknowledged before the seal is there; with GTIDs: exactly those of the clone's set."""
    trx = {a.id: a for a in case.acks if a.kind == 'trx'}
    if not trx:
        return ['the writer recorded no commit: nothing was proved']
    have, found = present(case), []
    missing = sorted(i for i, a in trx.items() if a.us < case.sealed_after_us and i not in have)
    if missing:
        found.append(f'acknowledged before the seal and missing: {short(missing)}')
    unknown = sorted(have - set(trx))
    if unknown:
        found.append(f'present but never acknowledged: {short(unknown)}')
    if case.has_gtids:
        in_set = {i for i, a in trx.items() if a.gtid in case.executed}
        for text, ids in (('GTID in the set, row missing', in_set - have),
                          ('row present, GTID not in the set', (have & set(trx)) - in_set)):
            if ids:
                found.append(f'{text}: {short(sorted(ids))}')
    return found


def torn(case):
    """No transaction is there in part: ledger, detail and hot agree, no gap in any writer's sequence."""
    queries = {
        'ids with rows in proof.detail missing or too many':
            f'SELECT l.id FROM proof.ledger l LEFT JOIN proof.detail d ON d.id=l.id GROUP BY l.id '
            f'HAVING COUNT(d.k)<>{DETAILS}',
        'ids in proof.detail and not in proof.ledger':
            'SELECT DISTINCT d.id FROM proof.detail d LEFT JOIN proof.ledger l ON l.id=d.id WHERE l.id IS NULL',
        'ids found by the secondary index only, or not by it':
            'SELECT d.id FROM proof.detail d FORCE INDEX (k) LEFT JOIN proof.detail p FORCE INDEX (PRIMARY) '
            'ON p.id=d.id AND p.k=d.k WHERE p.id IS NULL',
        'writers whose last number in proof.hot is not their last in proof.ledger':
            'SELECT h.writer FROM proof.hot h LEFT JOIN proof.ledger l ON l.writer=h.writer GROUP BY h.writer, h.seq '
            'HAVING COALESCE(MAX(l.seq), 0)<>h.seq',
        'writers with a gap in their numbers':
            'SELECT writer FROM proof.ledger GROUP BY writer HAVING COUNT(*)<>MAX(seq)',
    }
    found = []
    for text, query in queries.items():
        rows = case.clone.sql(query)
        if rows:
            found.append(f'{text}: {short(r[0] for r in rows)}')
    return found


def tables(server, where):
    """Base tables as `schema`.`name`."""
    rows = server.sql('SELECT table_schema, table_name FROM information_schema.tables '
                      f"WHERE table_type='BASE TABLE' AND {where} ORDER BY 1, 2")
    return [f'`{s}`.`{t}`' for s, t in rows]


def discarded(server):
    """Tables without a tablespace, as `schema`.`name`; not of partitions."""
    rows = server.sql("SELECT name FROM information_schema.innodb_tablespaces WHERE state='discarded'")
    return ['`' + row[0].replace('/', '`.`') + '`' for row in rows]


def check_table(case):
    """CHECK TABLE ... EXTENDED is OK for every table of every user schema and of mysql."""
    found, gone = [], discarded(case.clone) if case.apart else []
    names = tables(case.clone, "table_schema NOT IN ('sys','information_schema','performance_schema')")
    for name in names:
        if name in gone:
            continue
        for table, _, kind, text in case.clone.sql(f'CHECK TABLE {name} EXTENDED'):
            if kind in ('error', 'Error', 'warning') or (kind == 'status' and text not in ('OK', 'Table is already up to date')):
                found.append(f'{table}: {kind}: {text}')
    return found if names else ['no table to check']


def index_columns(server):
    """{(table, index): [columns]} of secondary indexes of user schemas; none for an index of words or places, or with
    expressions."""
    rows = server.sql('SELECT table_schema, table_name, index_name, column_name, index_type FROM '
                      f"information_schema.statistics WHERE table_schema NOT IN {SYSTEM_SCHEMAS} AND "
                      "index_name<>'PRIMARY' AND sub_part IS NULL ORDER BY 1, 2, 3, seq_in_index")
    found, skip = {}, set()
    for schema, name, index, column, kind in rows:
        key = f'`{schema}`.`{name}`', index
        found.setdefault(key, []).append(column)
        if column is None or kind != 'BTREE':
            skip.add(key)
    return {key: columns for key, columns in found.items() if key not in skip}


def indexes(case):
    """Every secondary index has the values that the table has, as often."""
    found, gone = [], discarded(case.clone) if case.apart else []
    for (name, index), columns in index_columns(case.clone).items():
        if name in gone:
            continue
        values = ', '.join(f"IFNULL(`{column}`, 'null')" for column in columns)
        by_index, by_table = (case.clone.sql(f"SELECT COUNT(*), SUM(CRC32(CONCAT_WS(',', {values}))) FROM {name} "
                                             f'FORCE INDEX ({which})')[0] for which in (f'`{index}`', 'PRIMARY'))
        if by_index != by_table:
            found.append(f'{name}: {index} has {by_index[0]} entries, the table {by_table[0]}, or other values')
    return found


def same_gtids(case):
    """Nothing was added to @@gtid_executed since the clone started."""
    now = case.clone.value('SELECT @@gtid_executed')
    return [] if GtidSet.parse(now) == case.executed else [f'was {case.executed}, is {now}']


def replica_error(server):
    """What replication says is wrong, '' if nothing."""
    texts = [r[0] for table in ('replication_connection_status', 'replication_applier_status_by_coordinator',
                                'replication_applier_status_by_worker')
             for r in server.sql(f"SELECT last_error_message FROM performance_schema.{table} "
                                 "WHERE last_error_message<>''")]
    return '; '.join(texts)


def replicates(case):
    """The clone catches up with its donor by auto-position replication."""
    if not case.has_gtids:
        raise NotApplicable('the donor writes no binary log: nothing to replicate')
    uuids = case.donor.value('SELECT @@server_uuid'), case.clone.value('SELECT @@server_uuid')
    if uuids[0] == uuids[1]:
        return ['the clone has its donor\'s server_uuid']
    want = case.donor.value('SELECT @@gtid_executed')
    user, password = case.replica_user
    case.clone.sql(f"CHANGE REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1', SOURCE_PORT={case.donor.port}, "
                   f"SOURCE_USER='{user}', SOURCE_PASSWORD='{password}', SOURCE_AUTO_POSITION=1, "
                   'GET_SOURCE_PUBLIC_KEY=1, SOURCE_CONNECT_RETRY=1', 'START REPLICA')
    conn = case.clone.connect()
    try:
        with conn.cursor() as cur:
            for _ in range(CATCH_UP_S):
                cur.execute('SELECT WAIT_FOR_EXECUTED_GTID_SET(%s, 1)', (want,))
                if cur.fetchone()[0] == 0:
                    return []
                error = replica_error(case.clone)
                if error:
                    return [error]
    finally:
        conn.close()
    return [f'not caught up after {CATCH_UP_S} s: lacks '
            f'{GtidSet.parse(want) - GtidSet.parse(case.clone.value("SELECT @@gtid_executed"))}']


def checksums(case):
    """After catching up, CHECKSUM TABLE of every InnoDB table equals the donor's."""
    if not case.has_gtids:
        raise NotApplicable('the donor writes no binary log: the clone cannot catch up')
    where = f"engine='InnoDB' AND table_schema NOT IN {SYSTEM_SCHEMAS}" + ''.join(
        f" AND table_schema<>'{schema}'" for schema in case.apart)
    donor, clone = tables(case.donor, where), tables(case.clone, where)
    found = [f'{t} is on one side only' for t in sorted(set(donor) ^ set(clone))]
    for name in sorted(set(donor) & set(clone)):
        try:
            sums = [s.sql(f'CHECKSUM TABLE {name}')[0][1] for s in (case.donor, case.clone)]
        except pymysql.Error as e:
            found.append(f'{name}: {e}')
            continue
        if sums[0] != sums[1] or sums[0] is None:
            found.append(f'{name}: donor {sums[0]}, clone {sums[1]}')
    return found if donor else ['the donor has no table to compare']


def donor_gtids(case):
    """The donor's GTIDs grew by what the harness wrote and nothing else: the clone wrote none."""
    if not case.has_gtids:
        raise NotApplicable('the donor writes no binary log')
    known = GtidSet.of(a.gtid for a in case.acks if a.gtid != '-')
    extra = GtidSet.parse(case.donor.value('SELECT @@gtid_executed')) - case.donor_before - known
    return [f'GTIDs nobody of the harness wrote: {extra}'] if extra else []


def ddl_possible(case):
    """DDL works on the donor: no backup lock was left."""
    code, message = case.donor.error('SET sql_log_bin = 0', 'SET lock_wait_timeout = 3',
                                     'CREATE TABLE proof.lock_probe (i INT)', 'DROP TABLE proof.lock_probe')
    return [f'{code} {message}'] if code else []


CHECKS = [log_clean, scanned_to, clone_status, gtids, acked_gtids, acked_commits, torn, check_table, indexes,
          donor_gtids, ddl_possible]
REPLICATION = [replicates, checksums]
