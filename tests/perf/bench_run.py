# SPDX-License-Identifier: GPL-2.0-only
"""One measured clone after the other, on one pair of servers, with our plugin and the stock one in turn.

Both plugins lie in one plugin_dir under two names; only one can be installed at a time, and UNINSTALL and
INSTALL change it without a restart: the servers, their memory and the data are the same for both.
"""
import os
import shutil
import threading
import time

from leftovers import children_of, read
from template import stock_plugin_dir

PLUGINS = {'ours': 'mysql_clone.so', 'stock': 'stock_clone.so'}
USER, PASSWORD = 'bench', 'bench'
TICK_S = 1 / os.sysconf('SC_CLK_TCK')
SAMPLE_S = 0.05
LOOK_EVERY = 6  # samples; finding new helpers is dearer than watching known ones
HELPER_END_S = 10
SETTLE_S = 1  # after the cache was dropped: discards of deleted files, the servers' own timers
CLAUSES = {'tls': 'REQUIRE SSL', 'plain': 'REQUIRE NO SSL'}


def cpu(pid):
    """CPU seconds (user, system, of helpers that ended and were waited for) of a process. Source: proc(5)."""
    return cpu_of_stat(read(f'/proc/{pid}/stat'))


def cpu_of_stat(text):
    """The same from the text of /proc/PID/stat."""
    f = text.rpartition(')')[2].split()
    return [int(f[11]) * TICK_S, int(f[12]) * TICK_S, (int(f[13]) + int(f[14])) * TICK_S]


def machine_cpu():
    """Busy CPU seconds of the whole machine, with kernel threads; without steal. Source: proc(5)."""
    user, nice, system, _idle, _iowait, irq, softirq = map(int, read('/proc/stat').split(None, 8)[1:8])
    return (user + nice + system + irq + softirq) * TICK_S


def dirty_mb():
    """Data in the page cache that is not on the disk yet. Source: proc(5), /proc/meminfo."""
    rows = dict(line.split(':') for line in read('/proc/meminfo').splitlines())
    return sum(int(rows[k].split()[0]) for k in ('Dirty', 'Writeback')) / 1000


class Helpers(threading.Thread):
    """Watches the daemons that the servers start: CPU and peak memory as last seen, by process id."""

    def __init__(self, servers):
        super().__init__(daemon=True)
        self.parents = [s.pid for s in servers]
        self.seen, self.failure = {}, None
        self.end = threading.Event()

    def alive(self):
        """Ids of the helpers that run."""
        return children_of(self.parents) - set(self.parents)

    def run(self):
        try:
            self.watch()
        except Exception as e:  # pylint: disable=broad-except
            self.failure = e  # for finish()

    def watch(self):
        """Sample until the end."""
        rounds, known = 0, set()
        while not self.end.wait(SAMPLE_S):
            if not known or rounds % LOOK_EVERY == 0:
                known = self.alive()
            rounds += 1
            for pid in known:
                self.sample(pid)

    def sample(self, pid):
        """Note what one helper has used so far. VmHWM is the peak so far: what is missed is a rise after the
        last sample. Source: proc_pid_status(5)."""
        status, stat = read(f'/proc/{pid}/status'), read(f'/proc/{pid}/stat')
        peak = [line.split()[1] for line in status.splitlines() if line.startswith('VmHWM')]
        if peak and stat:
            self.seen[pid] = {'peak_mib': int(peak[0]) / 1024, 'cpu': sum(cpu_of_stat(stat)[:2])}

    def finish(self):
        """Wait until all have ended, so that their CPU is in their parents' account."""
        deadline = time.monotonic() + HELPER_END_S
        while self.alive():
            if time.monotonic() > deadline:
                raise RuntimeError(f'helpers {self.alive()} still run {HELPER_END_S} s after the clone')
            time.sleep(0.01)
        self.end.set()
        self.join()
        if self.failure:
            raise RuntimeError('the helpers were not watched to their end') from self.failure


class Meter:
    """Measures the statement run in `with Meter(servers) as m`: m.result afterwards."""

    def __init__(self, servers):
        self.servers = servers
        self.helpers = Helpers(servers)
        self.result = {}

    def __enter__(self):
        self.helpers.start()
        self.machine = machine_cpu()
        self.before = [cpu(s.pid) for s in self.servers]
        self.began = time.monotonic()
        return self

    def __exit__(self, kind, *_exc):
        wall = time.monotonic() - self.began
        dirty = dirty_mb()
        if kind:
            self.helpers.end.set()
            return
        self.helpers.finish()
        parts = {}
        for server, before in zip(self.servers, self.before):
            user, system, helper = (a - b for a, b in zip(cpu(server.pid), before))
            parts[server.name] = {'user': user, 'system': system, 'daemon': helper}
        total = sum(sum(p.values()) for p in parts.values())
        self.result = {'wall': wall, 'cpu': total, 'cpu_parts': parts, 'dirty_mb': dirty,
                       'cpu_elsewhere': machine_cpu() - self.machine - total,
                       'daemon_peak_mib': max([h['peak_mib'] for h in self.helpers.seen.values()], default=0)}
        self.verify(sum(p['daemon'] for p in parts.values()))

    def verify(self, accounted):
        """What the helpers were seen to use must be in their parents' account: nothing was missed."""
        sampled = sum(h['cpu'] for h in self.helpers.seen.values())
        if sampled > accounted + 4 * TICK_S:
            raise RuntimeError(f'helpers used {sampled:.2f} s of CPU, mysqld accounts for {accounted:.2f} s only')


