# SPDX-License-Identifier: GPL-2.0-only
"""The proof harness itself: passes on stock clones, and catches every damage by the check meant for it."""
import shutil
import time
from types import SimpleNamespace

import pytest

from proof import damage
from proof.checks_files import CHECKS as FILE_CHECKS
from proof import checks_server as cs
from proof.gtid import GtidSet
from proof.load import load
from proof.prove import Case, failures, leftovers, prepare_donor, prove, run, table
from proof.writer import NOISE, Writers, now_us
from sandbox import Sandbox

LOAD0 = 'proof/load0.ibd'
QUIET = [n for n in NOISE if n != 'myisam']  # a crash copy of a MyISAM table is not clean


def show(results):
    """Print the table; names of the failed checks."""
    print(table(results))
    return failures(results)


@pytest.fixture(scope='module')
def world():
    """A donor that wrote, and a good directory made from it by killing it (box.good)."""
    with Sandbox() as box:
        # The checkpoint stays where it is, for test_redo_cut_short.
        donor = box.server('donor', innodb_idle_flush_pct=0).start()
        prepare_donor(donor)
        load(donor, 24, tables=2)
        w = SimpleNamespace(box=box, donor=donor, record=box.path('record'), good=box.path('clones') + '/good',
                            old=box.path('old') + '/load0.ibd', before=donor.value('SELECT @@gtid_executed'))
        with Writers(donor, w.record, noise=QUIET):
            time.sleep(1)
        damage.keep_old(donor, LOAD0, w.old)
        donor.sql('SET sql_log_bin = 0', 'UPDATE proof.load0 SET payload = REVERSE(payload) WHERE id <= 200')
        donor.sql('SELECT innodb_redo_log_sharp_checkpoint()')
        with Writers(donor, w.record):
            time.sleep(1)
        damage.crash_copy(donor, w.good)
        donor.start()
        with Writers(donor, w.record):
            time.sleep(0.3)
        yield w


def make_case(w, name, plugin='stock'):
    """A copy of the good directory as a case."""
    return Case(w.donor, damage.copy(w.good, w.box.path('clones') + '/' + name), w.record, w.box, plugin,
                donor_before=w.before)


def test_gtid_sets():
    """Parse, subtract, print."""
    a = GtidSet.parse('u:1-5:8:tag:3,\nv:1')
    assert str(a - GtidSet.parse('u:2-3:8')) == 'u:1:4-5,u:tag:3,v:1'
    assert 'u:tag:3' in a and 'u:6' not in a and len(a) == 8
    assert GtidSet.of(['u:2', 'u:1', 'u:3']) == GtidSet.parse('u:1-3')


def test_good_directory_passes(world):
    """The undamaged directory passes every check; none but those of our clones is left out."""
    results = prove(make_case(world, 'good-copy'), 'good')
    assert show(results) == []
    assert [r.check for r in results if r.status == 'n/a'] == ['verify', 'clone_status']


@pytest.mark.parametrize('damages, check', [
    (lambda w, c: damage.flip_bit(c.datadir, LOAD0), 'innochecksum'),
    (lambda w, c: damage.future_page(c.datadir, LOAD0, c.end_lsn + 1), 'page_lsn'),
    (lambda w, c: damage.overwrite(f'{c.datadir}/{LOAD0}', 6 * damage.PAGE, open(w.old, 'rb').read(damage.PAGE)),
     'page_identity'),
    (lambda w, c: open(f'{c.datadir}/auto.cnf', 'w').close(), 'not_cloned'),
    (lambda w, c: c.end.pop('gtid_executed'), 'end_file'),
    (lambda w, c: open(f'{c.datadir}/{LOAD0}.#clone', 'w').close(), 'leftovers'),
])
def test_damage_seen_before_start(world, damages, check):
    """Flipped bit, page from the future, page in the wrong place, foreign file, bad end mark, file left behind."""
    case = make_case(world, check)
    damages(world, case)
    assert check in show(run(FILE_CHECKS + [leftovers], case))
    shutil.rmtree(case.datadir)


def test_stale_page(world):
    """A page of an older state, valid in itself: the comparison with the donor sees it, often nothing else does."""
    case = make_case(world, 'stale')
    damage.stale_page(case.datadir, LOAD0, world.old)
    assert 'checksums' in show(prove(case, 'stale'))


