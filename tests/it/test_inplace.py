# SPDX-License-Identifier: GPL-2.0-only
"""CLONE INSTANCE without DATA DIRECTORY: the recipient becomes the donor, completely, and restarts by itself."""
import os
import re
import threading
import time

import pytest

from helpers import (OURS, Background, add_user, copying, fast, instance, need_ours, only_ours, slow, start_donor,
                     unharmed, wait_for)
from inplace import (ENDED, STAGES, EndWatcher, changed, channels, in_place, is_clone, own_data, progress, recipient_of,
                     replace, replicate, state, status, tidy)
from proof.checks_server import replica_error
from proof.load import load
from proof.prove import Case, failures, prove_in_place, table
from proof.writer import Writers, now_us

ACTIVE = "SELECT plugin_status FROM information_schema.plugins WHERE plugin_name='clone'"
PAIR_MEGABYTES, PAIR_RECIPIENT = 20, recipient_of


@pytest.fixture(autouse=True)
def built():
    """All tests need our build."""
    need_ours()


# ---- the proof ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('clause', ['', 'REQUIRE NO SSL'])
def test_under_load(box, clause):
    """Writers on the donor; the recipient, which had data of its own, is the clone and replicates from then on."""
    donor = start_donor(box, megabytes=40)
    recipient = recipient_of(box, donor)
    own_data(recipient)
    recipient.restart()
    uuid, pid, mark = recipient.value('SELECT @@server_uuid'), donor.pid, recipient.log_mark()
    before, record = donor.value('SELECT @@gtid_executed'), box.path('record')
    with Writers(donor, record, noise=('churn', 'blobs', 'load', 'flush', 'drop')), EndWatcher(recipient) as watcher:
        time.sleep(0.5)
        began = now_us()
        replace(recipient, in_place(donor, clause))
        time.sleep(0.5)
    if OURS == 'ours':
        tidy(recipient)
        assert watcher.end
    case = Case(donor, recipient.datadir, record, box, OURS, began, before, watcher.end)
    assert recipient.value('SELECT @@server_uuid') == uuid
    assert recipient.value(ACTIVE) == 'ACTIVE'
    assert [stage for stage, _ in progress(recipient)] == STAGES
    assert {how for _, how in progress(recipient)} == {'Completed'}
    row = status(recipient)
    assert (row['SOURCE'], row['DESTINATION'], row['ERROR_NO']) == (f'127.0.0.1:{donor.port}', 'LOCAL INSTANCE', 0)
    if OURS == 'ours':
        said = re.search(r'this server is the donor (\S+) at LSN (\d+), binary log (\S+):(\d+)', recipient.log_text(mark))
        assert said.groups() == (donor.value('SELECT @@server_uuid'), case.end['end_lsn'], case.end['binlog_file'],
                                 case.end['binlog_position'])
    results = prove_in_place(case, recipient, mark)
    print(table(results))
    assert failures(results) == []
    unharmed(donor, pid)


class Flushes:
    """FLUSH STATUS without a pause: GTIDs that belong to no InnoDB commit, at every moment of the seal."""

    def __init__(self, server, threads=3):
        self.stopping = False
        self.threads = [threading.Thread(target=self._run, args=(server.connect(),)) for _ in range(threads)]

    def _run(self, conn):
        with conn, conn.cursor() as cur:
            while not self.stopping:
                cur.execute('FLUSH STATUS')

    def __enter__(self):
        for thread in self.threads:
            thread.start()

    def __exit__(self, *_exc):
        self.stopping = True
        for thread in self.threads:
            thread.join()


def test_gtids_without_a_commit(box):
    """GTIDs made while the seal flushes the binary log are not taken for lost transactions, and are all there."""
    donor = start_donor(box, megabytes=2)
    recipient = recipient_of(box, donor)
    mark = recipient.log_mark()
    with Flushes(donor):
        time.sleep(0.2)
        replace(recipient, in_place(donor))
    if OURS == 'ours':
        tidy(recipient)
    end = status(recipient)['GTID_EXECUTED']
    assert int(recipient.value(f"SELECT GTID_SUBSET('{end}', @@gtid_executed)")) == 1
    assert 'clone: cloned data' not in recipient.log_text(mark)


