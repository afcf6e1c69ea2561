# SPDX-License-Identifier: GPL-2.0-only
"""From measured clones to medians, ratios and marks."""
import statistics

from bench_limits import limit_s

# What was promised: (case, what, most). For wall and cpu the ratio ours / stock, for the daemon MiB.
MARKS = (('tls', 'wall', 1.0), ('tls', 'cpu', 0.95), ('plain', 'wall', 1.0), ('local', 'wall', 1.0),
         ('xfs local', 'wall', 0.1), ('btrfs local', 'wall', 0.1))
PEAK_MIB = 256
ROWS = (('wall', 'wall s'), ('cpu', 'CPU s'), ('sync_after', 'sync after it s'), ('cpu_elsewhere', 'CPU elsewhere s'))
RATIOS = ('wall', 'cpu')


def of(clones, case, plugin, what):
    """The values of one measure, in the order of the pairs."""
    return [c[what] for c in clones if c['case'] == case and c['plugin'] == plugin]


def ratios(clones, case, what):
    """ours / stock, pair by pair; [] when only one plugin ran."""
    return [a / b for a, b in zip(of(clones, case, 'ours', what), of(clones, case, 'stock', what)) if b]


def cases(clones):
    """Names of the cases, in the order they ran."""
    return list(dict.fromkeys(c['case'] for c in clones))


def median(values, width=8, digits=2):
    """Text of the median, '-' without values."""
    return f'{statistics.median(values):{width}.{digits}f}' if values else '-'.rjust(width)


def ratio_text(values):
    """'min median max' of ratios."""
    if not values:
        return ''
    return f'{min(values):7.2f}{statistics.median(values):8.2f}{max(values):7.2f}'


def case_lines(clones, case):
    """Table lines of one case."""
    best = [min(of(clones, case, p, 'wall'), default=0) for p in ('ours', 'stock')]
    for what, title in ROWS:
        values = [of(clones, case, p, what) for p in ('ours', 'stock')]
        yield (f'{case if what == "wall" else "":<12}{title:<16}{median(values[0])}{median(values[1])}'
               f'   {ratio_text(ratios(clones, case, what) if what in RATIOS else [])}')
        if what == 'wall' and all(best):
            yield f'{"":<12}{"fastest wall s":<16}{best[0]:8.2f}{best[1]:8.2f}   {best[0] / best[1]:15.2f}'


def cpu_lines(clones, case):
    """Where the CPU seconds went: mysqld's own and the daemon's, donor and recipient."""
    for plugin in ('ours', 'stock'):
        parts = of(clones, case, plugin, 'cpu_parts')
        if not parts:
            continue
        texts = []
        for server in parts[0]:
            sums = [statistics.median(p[server][k] for p in parts) for k in ('user', 'system', 'daemon')]
            texts.append(f'{server} mysqld {sums[0]:.2f} user {sums[1]:.2f} system' +
                         (f', daemon {sums[2]:.2f}' if sums[2] else ''))
        yield f'{case:<12}{plugin:<6} {"; ".join(texts)}'


def limit_lines(clones, limits):
    """The limit of each case and how near to it both are."""
    for case in cases(clones):
        size = statistics.median(c['bytes'] for c in clones if c['case'] == case)
        seconds, why = limit_s(case, size, limits)
        if seconds is None:
            yield f'{case:<12}limit not known: {why}'
            continue
        near = [f'{p} at {100 * seconds / statistics.median(of(clones, case, p, "wall")):.0f} %'
                for p in ('ours', 'stock') if of(clones, case, p, 'wall')]
        yield f'{case:<12}{seconds:.2f} s for {size / 1e6:.0f} MB ({why}); {", ".join(near)} of that speed'


def marks(clones):
    """[(text of the mark, measured, met)] of those that were measured."""
    found = []
    for case, what, most in MARKS:
        values = ratios(clones, case, what)
        if values:
            found.append((f'{case} {what}, ours / stock, at most {most:.2f}', statistics.median(values), most))
    peaks = [c['daemon_peak_mib'] for c in clones if c['plugin'] == 'ours']
    if peaks:
        found.append((f'peak memory of a daemon, at most {PEAK_MIB} MiB', max(peaks), PEAK_MIB))
    return [(text, value, value <= most) for text, value, most in found]


def text(clones, limits):
    """The whole report."""
    lines = [f'{"case":<12}{"median of":<16}{"ours":>8}{"stock":>8}   {"ours / stock: min median max":>22}']
    for case in cases(clones):
        lines += case_lines(clones, case)
    lines += ['', 'CPU, medians in seconds:']
    for case in cases(clones):
        lines += cpu_lines(clones, case)
    if limits:
        lines += ['', 'Limits: ' + ', '.join(f'{k} {v:.2f}' if v < 10 else f'{k} {v:.0f}' for k, v in limits.items())
                  + ' (MB/s; CPU s per 10^9 bytes; CPUs)']
        lines += limit_lines(clones, limits)
    lines += ['', 'Marks:']
    lines += [f'{"PASS" if met else "FAIL"}  {what}: {value:.2f}' for what, value, met in marks(clones)]
    return '\n'.join(lines)