def test_redo_cut_short(world):
    """The last blocks of redo missing: recovery ends early, commits are gone."""
    case = make_case(world, 'cut')
    damage.cut_redo(case.datadir, 200)
    case.start('cut')
    found = show(run(cs.CHECKS, case))
    case.clone.kill()
    assert {'scanned_to', 'gtids', 'acked_gtids', 'acked_commits'} <= set(found)


def test_damaged_contents(world):
    """Row lost, transaction torn, GTID lost or foreign, index short of rows: one server, one after the other."""
    case = make_case(world, 'sql')
    clone = case.start('sql')
    last = clone.value('SELECT MAX(id) FROM proof.ledger')

    def caught(*statements):
        clone.sql('SET sql_log_bin = 0', *statements)
        case.look()
        return show(run([cs.gtids, cs.acked_gtids, cs.acked_commits, cs.torn], case))

    assert caught('DO 1') == []
    assert caught('BEGIN', f'DELETE FROM proof.detail WHERE id={last} AND k=1', 'COMMIT') == ['torn']
    assert caught(f'DELETE FROM proof.detail WHERE id={last}', f'DELETE FROM proof.ledger WHERE id={last}',
                  f'UPDATE proof.hot SET seq=seq-1 WHERE writer={last // 100000000}') == ['acked_commits']
    assert caught('INSERT INTO proof.ledger VALUES (999, 9, 1)') == ['acked_commits', 'torn']
    without = str(case.executed - GtidSet.of([next(a.gtid for a in case.acks if a.kind == 'flush')]))
    assert {'gtids', 'acked_gtids'} <= set(caught('RESET BINARY LOGS AND GTIDS', f"SET GLOBAL gtid_purged='{without}'"))
    clone.sql('DROP TABLE proof.detail')
    assert show(run([cs.gtids, cs.acked_gtids], case)) == ['gtids', 'acked_gtids']
    clone.kill()


def test_errant_gtid_on_the_donor(world):
    """A GTID the harness did not write is seen."""
    case = make_case(world, 'errant')
    assert show(run([cs.donor_gtids, cs.ddl_possible], case)) == []
    holder = world.donor.connect()
    holder.query('FLUSH STATUS')
    holder.query('LOCK INSTANCE FOR BACKUP')
    assert show(run([cs.donor_gtids, cs.ddl_possible], case)) == ['donor_gtids', 'ddl_possible']
    holder.close()


def test_leftover_process(box):
    """A process that outlives is seen."""
    server = box.server('one').start()
    assert box.leftovers() == []
    assert len(box.leftovers(running=False)) >= 2  # mysqld, its supervisor, the socket
    server.stop()
    assert box.leftovers(running=False) == []


@pytest.mark.parametrize('how', ['local', 'instance'])
def test_stock_clone_passes(box, how):
    """The stock plugin's clones pass under load."""
    donor = box.server('donor').start()
    donor.sql("INSTALL PLUGIN clone SONAME 'mysql_clone.so'")
    prepare_donor(donor)
    load(donor, 24, tables=2)
    before, target = donor.value('SELECT @@gtid_executed'), box.path('clones') + '/c'
    if how == 'instance':
        recipient = box.server('recipient').start()
        recipient.sql("INSTALL PLUGIN clone SONAME 'mysql_clone.so'",
                      f"SET GLOBAL clone_valid_donor_list='127.0.0.1:{donor.port}'")
        donor.sql('SET sql_log_bin = 0', "CREATE USER cloner@'%' IDENTIFIED BY 'pw'", "GRANT BACKUP_ADMIN ON *.* TO cloner@'%'")
        where, statement = recipient, (f"CLONE INSTANCE FROM cloner@127.0.0.1:{donor.port} IDENTIFIED BY 'pw' "
                                       f"DATA DIRECTORY='{target}'")
    else:
        where, statement = donor, f"CLONE LOCAL DATA DIRECTORY='{target}'"
    with Writers(donor, box.path('record'), noise=QUIET):
        time.sleep(0.5)
        began = now_us()
        where.sql(statement)
    case = Case(donor, target, box.path('record'), box, 'stock', began, before)
    assert show(prove(case)) == []