def prepare_as_stock(box, plugin):
    """A donor and a recipient with replication channels, users and components of their own."""
    donor = start_donor(box, plugin, 5, plugin)
    donor.sql("INSTALL COMPONENT 'file://component_validate_password'", "CREATE USER of_donor IDENTIFIED BY 'Some-pw-1'",
              "CHANGE REPLICATION SOURCE TO SOURCE_HOST='donors-source', SOURCE_USER='u' FOR CHANNEL 'd'",
              'CREATE SCHEMA `e-mpty`', 'CREATE TABLE proof.m (i INT) ENGINE=MyISAM', 'INSERT INTO proof.m VALUES (1)')
    recipient = recipient_of(box, donor, name='r' + plugin, plugin=plugin)
    own_data(recipient)
    recipient.sql("CREATE USER of_recipient", "SET PERSIST max_connections = 99",
                  "CHANGE REPLICATION SOURCE TO SOURCE_HOST='recipients-source', SOURCE_USER='u' FOR CHANNEL 'r'",
                  "CREATE TABLESPACE of_recipient ADD DATAFILE 'of_recipient.ibd'",
                  "CREATE UNDO TABLESPACE undo_recipient ADD DATAFILE 'undo_recipient.ibu'")
    return donor, recipient


def what_is_left(server):
    """What a clone in place leaves of both sides."""
    queries = ['SELECT user, host, account_locked FROM mysql.user ORDER BY 1, 2', 'SELECT * FROM mysql.plugin ORDER BY 1',
               'SELECT component_urn FROM mysql.component', 'SELECT @@max_connections',
               'SELECT Host, Channel_name FROM mysql.slave_master_info',
               'SELECT Channel_name, Relay_log_pos FROM mysql.slave_relay_log_info',
               'SELECT channel_name, host FROM performance_schema.replication_connection_configuration',
               'SELECT channel_name, service_state FROM performance_schema.replication_connection_status',
               'SELECT COUNT(*) FROM proof.m', 'SELECT schema_name FROM information_schema.schemata ORDER BY 1',
               'SELECT tablespace_name FROM information_schema.files ORDER BY 1',
               'SELECT name, state FROM information_schema.innodb_tablespaces ORDER BY 1',
               'SELECT file_name FROM mysql.slave_worker_info', 'SELECT @@gtid_executed <> ""',
               'SELECT state, error_no FROM performance_schema.clone_status',
               'SELECT stage, state FROM performance_schema.clone_progress ORDER BY id']
    found = {}
    for query in queries:
        code, message = server.error(query)
        found[query] = message if code else server.sql(query)
    found['binary logs'] = [r[0] for r in server.sql('SHOW BINARY LOGS')]
    found['#clone'] = sorted({*os.listdir(os.path.join(server.datadir, '#clone'))} - {'#snapclone_manifest.jsonl'})
    ignored = re.compile(r'#(clone|ib_16384_|innodb_redo/)|relay-bin|binlog\.|\.pem$|performance_schema/|undo_00|#innodb_temp')
    found['files'] = sorted(n for n in (os.path.relpath(os.path.join(p, f), server.datadir)
                                        for p, d, names in os.walk(server.datadir) for f in d + names)
                            if not ignored.search(n))
    return found


def test_leaves_what_stock_leaves(box):
    """Users, plugins, components, replication metadata, files, states: the same as after stock's clone."""
    only_ours()
    left = []
    for plugin in (OURS, 'stock'):
        donor, recipient = prepare_as_stock(box, plugin)
        replace(recipient, in_place(donor))
        if plugin == 'ours':
            tidy(recipient)
        left.append(what_is_left(recipient))
        donor.stop()
        recipient.stop()
    assert changed(left[1], left[0]) == []


def test_not_supervised(pair):
    """Without a supervisor: 3707, an orderly shutdown, and the next start is the finished clone."""
    _, donor, recipient = pair
    recipient.stop()
    recipient.start(supervised=False)
    before, mark = state(recipient), recipient.log_mark()
    code, message = recipient.error(in_place(donor))
    assert code == 3707 or code in (2006, 2013), message
    assert recipient.wait_ended() == 0
    assert code == 3707, message
    recipient.start()
    is_clone(recipient, donor, before)
    assert [line for line in recipient.log_text(mark).splitlines() if '[ERROR]' in line and 'MY-013462' not in line] == []


