# SPDX-License-Identifier: GPL-2.0-only
"""The plugin's variables do what they say, in clones in place and into a directory."""
import re
import shutil
import time

import pytest

from helpers import (OURS, Background, copying, fast, instance, local, slow, wait_for)
from inplace import changed, in_place, is_clone, own_data, progress, recipient_of, replace, state

pytestmark = pytest.mark.skipif(OURS != 'ours', reason='about our engine only')

PAIR_MEGABYTES, PAIR_RECIPIENT = 40, recipient_of
SECOND_STEP_S = 0.4  # MEASURE_MS of io/autotune.c
TRIES = 4  # a machine that stalls is slower than a limit now and then, never faster


@pytest.fixture(autouse=True)
def defaults(pair):
    """Variables as they were."""
    yield
    for server in pair[1:]:
        fast(server)
        server.sql(*(f'SET GLOBAL clone_{name} = DEFAULT' for name in (
            'max_concurrency', 'autotune_concurrency', 'buffer_size', 'ddl_timeout', 'drop_data_first',
            'delay_after_data_drop')))


def threads(server):
    """THREADS of FILE COPY."""
    return int(server.value("SELECT threads FROM performance_schema.clone_progress WHERE stage = 'FILE COPY'"))


@pytest.mark.parametrize('how', ['local', 'instance'])
def test_concurrency(pair, how):
    """Autotune off: max_concurrency threads, at once. On: it begins with two and stays below the maximum."""
    box, donor, recipient = pair
    target = box.path('clones') + '/c'
    where, statement = (donor, local(target)) if how == 'local' else (recipient, instance(donor, target))
    slow(where, 20)
    for maximum, autotune in ((1, 'OFF'), (5, 'OFF'), (1, 'ON'), (3, 'ON')):
        where.sql(f'SET GLOBAL clone_max_concurrency = {maximum}', f'SET GLOBAL clone_autotune_concurrency = {autotune}')
        began = time.monotonic()
        with Background(where, statement) as clone:
            copying(where)
            seen, within = wait_for(lambda: threads(where), what='threads'), time.monotonic() - began
            print(f'{maximum} {autotune}: {seen} threads after {within:.2f} s')
            if autotune == 'OFF':
                assert seen == maximum
            else:
                assert 1 <= seen <= min(maximum, 2 if within < SECOND_STEP_S else maximum), (maximum, seen, within)
            assert clone.result()[0] == 0, clone.result()
        assert threads(where) <= maximum
        shutil.rmtree(target)


@pytest.mark.parametrize('size', ['1M', '256M'])
def test_buffer_size(pair, size):
    """Both ends of the range work."""
    box, donor, _ = pair
    target = box.path('clones') + '/c'
    donor.sql('SET GLOBAL clone_buffer_size = ' + {'1M': '1048576', '256M': '268435456'}[size])
    assert donor.error(local(target)) == (0, '')
    shutil.rmtree(target)


@pytest.mark.parametrize('how', ['local', 'instance'])
def test_data_bandwidth(pair, how):
    """The numbers are near those that were set."""
    box, donor, recipient = pair
    target = box.path('clones') + '/c'
    where, statement = (donor, local(target)) if how == 'local' else (recipient, instance(donor, target))
    where.sql('SET GLOBAL clone_max_data_bandwidth = 40')
    rates = []
    while not rates or (rates[-1] <= 32 and len(rates) < TRIES):
        assert where.error(statement) == (0, '')
        seconds, mib = where.sql(
            "SELECT TIMESTAMPDIFF(MICROSECOND, begin_time, end_time) / 1e6, data / 1048576 FROM "
            "performance_schema.clone_progress WHERE stage = 'FILE COPY'")[0]
        rates.append(float(mib) / float(seconds))
        shutil.rmtree(target)
    print(f'{rates} MiB/s')
    assert 32 < max(rates) < 46, rates


def rate(server, column):
    """MiB/s of FILE COPY that the server counts, for a second from when the count moves next: never more than there were."""
    row = f"SELECT {column} FROM performance_schema.clone_progress WHERE stage = 'FILE COPY'"
    was = server.value(row)
    wait_for(lambda: server.value(row) != was, what='progress')
    began = time.monotonic()
    first = int(server.value(row))
    time.sleep(1)
    return (int(server.value(row)) - first) / (time.monotonic() - began) / 1048576


@pytest.mark.parametrize('how, variable, column', [('local', 'data', 'data'), ('instance', 'data', 'data'),
                                                   ('instance', 'network', 'network')])
