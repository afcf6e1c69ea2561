# SPDX-License-Identifier: GPL-2.0-only
"""ALTER INSTANCE on the donor while files are copied: nothing locks it out."""
import time

from helpers import local, nothing_left, only_ours, start_donor
from proof.checks_files import read_end


def slow_clone(donor, target):
    """A local clone that takes some seconds, under way; its connection."""
    clone = donor.connect()
    clone.query('SET GLOBAL clone_max_data_bandwidth = 10')
    clone._execute_command(3, local(target).encode())
    deadline = time.monotonic() + 20
    while not donor.value("SELECT COUNT(*) FROM performance_schema.clone_progress WHERE STAGE = 'FILE COPY' AND DATA > 0"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return clone


def test_redo_logging_off(box):
    """What was written without redo is in no clone: error 3983."""
    only_ours()
    donor = start_donor(box, megabytes=24)
    target = box.path('clones') + '/c'
    clone = slow_clone(donor, target)
    donor.sql('ALTER INSTANCE DISABLE INNODB REDO_LOG', 'ALTER INSTANCE ENABLE INNODB REDO_LOG')
    try:
        clone._read_query_result()
        assert False, 'the clone succeeded'
    except Exception as err:  # pylint: disable=broad-except
        assert err.args[0] == 3983, err
    clone.close()
    nothing_left(box, target)


def test_other_alter_instance(box):
    """RELOAD TLS has nothing to do with redo."""
    donor = start_donor(box, megabytes=24)
    target = box.path('clones') + '/c'
    clone = slow_clone(donor, target)
    donor.sql('ALTER INSTANCE RELOAD TLS')
    clone._read_query_result()
    clone.close()
    assert read_end(target)
