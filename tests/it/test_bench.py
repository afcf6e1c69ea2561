# SPDX-License-Identifier: GPL-2.0-only
"""The benchmark runs, measures both plugins and counts right; what it measures is not judged here."""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import pytest

from helpers import need_ours
from leftovers import leftovers
from template import TREE

sys.path.append(os.path.join(TREE, 'tests', 'perf'))
import bench_limits  # noqa: E402
import bench_report  # noqa: E402
import bench_run  # noqa: E402


def clone(plugin, pair, wall, cpu, peak=20):
    """One measured clone, as bench_run.Pair.clone() gives it."""
    parts = {'donor': {'user': cpu / 2, 'system': cpu / 2, 'daemon': 0.0}}
    return {'case': 'tls', 'plugin': plugin, 'pair': pair, 'wall': wall, 'cpu': cpu, 'cpu_parts': parts,
            'sync_after': 0.1, 'cpu_elsewhere': 0.1, 'daemon_peak_mib': peak, 'bytes': 2 * 10**9}


CLONES = [clone('ours', 0, 2, 1), clone('stock', 0, 1, 1), clone('ours', 1, 1, 1), clone('stock', 1, 1, 1),
          clone('ours', 2, 1, 3, peak=300), clone('stock', 2, 4, 1)]


def test_ratios_are_of_pairs():
    """Pair by pair, not of medians, and marks are of the median ratio and of the worst peak."""
    assert bench_report.ratios(CLONES, 'tls', 'wall') == [2, 1, 0.25]
    assert [m[1:] for m in bench_report.marks(CLONES)] == [(1, True), (1, False), (300, False)]
    text = bench_report.text(CLONES, {})
    assert 'PASS  tls wall' in text and 'FAIL  tls cpu' in text and 'FAIL  peak memory' in text


def test_limits():
    """The faster way of using the disk counts; the network only when it is slower than that."""
    limits = {'disk_read': 1000, 'disk_write': 1000, 'disk_both': 400, 'tcp_cpu_per_gb': 0.5, 'aes': 1000, 'cpus': 1}
    assert bench_limits.limit_s('local', 2 * 10**9, limits) == (4, 'disk, reading and writing in turn')
    assert bench_limits.limit_s('tls', 2 * 10**9, limits) == (5, 'CPU of TCP and AES')
    assert bench_limits.limit_s('local', 1, {}) == (None, 'no fio')


def test_lost_cpu_is_an_error():
    """CPU of a helper that its parent does not account for is not left out silently."""
    meter = bench_run.Meter([])
    meter.helpers.seen = {1: {'cpu': 1.0, 'peak_mib': 5}}
    meter.verify(1.0)
    with pytest.raises(RuntimeError, match='accounts for'):
        meter.verify(0.5)


@pytest.fixture
def open_dir():
    """A directory that the servers' user may enter; pytest's own are closed to it, again and again."""
    with tempfile.TemporaryDirectory(prefix='snapclone-bench-') as path:
        os.chmod(path, 0o755)
        yield pathlib.Path(path)


def small_run(directory, report):
    """A small run of every case; its report."""
    run = subprocess.run([os.path.join(TREE, 'scripts', 'bench-clone'), '--size', '16', '--pairs', '1', '--tables', '5',
                          '--no-limits', '--warm', '--dir', str(directory), '--json', str(report)],
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, check=False)
    assert run.returncode == 0, run.stdout.decode()
    return json.loads(report.read_text())


def peaks_seen(result):
    """Daemons were looked at while they lived: one of a small clone may be missed on a busy machine."""
    return all((c['daemon_peak_mib'] > 0) == (c['plugin'] == 'ours') for c in result['clones'])


def test_bench_runs(open_dir):
    """Both plugins are measured, nothing stays but the donor's data."""
    need_ours()
    result = small_run(open_dir / 'b', open_dir / 'report.json')
    if not peaks_seen(result):
        shutil.rmtree(open_dir / 'b')
        result = small_run(open_dir / 'b', open_dir / 'report.json')
    seen = [(c['case'], c['plugin']) for c in result['clones']]
    assert seen == [(p + c, n) for p in ('', '5 ') for c in ('tls', 'plain', 'local') for n in ('ours', 'stock')]
    for c in result['clones']:
        assert c['wall'] > 0 and c['cpu'] > 0 and c['bytes'] > 10**6
    assert peaks_seen(result), result['clones']
    assert len(result['marks']) == 5
    assert sorted(p.name.rpartition('-')[0][-5:] for p in (open_dir / 'b').iterdir()) == ['-16-0', '2-0-5']
    assert leftovers(str(open_dir)) == []
