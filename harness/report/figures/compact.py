"""Smaller SVG files that look the same: matplotlib writes for readers of the source."""

from __future__ import annotations

import re

#: Coordinates, and their decimals beyond a hundredth of a point, which nobody sees.  Scales keep theirs.
_NUMBERS = re.compile(rb' (?:d|x|y)="[^"]*"')
_DECIMALS = re.compile(rb"(\.\d\d)\d+")
_INDENT = re.compile(rb"\n +")
_ID = re.compile(rb' id="([^"]+)"')
_REFERENCE = re.compile(rb'(="|url\()#([^")]+)')


def compact(svg: bytes) -> bytes:
    """Round coordinates, drop indents and ids that nothing refers to, and shorten the others."""
    svg = _NUMBERS.sub(lambda found: _DECIMALS.sub(rb"\1", found.group()), svg)
    svg = _INDENT.sub(b"\n", svg)
    used = {name for _, name in _REFERENCE.findall(svg)}
    names = dict.fromkeys(name for name in _ID.findall(svg) if name in used)
    short = {name: b"i%x" % number for number, name in enumerate(names)}
    svg = _ID.sub(lambda found: b' id="%s"' % short[found[1]] if found[1] in short else b"", svg)
    return _REFERENCE.sub(lambda found: b"%s#%s" % (found[1], short.get(found[2], found[2])), svg)
