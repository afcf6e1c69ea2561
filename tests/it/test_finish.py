# SPDX-License-Identifier: GPL-2.0-only
"""The first start on a clone finds that the clone is wrong, or cannot finish it: it says so, and so does every later one."""
import os
import subprocess

import pytest

from helpers import need_ours, only_ours, start_donor, wait_for
from inplace import in_place, is_clone, own_data, recipient_of, replace, status

NOBODY = '99999999-9999-9999-9999-999999999999:1-7'


@pytest.fixture(scope='module', autouse=True)
def built():
    """All tests need our build."""
    need_ours()
    only_ours()


@pytest.fixture
def pair(box):
    """A donor, and a recipient that has data and GTIDs of its own and is down with the clone committed; its GTIDs."""
    donor = start_donor(box, megabytes=2)
    donor.sql('CREATE SCHEMA of_donor')
    recipient = recipient_of(box, donor)
    own_data(recipient)
    recipient.stop()
    recipient.start(supervised=False)
    old = recipient.value('SELECT @@gtid_executed')
    assert recipient.error(in_place(donor))[0] == 3707
    assert recipient.wait_ended() == 0
    return donor, recipient, old


def clone_file(server, name):
    """Path of our file of that name in #clone."""
    return os.path.join(server.datadir, '#clone', '#snapclone_' + name)


def change_end(server, key, value):
    """Write another value into the end file."""
    path = clone_file(server, 'end')
    with open(path, encoding='ascii') as f:
        lines = [f'{key}={value}\n' if line.startswith(key + '=') else line for line in f]
    with open(path, 'w', encoding='ascii') as f:
        f.writelines(lines)


def ended(server, how):
    """The row of clone_status, as soon as its state is that one."""
    wait_for(lambda: status(server)['STATE'] == how)
    return status(server)


@pytest.mark.parametrize('key,value,text', [
    ('gtid_flushed', NOBODY, 'cloned data is incomplete: transactions the donor had committed are missing after recovery: ' + NOBODY),
    ('gtid_executed', NOBODY, 'cloned data has transactions the donor did not have'),
    ('format', '7', 'damaged: #clone/#snapclone_end')])
def test_bad_clone(pair, key, value, text):
    """No start takes it for the old data: the old GTIDs do not come back, and what is wrong stays said."""
    donor, recipient, old = pair
    change_end(recipient, key, value)
    for _ in range(2):
        recipient.start()
        row = ended(recipient, 'Failed')
        assert row['ERROR_NO'] == 1815 and text in row['ERROR_MESSAGE'], row
        assert not int(recipient.value(f"SELECT GTID_SUBSET('{old}', @@gtid_executed)"))
        wait_for(lambda: os.path.exists(clone_file(recipient, 'failed')))
        assert not os.path.exists(clone_file(recipient, 'gtids'))
        recipient.stop()
    recipient.start()
    replace(recipient, in_place(donor))
    is_clone(recipient, donor)


def test_tried_again(pair):
    """What could not be done at one start is done at the next; clone_status says both."""
    donor, recipient, old = pair
    end = clone_file(recipient, 'end')
    if os.geteuid() != 0 or subprocess.run(['chattr', '+i', end], check=False).returncode:
        pytest.skip('chattr +i does not work here')
    try:
        recipient.start()
        row = ended(recipient, 'Failed')
        assert 'cannot rename #clone/#snapclone_end' in row['ERROR_MESSAGE']
        assert 'the next start of the server tries again' in recipient.log_text()
    finally:
        subprocess.run(['chattr', '-i', end], check=True)
    recipient.restart()
    row = ended(recipient, 'Completed')
    assert (row['ERROR_NO'], row['ERROR_MESSAGE']) == (0, '')
    is_clone(recipient, donor)
    assert not int(recipient.value(f"SELECT GTID_SUBSET('{old}', @@gtid_executed)"))
    assert not os.path.exists(clone_file(recipient, 'failed'))