# ---- recipients of all kinds -------------------------------------------------------------------------------------


def test_stopped_before(pair):
    """Doublewrite files that hold the recipient's pages must not get into the clone."""
    _, donor, recipient = pair
    replace(recipient, in_place(donor))  # the same space ids: the most harm
    is_clone(recipient, donor)
    recipient.sql('SET sql_log_bin=0', 'UPDATE proof.load0 SET n = n + 5', 'SET GLOBAL innodb_fast_shutdown = 0')
    recipient.restart()
    before = state(recipient)
    replace(recipient, in_place(donor))
    is_clone(recipient, donor, before)


def test_running_replica(pair):
    """A replica that is replicating from the donor: afterwards it can go on as one."""
    _, donor, recipient = pair
    replace(recipient, in_place(donor))
    is_clone(recipient, donor)
    replicate(recipient, donor)
    donor.sql('CREATE TABLE IF NOT EXISTS proof.later (i INT PRIMARY KEY)', 'REPLACE INTO proof.later VALUES (1)')
    caught_up = f"SELECT GTID_SUBSET('{donor.value('SELECT @@gtid_executed')}', @@gtid_executed)"
    wait_for(lambda: recipient.value(caught_up), what='replication')
    before = state(recipient)
    replace(recipient, in_place(donor))
    is_clone(recipient, donor, before)
    replicate(recipient, donor)
    donor.sql('REPLACE INTO proof.later VALUES (2)')
    caught_up = f"SELECT GTID_SUBSET('{donor.value('SELECT @@gtid_executed')}', @@gtid_executed)"
    wait_for(lambda: recipient.value(caught_up) or replica_error(recipient), what='replication')
    assert replica_error(recipient) == ''
    recipient.sql('STOP REPLICA', 'RESET REPLICA ALL')


@pytest.mark.parametrize('mode', ['', 'NO_BACKSLASH_ESCAPES'])
def test_channel_names(pair, mode):
    """A channel with a name that has to be quoted."""
    _, donor, recipient = pair
    recipient.sql("CHANGE REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1' FOR CHANNEL 'it''s a \\\\ channel'",
                  "START REPLICA SQL_THREAD FOR CHANNEL 'it''s a \\\\ channel'", f"SET GLOBAL sql_mode = '{mode}'")
    assert channels(recipient)["it's a \\ channel"] == ['OFF', 'ON']
    before = state(recipient)
    replace(recipient, in_place(donor))
    is_clone(recipient, donor, before)


def make_rich(server, name):
    """Tablespaces of all kinds, names that need encoding."""
    server.sql(f"CREATE TABLESPACE {name} ADD DATAFILE '{name}.ibd'", f'CREATE SCHEMA `{name}-x`', f'CREATE SCHEMA `{name} größe`',
               f'CREATE TABLE `{name}-x`.`t#1` (i INT PRIMARY KEY) TABLESPACE {name}', f'INSERT INTO `{name}-x`.`t#1` VALUES (1)',
               f'CREATE TABLE `{name} größe`.`表` (i INT PRIMARY KEY, FULLTEXT (s), s TEXT)',
               f"INSERT INTO `{name} größe`.`表` VALUES (1, 'ein Satz')",
               f'CREATE TABLE `{name}-x`.parts (i INT PRIMARY KEY) PARTITION BY HASH (i) PARTITIONS 3',
               f'INSERT INTO `{name}-x`.parts VALUES (1), (2), (3)',
               f'CREATE TABLE `{name}-x`.m (i INT) ENGINE=MyISAM', f'CREATE TABLE `{name}-x`.c (i INT NOT NULL) ENGINE=CSV',
               f"CREATE UNDO TABLESPACE u_{name} ADD DATAFILE 'u_{name}.ibu'")