class Pair:
    """A donor on a prepared data directory and a recipient (None: only local clones)."""

    def __init__(self, box, datadir, settings, drop_caches):
        self.box, self.settings, self.drop = box, settings, drop_caches
        self.place()
        options = {'plugin_dir': os.path.join(box.base, '.plugin'),
                   'loose_clone_daemon_path': os.path.join(box.base, '.plugin', 'snapcloned')}
        self.donor = box.adopt('donor', datadir, **options).start()
        self.recipient = box.server('recipient', **options).start()
        self.servers = [self.donor, self.recipient]
        self.donor.sql('SET sql_log_bin = 0', f"CREATE USER IF NOT EXISTS {USER}@'%' IDENTIFIED BY '{PASSWORD}'",
                       f"GRANT BACKUP_ADMIN ON *.* TO {USER}@'%'")
        self.installed = None

    def place(self):
        """Both plugins in one plugin_dir."""
        directory, _ = self.box.our_plugin()
        stock = os.path.join(directory, PLUGINS['stock'])
        if not os.path.exists(stock):
            shutil.copy(os.path.join(stock_plugin_dir(), 'mysql_clone.so'), stock)

    def install(self, plugin):
        """Have that plugin on both servers."""
        if self.installed == plugin:
            return
        for server in self.servers:
            self.uninstall(server)
            server.sql(f"INSTALL PLUGIN clone SONAME '{PLUGINS[plugin]}'",
                       *[f'SET GLOBAL {k} = {v}' for k, v in self.settings.items()])
        self.recipient.sql(f"SET GLOBAL clone_valid_donor_list = '127.0.0.1:{self.donor.port}'")
        self.installed = plugin

    @staticmethod
    def uninstall(server):
        """Be without a clone plugin (a data directory that was used before may still name one)."""
        if server.value("SELECT COUNT(*) FROM information_schema.plugins WHERE plugin_name = 'clone'"):
            server.sql('UNINSTALL PLUGIN clone')

    def statement(self, case, target):
        """(server, its CLONE statement) of a case."""
        if case == 'local':
            return self.donor, f"CLONE LOCAL DATA DIRECTORY = '{target}'"
        return self.recipient, (f"CLONE INSTANCE FROM '{USER}'@'127.0.0.1':{self.donor.port} IDENTIFIED BY "
                                f"'{PASSWORD}' DATA DIRECTORY = '{target}' {CLAUSES[case]}")

    def clone(self, case, plugin):
        """One clone; what it took. The target is removed again."""
        self.install(plugin)
        target = os.path.join(self.box.path('clones'), 'c')
        server, statement = self.statement(case, target)
        quiet(self.drop)
        conn = server.connect()
        try:
            with Meter(self.servers) as meter, conn.cursor() as cur:
                cur.execute(statement)
            began = time.monotonic()
            os.sync()
            meter.result['sync_after'] = time.monotonic() - began
            meter.result['files'], meter.result['bytes'] = tree_size(target)
            self.verify_size(meter.result['bytes'], case, plugin)
        finally:
            conn.close()
            shutil.rmtree(target, ignore_errors=True)
        return dict(meter.result, case=case, plugin=plugin)

    def verify_size(self, got, case, plugin):
        """A clone that is smaller than its donor would be fast."""
        want = tree_size(self.donor.datadir)[1]
        if got < want:
            raise RuntimeError(f'{case} by {plugin}: the clone has {got} bytes of tablespaces, the donor {want}')

    def close(self):
        """Leave the donor's data directory without a plugin and without logs of this run."""
        for server in self.servers:
            self.uninstall(server)
        self.donor.sql('RESET BINARY LOGS AND GTIDS')
        for server in self.servers:
            server.stop()


def tree_size(path):
    """(number of tablespaces, their bytes) below path. The #... directories hold redo and temporary ones."""
    files = [os.path.join(d, f) for d, _, names in os.walk(path) for f in names
             if f.endswith('.ibd') and '#' not in os.path.relpath(d, path)]
    return len(files), sum(os.path.getsize(f) for f in files)


def quiet(drop):
    """The same state before every clone: nothing dirty, and with drop nothing cached."""
    os.sync()
    if drop:
        with open('/proc/sys/vm/drop_caches', 'w', encoding='ascii') as f:
            f.write('3')
    time.sleep(SETTLE_S)


def can_drop_caches():
    """Dropping the page cache needs root (and a kernel that lets it). Source: proc_sys_vm(5)."""
    return os.access('/proc/sys/vm/drop_caches', os.W_OK)
