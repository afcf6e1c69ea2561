# SPDX-License-Identifier: GPL-2.0-only
"""GTID sets: parse, print, subtract. Tags (uuid:tag:1-5) are part of the source's name."""


def merge(intervals):
    """Sorted, disjoint, non-adjacent copy of a list of (first, last)."""
    out = []
    for first, last in sorted(intervals):
        if out and first <= out[-1][1] + 1:
            out[-1] = (out[-1][0], max(out[-1][1], last))
        else:
            out.append((first, last))
    return out


class GtidSet:
    """An immutable set; `sources` maps 'uuid' or 'uuid:tag' to sorted disjoint (first, last) pairs."""

    def __init__(self, sources=()):
        self.sources = {s: merge(i) for s, i in dict(sources).items() if i}

    @classmethod
    def parse(cls, text):
        """From a server's text, e.g. 'uuid:1-5:7,uuid2:tag:1'."""
        sources = {}
        for part in filter(None, (p.strip() for p in (text or '').replace('\n', '').split(','))):
            uuid, *rest = part.split(':')
            source = uuid
            for item in rest:
                if item[0].isdigit():
                    first, _, last = item.partition('-')
                    sources.setdefault(source, []).append((int(first), int(last or first)))
                else:
                    source = f'{uuid}:{item}'
        return cls(sources)

    @classmethod
    def of(cls, gtids):
        """From single GTIDs as text ('uuid:5')."""
        sources = {}
        for gtid in gtids:
            source, _, number = gtid.rpartition(':')
            sources.setdefault(source, []).append((int(number), int(number)))
        return cls(sources)

    def __contains__(self, gtid):
        source, _, number = gtid.rpartition(':')
        return any(a <= int(number) <= b for a, b in self.sources.get(source, ()))

    def __sub__(self, other):
        left = {}
        for source, intervals in self.sources.items():
            rest = list(intervals)
            for a, b in other.sources.get(source, ()):
                rest = [piece for x, y in rest for piece in ((x, min(y, a - 1)), (max(x, b + 1), y))
                        if piece[0] <= piece[1]]
            left[source] = rest
        return GtidSet(left)

    def __or__(self, other):
        return GtidSet({s: self.sources.get(s, []) + other.sources.get(s, [])
                        for s in {*self.sources, *other.sources}})

    def __eq__(self, other):
        return self.sources == other.sources

    def __bool__(self):
        return bool(self.sources)

    def __len__(self):
        return sum(b - a + 1 for i in self.sources.values() for a, b in i)

    def __str__(self):
        return ','.join(f'{s}:' + ':'.join(f'{a}-{b}' if b > a else f'{a}' for a, b in i)
                        for s, i in sorted(self.sources.items()))