def test_bandwidth_in_mid_clone(pair, how, variable, column):
    """A limit that is set while a clone runs, on the recipient where there is one, counts from then on: up, down, none at all."""
    box, donor, recipient = pair
    target = box.path('clones') + '/c'
    where, statement = (donor, local(target)) if how == 'local' else (recipient, instance(donor, target))
    rates = []
    where.sql(f'SET GLOBAL clone_max_{variable}_bandwidth = 3')
    with Background(where, statement) as clone:
        copying(where)
        for limit in (3, 20, 3):
            where.sql(f'SET GLOBAL clone_max_{variable}_bandwidth = {limit}')
            time.sleep(0.6)
            found = [rate(where, column)]
            while limit == 20 and found[-1] <= 6 and len(found) < TRIES:
                found.append(rate(where, column))
            rates.append(max(found))
        assert clone.running, 'the copy was too short to be measured'
        fast(where)
        began = time.monotonic()
        assert clone.result() == (0, '')
        took = time.monotonic() - began
    print(f'{rates} MiB/s, then {took:.1f} s without a limit')
    assert max(rates[0], rates[2]) < 6 < rates[1] < 26, rates
    assert took < 15
    shutil.rmtree(target)


def test_ddl_timeout_of_the_donor(pair):
    """With clone_block_ddl=ON DDL that runs longer on the donor than clone_ddl_timeout: 1205, nothing changed."""
    box, donor, recipient = pair
    donor.sql('SET sql_log_bin = 0', 'CREATE SCHEMA IF NOT EXISTS ddl', 'CREATE TABLE IF NOT EXISTS ddl.t (i INT)')
    recipient.sql('SET GLOBAL clone_ddl_timeout = 1', 'SET GLOBAL clone_block_ddl = ON')
    before = state(recipient)
    blocker = donor.connect()
    with blocker.cursor() as cur:
        cur.execute('LOCK TABLES ddl.t READ')
        with Background(donor, 'ALTER TABLE ddl.t ADD COLUMN j INT') as ddl:
            wait_for(lambda: donor.value("SELECT COUNT(*) FROM information_schema.processlist "
                                         "WHERE info LIKE 'ALTER TABLE ddl.t%'"), what='ALTER')
            time.sleep(0.2)
            began = time.monotonic()
            code, message = recipient.error(in_place(donor))
            took = time.monotonic() - began
            cur.execute('UNLOCK TABLES')
            assert ddl.result()[0] == 0
    blocker.close()
    donor.sql('SET sql_log_bin = 0', 'DROP SCHEMA ddl')
    assert code == 3862 and message.startswith('Clone Donor Error: 1205 : '), (code, message)
    assert took < 60
    assert changed(before, state(recipient)) == []


def test_drop_data_first(pair):
    """The old data goes before the copy begins, the delay follows; also on a super_read_only server."""
    box, donor, recipient = pair
    own_data(recipient)
    recipient.sql('SET GLOBAL clone_drop_data_first = ON', 'SET GLOBAL clone_delay_after_data_drop = 10')
    slow(recipient, 20)
    recipient.sql('SET GLOBAL super_read_only = ON')
    runs = len(recipient.statuses())
    with Background(recipient, in_place(donor)) as clone:
        wait_for(lambda: dict(progress(recipient)).get('DROP DATA') == 'In Progress', what='DROP DATA')
        schemas = "SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name LIKE 'own%'"
        wait_for(lambda: recipient.value(schemas) == 0, what='schemas dropped')
        assert dict(progress(recipient))['FILE COPY'] == 'Not Started'
        wait_for(lambda: recipient.value('SELECT @@super_read_only') == 1, what='super_read_only again')
        copying(recipient)
        fast(recipient)
        clone.result()
    recipient.wait_restarted(runs)
    is_clone(recipient, donor)
    drop = recipient.value("SELECT TIMESTAMPDIFF(SECOND, begin_time, end_time) FROM performance_schema.clone_progress "
                           "WHERE stage = 'DROP DATA'")
    assert drop >= 10


def test_keeps_data_by_default(pair):
    """Without clone_drop_data_first the delay does not count and the data is there until the restart."""
    _, donor, recipient = pair
    recipient.sql('CREATE SCHEMA own', 'CREATE TABLE own.t (i INT PRIMARY KEY)', 'INSERT INTO own.t VALUES (1)',
                  'SET GLOBAL clone_delay_after_data_drop = 3600')
    slow(recipient, 4)
    runs = len(recipient.statuses())
    with Background(recipient, in_place(donor)) as clone:
        copying(recipient)
        assert recipient.value('SELECT COUNT(*) FROM own.t') == 1
        fast(recipient)
        clone.result()
    recipient.wait_restarted(runs)
    is_clone(recipient, donor)
    assert not re.search(r'\[ERROR\]', recipient.log_text().split('point of no return')[-1])
    replace(recipient, in_place(donor))
    is_clone(recipient, donor)