def test_rich_recipient(box):
    """Tablespaces, MyISAM, names that need encoding, own GTIDs, super_read_only: nothing of it stays."""
    donor = start_donor(box, megabytes=5)
    make_rich(donor, 'd')
    recipient = recipient_of(box, donor)
    own_data(recipient)
    make_rich(recipient, 'r')
    recipient.sql("CREATE UNDO TABLESPACE u_d ADD DATAFILE 'u_d.ibu'")  # a name that the donor has too
    recipient.sql("SET gtid_next='11111111-2222-3333-4444-555555555555:7'", 'BEGIN', 'COMMIT', "SET gtid_next=AUTOMATIC",
                  'SET GLOBAL super_read_only = ON')
    before = state(recipient)
    replace(recipient, in_place(donor))
    is_clone(recipient, donor, before)
    assert recipient.value('SELECT @@super_read_only') == 0
    recipient.sql('CREATE TABLE `d-x`.t2 (i INT) TABLESPACE d', "CREATE TABLESPACE r ADD DATAFILE 'r.ibd'",
                  'CREATE SCHEMA `r-x`', "CREATE UNDO TABLESPACE u_r ADD DATAFILE 'u_r.ibu'")
    recipient.restart()
    assert recipient.sql('SELECT * FROM `d-x`.parts') == donor.sql('SELECT * FROM `d-x`.parts')


def test_three_in_a_row(pair):
    """One after the other, the donor changing in between."""
    _, donor, recipient = pair
    pid = donor.pid
    for n in range(3):
        donor.sql('CREATE SCHEMA IF NOT EXISTS seq', f'CREATE TABLE seq.t{n} (i INT)', f'INSERT INTO seq.t{n} VALUES ({n})')
        before = state(recipient)
        replace(recipient, in_place(donor))
        is_clone(recipient, donor, before)
    unharmed(donor, pid)


def test_two_at_once(pair):
    """The second is refused, 3634, and does not disturb the first."""
    _, donor, recipient = pair
    slow(recipient, 4)
    runs = len(recipient.statuses())
    with Background(recipient, in_place(donor)) as clone:
        copying(recipient)
        assert recipient.error(in_place(donor))[0] == 3634
        assert clone.running
        fast(recipient)
        assert clone.result()[0] in ENDED
    recipient.wait_restarted(runs)
    is_clone(recipient, donor)


# ---- recipients that are donors ----------------------------------------------------------------------------------


def cascade(box):
    """A donor, a recipient that has data of its own, and a recipient of that one."""
    donor = start_donor(box)
    middle = recipient_of(box, donor, name='middle')
    add_user(middle)
    load(middle, 10, tables=2)
    return donor, middle, recipient_of(box, middle, name='last')


def test_being_replaced_is_no_donor(box):
    """3634 from a donor that is a recipient itself, which goes on; when it has become the clone, it is a donor."""
    only_ours()
    donor, middle, last = cascade(box)
    target, runs, before = box.path('clones') + '/c', len(middle.statuses()), state(last)
    slow(middle, 20)
    with Background(middle, in_place(donor)) as clone:
        copying(middle)
        for statement in (instance(middle, target), in_place(middle)):
            assert last.error(statement) == (
                3862, 'Clone Donor Error: 3634 : Too many concurrent clone operations. Maximum allowed - 1..')
        assert not os.path.exists(target)
        assert changed(before, state(last)) == []
        assert clone.running
        fast(middle)
        assert clone.result()[0] in ENDED
    middle.wait_restarted(runs)
    is_clone(middle, donor)
    replace(last, in_place(middle))
    is_clone(last, donor)


def test_donor_gets_replaced(box):
    """A clone that had begun before fails when it would be sealed; the donor becomes the other clone."""
    only_ours()
    donor, middle, last = cascade(box)
    target, runs = box.path('clones') + '/c', len(middle.statuses())
    slow(last, 20)
    slow(middle, 10)
    with Background(last, instance(middle, target)) as other:
        copying(last)
        with Background(middle, in_place(donor)) as clone:
            copying(middle)
            assert other.running
            fast(last)
            code, message = other.result()
            assert code == 3862 and message.startswith("Clone Donor Error: 3634 : a clone replaces this server's own data")
            assert not os.path.exists(target)
            assert clone.running
            fast(middle)
            assert clone.result()[0] in ENDED
    middle.wait_restarted(runs)
    is_clone(middle, donor)
