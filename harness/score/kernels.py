"""The loops that scoring spends its time in, compiled by numba.

Label maps come here as their bytes: C-contiguous, native unsigned integers of 1, 2 or 4 bytes, both maps
alike, seen as read-only uint8 arrays.  So each loop is compiled once, whatever the dtype.  64 labels are
compared at a time; what comes out is a word, whose bit k tells about label k, and all geometry is done on
such words: a mask, or the places of its surface elements, takes one bit per voxel.

All that is compiled stands in this one file, since numba compiles anew what it kept on disk only when
the file of the function itself has changed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic as untyped_intrinsic

from harness.compiled import compiled

Bytes = npt.NDArray[np.uint8]
Words = npt.NDArray[np.uint64]
Integers = npt.NDArray[np.int64]
Extents = npt.NDArray[np.int32]

intrinsic: Callable[[Callable[..., Any]], Callable[..., Any]] = untyped_intrinsic

#: Beyond so many steps along the last axis, words are not shifted but searched.
MAX_SHIFT = 63
#: Rows of an image that are judged at once, where no more are in reach.
_BAND = 128
#: Rows of an image are fetched when so many rows are still to be looked at before them.
_ROWS_AHEAD = 16
#: Words of zeros before an image's first row of bits.
_LEAD = 2

_ZERO = np.uint64(0)
_ONE = np.uint64(1)
_PAIR = np.uint64(3)
_TOP = np.uint64(63)
_ALL = np.uint64(2**64 - 1)
#: A plain 0 is of a type of its own, for which all that it is handed to would be compiled once more.
_NOUGHT: int = np.int64(0)  # type: ignore[assignment]


# ------------------------------------------------------------------ words


def _lanes(builder: Any, array: Any, place: Any, itemsize: int) -> Any:
    """64 labels from this place on, as a vector; nothing is asked of their alignment."""
    lanes = ir.VectorType(ir.IntType(8 * itemsize), 64)
    start = builder.gep(array.data, [builder.mul(place, place.type(itemsize))])
    loaded = builder.load(builder.bitcast(start, lanes.as_pointer()))
    loaded.align = 1
    return loaded


def _make_comparisons(itemsize: int) -> tuple[Any, Any, Any]:
    """Functions on the bytes of labels of this size: to read one, to find changes, and to find a value."""

    @intrinsic
    def label(typing_context: Any, labels: Any, place: Any) -> Any:
        """The label at this place."""

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            array = context.make_array(signature.args[0])(context, builder, args[0])
            start = builder.gep(array.data, [builder.mul(args[1], args[1].type(itemsize))])
            loaded = builder.load(builder.bitcast(start, ir.IntType(8 * itemsize).as_pointer()))
            loaded.align = 1
            return builder.zext(loaded, ir.IntType(64))

        return types.int64(labels, types.int64), generate

    @intrinsic
    def changes(typing_context: Any, labels: Any, place: Any) -> Any:
        """Bit k: whether label ``place + k`` differs from the one before it."""

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            array = context.make_array(signature.args[0])(context, builder, args[0])
            before = builder.sub(args[1], args[1].type(1))
            differ = builder.icmp_unsigned(
                "!=", _lanes(builder, array, args[1], itemsize), _lanes(builder, array, before, itemsize)
            )
            return builder.bitcast(differ, ir.IntType(64))

        return types.uint64(labels, types.int64), generate

    @intrinsic
    def equals(typing_context: Any, labels: Any, place: Any, value: Any) -> Any:
        """Bit k: whether label ``place + k`` has this value."""

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            array = context.make_array(signature.args[0])(context, builder, args[0])
            found = _lanes(builder, array, args[1], itemsize)
            element = builder.trunc(args[2], found.type.element)
            single = builder.insert_element(ir.Constant(found.type, ir.Undefined), element, ir.IntType(32)(0))
            zeros = ir.Constant(ir.VectorType(ir.IntType(32), 64), [0] * 64)
            wanted = builder.shuffle_vector(single, ir.Constant(found.type, ir.Undefined), zeros)
            return builder.bitcast(builder.icmp_unsigned("==", found, wanted), ir.IntType(64))

        return types.uint64(labels, types.int64, types.int64), generate

    return label, changes, equals


_label_1, _changes_1, _equals_1 = _make_comparisons(1)
_label_2, _changes_2, _equals_2 = _make_comparisons(2)
_label_4, _changes_4, _equals_4 = _make_comparisons(4)


@intrinsic
def _lowest(typing_context: Any, word: Any) -> Any:
    """Position of the lowest set bit of a word that is not 0."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.IntType(1)(1))

    return types.int64(types.uint64), generate


@intrinsic
def _set_bits(typing_context: Any, word: Any) -> Any:
    """How many bits of a word are set."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.ctpop(args[0])

    return types.int64(types.uint64), generate


@intrinsic
def _prefetch(typing_context: Any, labels: Any, byte: Any) -> Any:
    """Have the cache line with this byte fetched, which may lie outside the array."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, args[0])
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [array.data.type, number, number, number])
        fetch = builder.module.globals.get("llvm.prefetch") or ir.Function(builder.module, kind, "llvm.prefetch")
        for_reading, keep, data = number(0), number(3), number(1)
        builder.call(fetch, [builder.gep(array.data, [args[1]]), for_reading, keep, data])
        return context.get_dummy_value()

    return types.none(labels, types.int64), generate


@compiled
def _label(labels: Bytes, itemsize: int, place: int) -> int:
    """The label at this place."""
    value: int
    if itemsize == 1:
        value = _label_1(labels, place)
    elif itemsize == 2:
        value = _label_2(labels, place)
    else:
        value = _label_4(labels, place)
    return value


@compiled
def _changes(labels: Bytes, itemsize: int, place: int, size: int) -> Any:
    """Bit k: whether label ``place + k`` differs from the one before it; background lies before the first."""
    word = _ZERO
    if place > 0 and place + 64 <= size:
        if itemsize == 1:
            word = _changes_1(labels, place)
        elif itemsize == 2:
            word = _changes_2(labels, place)
        else:
            word = _changes_4(labels, place)
        return word
    before = _label(labels, itemsize, place - 1) if place else 0
    for k in range(min(64, size - place)):
        here = _label(labels, itemsize, place + k)
        if here != before:
            word |= _ONE << np.uint64(k)
        before = here
    return word


@compiled
def _skip(reference: Bytes, prediction: Bytes, itemsize: int, place: int, size: int) -> int:
    """The first multiple of 64 from ``place`` on whose 64 labels hold a change, or that must be looked at closely."""
    if place > 0:
        if itemsize == 1:
            while place + 64 <= size and (_changes_1(reference, place) | _changes_1(prediction, place)) == _ZERO:
                place += 64
        elif itemsize == 2:
            while place + 64 <= size and (_changes_2(reference, place) | _changes_2(prediction, place)) == _ZERO:
                place += 64
        else:
            while place + 64 <= size and (_changes_4(reference, place) | _changes_4(prediction, place)) == _ZERO:
                place += 64
    return place


@compiled
def _equals(labels: Bytes, itemsize: int, place: int, count: int, value: int) -> Any:
    """Bit k of the first ``count``, at most 64: whether label ``place + k`` has this value."""
    word = _ZERO
    if (place + 64) * itemsize <= labels.size:
        if itemsize == 1:
            word = _equals_1(labels, place, value)
        elif itemsize == 2:
            word = _equals_2(labels, place, value)
        else:
            word = _equals_4(labels, place, value)
        return word if count == 64 else word & ((_ONE << np.uint64(count)) - _ONE)
    for k in range(count):
        if _label(labels, itemsize, place + k) == value:
            word |= _ONE << np.uint64(k)
    return word


# ------------------------------------------------------------------ counts and boxes


@compiled
def _widen(
    label: int, slab: int, plane: int, row: int, start: int, stop: int, boxes: Extents, extents: Extents
) -> None:
    """Let a label's box and its extent in a slab hold a run of voxels."""
    if boxes[label, 0] < 0:
        boxes[label, 0] = plane
    boxes[label, 1] = plane + 1  # runs come plane by plane
    if extents[label, slab, 1] == 0:
        extents[label, slab, 0], extents[label, slab, 1] = row, row + 1
        extents[label, slab, 2], extents[label, slab, 3] = start, stop
        return
    extents[label, slab, 0] = min(extents[label, slab, 0], row)
    extents[label, slab, 1] = max(extents[label, slab, 1], row + 1)
    extents[label, slab, 2] = min(extents[label, slab, 2], start)
    extents[label, slab, 3] = max(extents[label, slab, 3], stop)


@compiled
def _enter_run(
    ours: int,
    theirs: int,
    slab: int,
    plane: int,
    row: int,
    start: int,
    stop: int,
    counts: Integers,
    boxes: Extents,
    extents: Extents,
) -> None:
    """Enter a run of voxels, ``start`` to ``stop`` in a row, which has a label in either map."""
    length = stop - start
    counts[0, ours] += length
    counts[1, theirs] += length
    if ours == theirs:
        counts[2, ours] += length
        _widen(ours, slab, plane, row, start, stop, boxes, extents)
        return
    if ours:
        _widen(ours, slab, plane, row, start, stop, boxes, extents)
    if theirs:
        _widen(theirs, slab, plane, row, start, stop, boxes, extents)


@compiled
def count_labels(
    reference: Bytes,
    prediction: Bytes,
    itemsize: int,
    rows: int,
    width: int,
    highest: int,
    thickness: int,
    counts: Integers,
    boxes: Extents,
    extents: Extents,
) -> None:
    """Voxels and boxes of the labels 1..highest of two label maps, in one pass over both.

    Args:
        reference, prediction: the bytes of both maps, planes of ``rows`` by ``width`` voxels.
        itemsize: bytes of a label.
        thickness: planes of a slab.
        counts: (3, highest + 1) zeros; gets the voxels in the reference, in the prediction, and with the
            same label in both.
        boxes: (highest + 1, 6) filled with -1; gets first and last + 1 along each axis of the label's
            voxels in either map.
        extents: (highest + 1, slabs, 4) zeros; gets the same along the last two axes for each slab, zeros
            where the label is not in it.
    """
    size = reference.size // itemsize
    ours = theirs = _NOUGHT  # labels of the run that lasts
    start = 0  # its first voxel
    slab = plane = row = row_start = 0
    next_row = width
    place = -64
    while place + 64 < size:
        place += 64
        if ours | theirs == 0:
            place = _skip(reference, prediction, itemsize, place, size)
            if place >= size:
                break
            if next_row <= place:  # rows of background were passed over
                row_number = place // width
                row_start, next_row = row_number * width, (row_number + 1) * width
                plane, row = row_number // rows, row_number % rows
                slab = plane // thickness
        word = _changes(reference, itemsize, place, size) | _changes(prediction, itemsize, place, size)
        while next_row < min(place + 64, size):
            word |= _ONE << np.uint64(next_row - place)  # runs end with their row
            next_row += width
        while word:
            here = place + _lowest(word)
            word &= word - _ONE
            if ours | theirs:
                _enter_run(ours, theirs, slab, plane, row, start - row_start, here - row_start, counts, boxes, extents)
            if here - row_start == width:
                row_start = here
                row += 1
                if row == rows:
                    row = 0
                    plane += 1
                    slab = plane // thickness
            start = here
            ours, theirs = _label(reference, itemsize, here), _label(prediction, itemsize, here)
            ours = _NOUGHT if ours > highest else ours
            theirs = _NOUGHT if theirs > highest else theirs
    if ours | theirs:
        _enter_run(ours, theirs, slab, plane, row, start - row_start, size - row_start, counts, boxes, extents)
    for label in range(1, highest + 1):
        box = boxes[label]
        if box[0] >= 0:
            box[2], box[4], box[3], box[5] = rows, width, 0, 0
            for slab in range(box[0] // thickness, (box[1] - 1) // thickness + 1):
                extent = extents[label, slab]
                if extent[1]:
                    box[2], box[3] = min(box[2], extent[0]), max(box[3], extent[1])
                    box[4], box[5] = min(box[4], extent[2]), max(box[5], extent[3])


# ------------------------------------------------------------------ surfaces


@compiled
def _tally(found: np.uint64, masks: Words, rows: tuple[int, int, int, int], word: int, histogram: Integers) -> None:
    """Count the codes of the elements in one word.

    Args:
        found: the elements.
        rows: where the mask's rows begin that meet there: (-1, -1), (-1, 0), (0, -1), (0, 0) along the
            first two axes.
        word: the word's number in its row.
        histogram: (256,); two bits of a code tell of each row, the lower of the voxel before the corner.
    """
    p0, p1, p2, p3 = rows[0] + word, rows[1] + word, rows[2] + word, rows[3] + word
    m0, m1, m2, m3 = masks[p0], masks[p1], masks[p2], masks[p3]
    # Shifted by one, so that bits k and k + 1 are the voxels before and behind corner k.
    b0, b1, b2, b3 = m0 << _ONE, m1 << _ONE, m2 << _ONE, m3 << _ONE
    if word:
        b0 |= masks[p0 - 1] >> _TOP
        b1 |= masks[p1 - 1] >> _TOP
        b2 |= masks[p2 - 1] >> _TOP
        b3 |= masks[p3 - 1] >> _TOP
    if found >> _TOP:
        found &= _ALL >> _ONE
        code = (b0 >> _TOP) | (m0 >> _TOP) << _ONE | ((b1 >> _TOP) | (m1 >> _TOP) << _ONE) << np.uint64(2)
        code |= ((b2 >> _TOP) | (m2 >> _TOP) << _ONE) << np.uint64(4)
        code |= ((b3 >> _TOP) | (m3 >> _TOP) << _ONE) << np.uint64(6)
        histogram[np.int64(code)] += 1
    while found:
        k = np.uint64(_lowest(found))
        found &= found - _ONE
        code = (b0 >> k & _PAIR) | (b1 >> k & _PAIR) << np.uint64(2)
        code |= (b2 >> k & _PAIR) << np.uint64(4) | (b3 >> k & _PAIR) << np.uint64(6)
        histogram[np.int64(code)] += 1


@compiled
def _smear(left: np.uint64, middle: np.uint64, right: np.uint64, steps: int) -> tuple[np.uint64, np.uint64, np.uint64]:
    """Set all bits of three neighbouring words that lie within so many steps of a set one."""
    done = 0
    while done < steps:
        step = min(steps - done, 2 * done + 1)
        up, down = np.uint64(step), np.uint64(64 - step)
        left, middle, right = (
            left | left << up | left >> up | middle << down,
            middle | middle << up | left >> down | middle >> up | right << down,
            right | right << up | middle >> down | right >> up,
        )
        done += step
    return left, middle, right


@compiled
def _holds(row: Words, start: int, first: int, last: int, width: int) -> bool:
    """Whether one of the bits first..last is set in the row of ``width`` bits that begins at this word."""
    first, last = max(first, 0), min(last, width - 1)
    if first > last:
        return False
    low, high = first >> 6, last >> 6
    for word in range(low, high + 1):
        bits = row[start + word]
        if word == low:
            bits &= _ALL << np.uint64(first & 63)
        if word == high:
            bits &= _ALL >> np.uint64(63 - (last & 63))
        if bits:
            return True
    return False


@compiled
def _not_near(left: np.uint64, other: Words, place: int, columns: Integers, count: int) -> np.uint64:
    """Those elements of a word that no column holds, where steps do not pass MAX_SHIFT.

    Args:
        left: the elements.
        other: rows of the other surface's elements, each followed by a word of zeros.
        place: the word's, counted from where the columns start.
        columns: (n, 2), of which the first ``count`` are looked at: where a column starts, and how far along
            the last axis an element in it may lie; the latter falling.
    """
    if count == 0:
        return left
    if columns[0, 1] == 0:
        for column in range(count):
            left &= ~other[columns[column, 0] + place]
            if left == _ZERO:
                break
        return left
    # The words of all columns so far, smeared by what their steps exceed the last one's.
    before = here = behind = _ZERO
    look = 4
    for column in range(count):
        at = columns[column, 0] + place
        before |= other[at - 1]
        here |= other[at]
        behind |= other[at + 1]
        rest = columns[column, 1]
        if column == look or column == count - 1:
            look *= 4
            left &= ~_smear(before, here, behind, rest)[1]
            if left == _ZERO or column == count - 1:
                break
        less = rest - columns[column + 1, 1]
        if less:
            before, here, behind = _smear(before, here, behind, less)
    return left


@compiled
def _not_in_reach(
    left: np.uint64, other: Words, offset: int, word: int, columns: Integers, count: int, width: int
) -> np.uint64:
    """The same for any steps, element by element; rows of ``width`` bits begin ``offset`` behind the columns' start."""
    todo = left
    while todo:
        bit = _lowest(todo)
        todo &= todo - _ONE
        k = 64 * word + bit
        for column in range(count):
            if _holds(other, columns[column, 0] + offset, k - columns[column, 1], k + columns[column, 1], width):
                left &= ~(_ONE << np.uint64(bit))
                break
    return left


@compiled
def _judge_ties(
    left: np.uint64, other: Words, offset: int, word: int, torn: Integers, count: int, width: int
) -> tuple[np.uint64, np.uint64]:
    """Judge elements without a surely near one by those that lie at the tolerance.

    Args:
        left: the elements of a word.
        other: the other surface's elements, in rows of ``width`` bits.
        offset: where the word's row begins, counted from where the columns start.
        word: the word's number in its row.
        torn: (n, 4), of which the first ``count`` are looked at: where a column starts, and three offsets,
            as `volume_surfaces` takes them.

    Returns:
        the elements beyond the tolerance, and those that have elements at it on both sides by rounding.
    """
    beyond, tied = left, _ZERO
    while left:
        bit = _lowest(left)
        left &= left - _ONE
        k = 64 * word + bit
        within = past = False
        for column in range(count):
            row, near, edge, end = torn[column, 0] + offset, torn[column, 1], torn[column, 2], torn[column, 3]
            within |= _holds(other, row, k + near + 1, k + edge, width)
            within |= _holds(other, row, k - edge, k - near - 1, width)
            past |= _holds(other, row, k + edge + 1, k + end, width)
            past |= _holds(other, row, k - end, k - edge - 1, width)
        if within:
            beyond &= ~(_ONE << np.uint64(bit))
            if past:
                tied |= _ONE << np.uint64(bit)
    return beyond, tied


@compiled
def _enter_ties(
    elements: np.uint64, ties: Extents, tied: int, number: int, side: int, plane: int, line: int, corner: int
) -> int:
    """Enter elements of a word as ties, as far as there is room; ``corner`` is the word's first.  Returns how many."""
    while elements:
        if tied < len(ties):
            ties[tied, 0], ties[tied, 1], ties[tied, 2], ties[tied, 3] = number, side, plane, line
            ties[tied, 4] = corner + _lowest(elements)
        tied += 1
        elements &= elements - _ONE
    return tied


# ------------------------------------------------------------------ surfaces of volumes


class _Layout(NamedTuple):
    """How the bits of one class's box lie in memory.

    Planes are kept in rings, 2^n of them: those of masks as long as codes are read from them, those of
    surfaces while they are in reach.  A mask's plane has a row of background before and behind; a surface's
    plane has rows without elements before and behind, and a word of zeros behind each row.

    Attributes:
        depth, length: voxels along the first and the last axis.
        lines: rows of corners in a plane.
        words: words of a row of corners, hence of voxels.
        mask_plane, surface_plane, surface_row: words of each.
        mask_ring, surface_ring: planes in each ring, less one.
        margin: rows without elements on either side of a surface's plane.
        ahead: planes in reach.
    """

    depth: int
    length: int
    lines: int
    words: int
    mask_plane: int
    mask_ring: int
    surface_plane: int
    surface_row: int
    surface_ring: int
    margin: int
    ahead: int


@compiled
def _ring(planes: int) -> int:
    """One less than the least power of two that is not less."""
    size = 1
    while size < planes:
        size *= 2
    return size - 1


@compiled
def _layout(box: Extents, reach_0: int, reach_1: int) -> _Layout:
    """The layout for a box and the largest offsets along the first two axes."""
    depth, height, length = int(box[1] - box[0]), int(box[3] - box[2]), int(box[5] - box[4])
    words = (length >> 6) + 1
    ahead, margin = min(reach_0, depth), min(reach_1, height)
    return _Layout(
        depth,
        length,
        height + 1,
        words,
        (height + 2) * words,
        _ring(ahead + 2),
        (height + 1 + 2 * margin) * (words + 1),
        words + 1,
        _ring(min(2 * ahead, depth) + 1),
        margin,
        ahead,
    )


@compiled
def _corner_rows(layout: _Layout, plane: int, line: int) -> tuple[int, int, int, int]:
    """Where the four mask rows begin that meet at a row of corners."""
    upper = ((plane - 1) & layout.mask_ring) * layout.mask_plane + line * layout.words
    lower = (plane & layout.mask_ring) * layout.mask_plane + line * layout.words
    return upper, upper + layout.words, lower, lower + layout.words


@compiled
def _surface_line(layout: _Layout, plane: int, line: int) -> int:
    """Where a row of corners begins; a word lies before the first plane."""
    start = 1 + (plane & layout.surface_ring) * layout.surface_plane
    return start + (line + layout.margin) * layout.surface_row


@compiled
def _clear(words: Words, start: int, row: int, part: Integers) -> None:
    """Set words to 0: of the rows part[0] to part[1], each ``row`` words long, the words part[2] to part[3]."""
    for line in range(part[0], part[1]):
        for word in range(part[2], part[3]):
            words[start + line * row + word] = _ZERO


@compiled
def _clear_plane(
    masks: Words, layout: _Layout, plane: int, mask_part: Integers, surfaces: Words, surface_part: Integers
) -> None:
    """Make room for a plane in the rings of both sides, whose old rows and words these are."""
    mask_start = (plane & layout.mask_ring) * layout.mask_plane + layout.words
    surface_start = _surface_line(layout, plane, 0)
    for side in range(2):
        _clear(masks[side], mask_start, layout.words, mask_part)
        _clear(surfaces[side], surface_start, layout.surface_row, surface_part)
    mask_part[:] = 0
    surface_part[:] = 0


@compiled
def _enter_extent(box: Extents, extent: Extents, part: Integers) -> None:
    """Rows and words of a mask's plane that an extent of its label takes, where there is one."""
    if extent[1]:
        part[0], part[1] = extent[0] - box[2], extent[1] - box[2]
        part[2], part[3] = (extent[2] - box[4]) >> 6, ((extent[3] - box[4] - 1) >> 6) + 1


@compiled
def _join_parts(layout: _Layout, above: Integers, below: Integers, part: Integers) -> None:
    """Rows and words of a surface's plane that the planes of the mask above and below it take."""
    for plane in (above, below):
        if plane[1]:  # there are corners behind the last voxels
            last_line, last_word = min(plane[1] + 1, layout.lines), min(plane[3] + 1, layout.words)
            if part[1]:
                part[0], part[1] = min(part[0], plane[0]), max(part[1], last_line)
                part[2], part[3] = min(part[2], plane[2]), max(part[3], last_word)
            else:
                part[0], part[1], part[2], part[3] = plane[0], last_line, plane[2], last_word


@compiled
def _fill_plane(
    masks: Words,
    layout: _Layout,
    plane: int,
    part: Integers,
    labels: Bytes,
    itemsize: int,
    value: int,
    place: int,
    width: int,
) -> None:
    """Set a plane of a mask from a label map, whose rows of ``width`` enter the box first at ``place``."""
    start = (plane & layout.mask_ring) * layout.mask_plane + layout.words
    place += width * part[0]
    for line in range(part[0], part[1]):
        # Rows lie far apart: without this, most of the time goes into waiting for them.
        _prefetch(labels, (place + 8 * width + 64 * part[2]) * itemsize)
        for word in range(part[2], part[3]):
            count = min(64, layout.length - 64 * word)
            masks[start + line * layout.words + word] = _equals(labels, itemsize, place + 64 * word, count, value)
        place += width


@compiled
def _find_elements(masks: Words, surfaces: Words, layout: _Layout, plane: int, part: Integers, total: Integers) -> None:
    """Find a plane's surface elements in a mask, and count their codes."""
    for line in range(part[0], part[1]):
        rows = _corner_rows(layout, plane, line)
        target = _surface_line(layout, plane, line)
        some_before = whole_before = _ZERO
        for word in range(part[2], part[3]):
            m0, m1, m2, m3 = masks[rows[0] + word], masks[rows[1] + word], masks[rows[2] + word], masks[rows[3] + word]
            some, whole = m0 | m1 | m2 | m3, m0 & m1 & m2 & m3
            found = some | some << _ONE | some_before >> _TOP
            found &= ~(whole & (whole << _ONE | whole_before >> _TOP))
            some_before, whole_before = some, whole
            surfaces[target + word] = found
            if found:
                _tally(found, masks, rows, word, total)


@compiled
def _enter_columns(layout: _Layout, plane: int, columns: Integers, entered: Integers) -> int:
    """Enter the columns that meet the box from this plane: where they start, and what else is known of them.

    Args:
        columns: (n, k) offsets along the first two axes, and more.
        entered: (n, k - 1), gets as many columns as are returned.
    """
    count = 0
    for column in range(len(columns)):
        other = plane + columns[column, 0]
        if 0 <= other <= layout.depth and abs(columns[column, 1]) <= layout.margin:
            other_plane = (other & layout.surface_ring) * layout.surface_plane
            entered[count, 0] = other_plane + columns[column, 1] * layout.surface_row
            for k in range(2, columns.shape[1]):
                entered[count, k - 1] = columns[column, k]
            count += 1
    return count


@compiled
def _compare(
    masks: Words,
    own: Words,
    other: Words,
    layout: _Layout,
    plane: int,
    part: Integers,
    columns: Integers,
    count: int,
    torn: Integers,
    torn_count: int,
    beyond: Integers,
    ties: Extents,
    tied: int,
    number: int,
    side: int,
) -> int:
    """Count the codes of a plane's elements that are beyond the tolerance.

    Args:
        masks, own, other: the mask and its surface, and the other surface.
        part: the plane's rows and words.
        columns, count, torn, torn_count: as `_enter_columns` gives them.
        ties: see `volume_surfaces`; ``number`` and ``side`` go into it.
        tied: ties so far.

    Returns:
        ties so far.
    """
    far = count > 0 and columns[0, 1] > MAX_SHIFT
    for line in range(part[0], part[1]):
        row, offset = _surface_line(layout, plane, line), _surface_line(layout, 0, line)
        for word in range(part[2], part[3]):
            left = own[row + word] & ~other[row + word]
            if left == _ZERO:
                continue
            if far:
                left = _not_in_reach(left, other, offset, word, columns, count, layout.length + 1)
            else:
                left = _not_near(left, other, offset + word, columns, count)
            if left and torn_count:
                left, both = _judge_ties(left, other, offset, word, torn, torn_count, layout.length + 1)
                tied = _enter_ties(both, ties, tied, number, side, plane, line, 64 * word)
            if left:
                _tally(left, masks, _corner_rows(layout, plane, line), word, beyond)
    return tied


@compiled
def volume_surfaces(
    reference: Bytes,
    prediction: Bytes,
    itemsize: int,
    rows: int,
    width: int,
    thickness: int,
    chosen: Integers,
    values: Integers,
    boxes: Extents,
    extents: Extents,
    reach_0: int,
    reach_1: int,
    columns: Integers,
    torn: Integers,
    totals: Integers,
    beyonds: Integers,
    ties: npt.NDArray[np.int32],
) -> int:
    """Count the surface elements of classes of two volumes, and those beyond the tolerance.

    An element beyond it has no element of the other surface at an offset in reach.

    Args:
        reference, prediction: the bytes of both maps, planes of ``rows`` by ``width`` voxels.
        itemsize: bytes of a label.
        thickness: planes of a slab.
        chosen: (n,) indices of the classes to count, present in both maps.
        values: (C, 2) label of each class in the reference and in the prediction.
        boxes: (C, 6) box of each class, as `count_labels` gives them.
        extents: (C, slabs, 4) likewise.
        reach_0, reach_1: the largest offsets along the first two axes.
        columns: (k, 3) offsets along the first two axes, and the largest offset along the last that is
            surely in reach there; the last falling.
        torn: (m, 5) offsets along the first two axes, and three offsets along the last: up to the first
            an element is surely near, up to the second it lies at the tolerance and, by rounding, within,
            up to the third at the tolerance and beyond.  None where all at it lie on one side.
        totals, beyonds: (n, 256) zeros; get elements by code of both surfaces together.  Two bits of a
            code tell of each row of voxels, (-1, -1), (-1, 0), (0, -1), (0, 0) from the corner, the lower of
            the voxel before it.
        ties: (t, 5); gets place in ``chosen``, side (0: the reference's) and corner in the box, as far as there is
            room, of elements that have nearest ones at the tolerance on both sides of it; those are not
            counted as beyond it.

    Returns:
        how many ties there are.
    """
    tied = _NOUGHT
    entered = np.empty((len(columns), 2), dtype=np.int64)
    entered_torn = np.empty((len(torn), 4), dtype=np.int64)
    for number in range(len(chosen)):
        index = chosen[number]
        box, extent = boxes[index], extents[index]
        layout = _layout(box, reach_0, reach_1)
        masks = np.zeros((2, (layout.mask_ring + 1) * layout.mask_plane), dtype=np.uint64)
        surfaces = np.zeros((2, 2 + (layout.surface_ring + 1) * layout.surface_plane), dtype=np.uint64)
        # The rows and words of each plane that may be other than 0.
        mask_parts = np.zeros((layout.mask_ring + 1, 4), dtype=np.int64)
        surface_parts = np.zeros((layout.surface_ring + 1, 4), dtype=np.int64)
        for front in range(layout.depth + 1 + layout.ahead):
            if front <= layout.depth:
                part, found = mask_parts[front & layout.mask_ring], surface_parts[front & layout.surface_ring]
                _clear_plane(masks, layout, front, part, surfaces, found)
                if front < layout.depth:
                    _enter_extent(box, extent[(box[0] + front) // thickness], part)
                    place = ((box[0] + front) * rows + box[2]) * width + box[4]
                    _fill_plane(masks[0], layout, front, part, reference, itemsize, values[index, 0], place, width)
                    _fill_plane(masks[1], layout, front, part, prediction, itemsize, values[index, 1], place, width)
                _join_parts(layout, mask_parts[(front - 1) & layout.mask_ring], part, found)
                _find_elements(masks[0], surfaces[0], layout, front, found, totals[number])
                _find_elements(masks[1], surfaces[1], layout, front, found, totals[number])
            plane = front - layout.ahead
            if plane < 0 or surface_parts[plane & layout.surface_ring, 1] == 0:
                continue
            found = surface_parts[plane & layout.surface_ring]
            count = _enter_columns(layout, plane, columns, entered)
            torn_count = _enter_columns(layout, plane, torn, entered_torn)
            for side in range(2):
                tied = _compare(
                    masks[side], surfaces[side], surfaces[1 - side], layout, plane, found,
                    entered, count, entered_torn, torn_count, beyonds[number],
                    ties, tied, number, side,
                )  # fmt: skip
    return tied


# ------------------------------------------------------------------ surfaces of images


class _Band(NamedTuple):
    """Some rows of corners of a class's box, those in reach of them, and how their bits lie in memory.

    Masks and surfaces have their rows at the same places, the first behind _LEAD words of zeros, and a word
    of zeros behind each.  So most loops run over all rows as if they were one, which vectorizes.  A row of
    corners lies between the row of pixels of the same number and the next one.

    Attributes:
        first: place in the label map of the first row of pixels; it may lie before the box, even before the map.
        rows: of corners; there is one more of pixels.
        ahead: how many of them at either end are there only for those between.
        left, right: first column, and last + 1, of the class's pixels in these rows; 0 where it has none.
        words: words of a row, with the one behind it.
    """

    first: int
    rows: int
    ahead: int
    left: int
    right: int
    words: int


@compiled
def _band_height(box: Extents, ahead: int) -> int:
    """Rows of corners of a box that are judged at once."""
    return min(max(_BAND, 2 * ahead), int(box[1] - box[0]) + 1)


@compiled
def _band(box: Extents, extent: Extents, thickness: int, judged: int, stop: int, ahead: int) -> _Band:
    """The band that judges the box's rows of corners ``judged`` to ``stop``."""
    first, rows = box[0] + judged - ahead - 1, stop - judged + 2 * ahead
    left = right = 0
    for slab in range(max(first, box[0]) // thickness, (min(first + rows + 1, box[1]) - 1) // thickness + 1):
        if extent[slab, 1]:
            left = min(left, extent[slab, 2]) if right else extent[slab, 2]
            right = max(right, extent[slab, 3])
    return _Band(first, rows, ahead, left, right, ((right - left) >> 6) + 2)


@compiled
def _fill_band(
    mask: Words,
    band: _Band,
    box: Extents,
    extent: Extents,
    thickness: int,
    labels: Bytes,
    itemsize: int,
    value: int,
    width: int,
) -> None:
    """Set a band of a mask from a label map whose rows are ``width`` long."""
    mask[: _LEAD + (band.rows + 1) * band.words] = _ZERO
    low, high = max(band.first, box[0]), min(band.first + band.rows + 1, box[1])
    for slab in range(low // thickness, (high - 1) // thickness + 1):
        if extent[slab, 1] == 0:
            continue
        first_word, last_word = (extent[slab, 2] - band.left) >> 6, (extent[slab, 3] - band.left - 1) >> 6
        last_byte = min((extent[slab, 3] - band.left - 64 * first_word) * itemsize, 192) - 1
        for row in range(max(low, slab * thickness), min(high, (slab + 1) * thickness)):
            start, place = _LEAD + (row - band.first) * band.words, row * width + band.left
            # Rows lie far apart: without this, most of the time goes into waiting for them.
            soon = (place + _ROWS_AHEAD * width + 64 * first_word) * itemsize
            _prefetch(labels, soon)
            _prefetch(labels, soon + 64)
            _prefetch(labels, soon + last_byte)
            for word in range(first_word, last_word + 1):
                count = min(64, band.right - band.left - 64 * word)
                mask[start + word] = _equals(labels, itemsize, place + 64 * word, count, value)


@compiled
def _find_band(mask: Words, surface: Words, band: _Band) -> None:
    """Find a band's surface elements: the inside of an object carries them too, so all corners of its pixels."""
    start, size = _LEAD, band.rows * band.words
    above, below = mask[start : start + size], mask[start + band.words :][:size]
    above_before, below_before = mask[start - 1 : start - 1 + size], mask[start - 1 + band.words :][:size]
    found = surface[start : start + size]
    for k in range(size):
        some = above[k] | below[k]
        found[k] = some | some << _ONE | (above_before[k] | below_before[k]) >> _TOP


@compiled
def _count_band(mask: Words, band: _Band, counts: Integers) -> None:
    """Count the corners, in the rows that a band judges, around which at least these pixels are set.

    Args:
        counts: (16,); gets numbers where four bits of the index tell of the pixels before and behind the corner in
            the row above, then below.  Of indices that differ by a shift only one gets numbers:
            in all rows of a box together each pixel is met in all four places, each pair of them in two.
    """
    start, size = _LEAD + band.ahead * band.words, (band.rows - 2 * band.ahead) * band.words
    above, below = mask[start : start + size], mask[start + band.words :][:size]
    above_before, below_before = mask[start - 1 : start - 1 + size], mask[start - 1 + band.words :][:size]
    pixels = across = down = falling = rising = no_a = no_b = no_c = no_d = whole = 0
    for k in range(size):
        b, d = above[k], below[k]
        a, c = b << _ONE | above_before[k] >> _TOP, d << _ONE | below_before[k] >> _TOP
        pixels += _set_bits(d)
        across += _set_bits(c & d)
        down += _set_bits(b & d)
        falling += _set_bits(a & d)
        rising += _set_bits(b & c)
        no_a += _set_bits(b & c & d)
        no_b += _set_bits(a & c & d)
        no_c += _set_bits(a & b & d)
        no_d += _set_bits(a & b & c)
        whole += _set_bits(a & b & c & d)
    counts[0b1000] += pixels
    counts[0b1100] += across
    counts[0b1010] += down
    counts[0b1001] += falling
    counts[0b0110] += rising
    counts[0b1110] += no_a
    counts[0b1101] += no_b
    counts[0b1011] += no_c
    counts[0b0111] += no_d
    counts[0b1111] += whole


@compiled
def _enter_counts(counts: Integers, histogram: Integers) -> None:
    """Enter counts of a box, as `_count_band` gives them, into a histogram of codes, (256,)."""
    counts[0b0001] = counts[0b0010] = counts[0b0100] = counts[0b1000]
    counts[0b0011], counts[0b0101] = counts[0b1100], counts[0b1010]
    for bit in (1, 2, 4, 8):  # from "at least" these to "just" these, pixel by pixel
        for index in range(16):
            if not index & bit:
                counts[index] -= counts[index | bit]
    for index in range(1, 16):
        histogram[(index & 3) << 2 | (index >> 2) << 6] += counts[index]


@compiled
def _find_near(other: Words, near: Words, spare: Words, band: _Band, columns: Integers, count: int) -> Words:
    """Find the places, in the rows that a band judges, near which elements of the other surface are.

    Args:
        other: the elements.
        near, spare: room.
        columns, count: as `_not_near` takes them, with steps up to MAX_SHIFT.

    Returns:
        that of ``near`` and ``spare`` that holds them, at the places of the surface's rows.
    """
    # With the word before the first row, since what is smeared beyond a row's start may come back.
    start, size = _LEAD - 1 + band.ahead * band.words, (band.rows - 2 * band.ahead) * band.words + 1
    near[start - 1 : start + size + 1] = _ZERO
    for column in range(count):
        shifted, joined = other[start + columns[column, 0] :][:size], near[start : start + size]
        for k in range(size):
            joined[k] |= shifted[k]
        less = columns[column, 1] - (columns[column + 1, 1] if column + 1 < count else 0)
        done = 0
        while done < less:
            step = min(less - done, 2 * done + 1)
            up, down = np.uint64(step), np.uint64(64 - step)
            before, here = near[start - 1 : start - 1 + size], near[start : start + size]
            behind, smeared = near[start + 1 : start + 1 + size], spare[start : start + size]
            for k in range(size):
                smeared[k] = here[k] | here[k] << up | here[k] >> up | before[k] >> down | behind[k] << down
            near, spare = spare, near
            done += step
    return near


@compiled
def _compare_band(
    mask: Words,
    own: Words,
    other: Words,
    near: Words,
    band: _Band,
    box: Extents,
    columns: Integers,
    count: int,
    torn: Integers,
    torn_count: int,
    beyond: Integers,
    ties: Extents,
    tied: int,
    number: int,
    side: int,
) -> int:
    """Count the codes of a band's elements that are beyond the tolerance.

    Arguments and result as `_compare`; ``near`` holds places that are near for sure.  Those that steps beyond
    MAX_SHIFT lead to need not be among them.
    """
    far = count > 0 and columns[0, 1] > MAX_SHIFT
    width = band.right - band.left + 1
    for row in range(band.ahead, band.rows - band.ahead):
        start = _LEAD + row * band.words
        for word in range(band.words - 1):
            at = start + word
            left = own[at] & ~near[at]
            if left == _ZERO:
                continue
            if far:
                left = _not_in_reach(left, other, start, word, columns, count, width)
            if left and torn_count:
                left, both = _judge_ties(left, other, start, word, torn, torn_count, width)
                line, corner = band.first + 1 + row - box[0], band.left - box[4] + 64 * word
                tied = _enter_ties(both, ties, tied, number, side, line, _NOUGHT, corner)
            if left:
                _tally_pixels(left, mask, at, at + band.words, beyond)
    return tied


@compiled
def _tally_pixels(found: np.uint64, mask: Words, above: int, below: int, histogram: Integers) -> None:
    """Count the codes of the elements in one word, between two of the mask."""
    b, d = mask[above], mask[below]
    a, c = b << _ONE | mask[above - 1] >> _TOP, d << _ONE | mask[below - 1] >> _TOP
    inside = found & a & b & c & d
    histogram[0b11001100] += _set_bits(inside)
    found &= ~inside
    while found:
        k = np.uint64(_lowest(found))
        found &= found - _ONE
        code = (a >> k & _ONE) << np.uint64(2) | (b >> k & _ONE) << np.uint64(3)
        code |= (c >> k & _ONE) << np.uint64(6) | (d >> k & _ONE) << np.uint64(7)
        histogram[np.int64(code)] += 1


@compiled
def _enter_rows(band: _Band, columns: Integers, entered: Integers) -> int:
    """What `_enter_columns` does, for a band; all columns are at offset 0 along the second axis."""
    count = 0
    for column in range(len(columns)):
        if abs(columns[column, 0]) <= band.ahead:
            entered[count, 0] = columns[column, 0] * band.words
            for k in range(2, columns.shape[1]):
                entered[count, k - 1] = columns[column, k]
            count += 1
    return count


@compiled
def image_surfaces(
    reference: Bytes,
    prediction: Bytes,
    itemsize: int,
    width: int,
    thickness: int,
    chosen: Integers,
    values: Integers,
    boxes: Extents,
    extents: Extents,
    reach: int,
    columns: Integers,
    torn: Integers,
    totals: Integers,
    beyonds: Integers,
    ties: npt.NDArray[np.int32],
) -> int:
    """What `volume_surfaces` does, for images taken as volumes one voxel thick.

    Arguments and result as there, an image's rows being planes of one row: of a place in the box, the second
    axis is always 0.  There are no corners between rows of a plane, but all corners of pixels are elements.
    """
    tied, room = _NOUGHT, 0
    for number in range(len(chosen)):
        box = boxes[chosen[number]]
        ahead = min(reach, box[1] - box[0])
        rows, words = _band_height(box, ahead) + 2 * ahead, ((box[5] - box[4]) >> 6) + 2
        room = max(room, _LEAD + (rows + 1) * words)
    masks, surfaces = np.zeros((2, room), dtype=np.uint64), np.zeros((2, room), dtype=np.uint64)
    near, spare = np.zeros(room, dtype=np.uint64), np.zeros(room, dtype=np.uint64)
    entered = np.empty((len(columns), 2), dtype=np.int64)
    entered_torn = np.empty((len(torn), 4), dtype=np.int64)
    counts = np.empty(16, dtype=np.int64)
    for number in range(len(chosen)):
        index = chosen[number]
        box, extent = boxes[index], extents[index]
        corners, ahead = box[1] - box[0] + 1, min(reach, box[1] - box[0])
        counts[:] = 0
        height = _band_height(box, ahead)
        for judged in range(0, corners, height):
            band = _band(box, extent, thickness, judged, min(judged + height, corners), ahead)
            if band.right == 0:
                continue
            for side in range(2):
                labels = prediction if side else reference
                _fill_band(masks[side], band, box, extent, thickness, labels, itemsize, values[index, side], width)
                _find_band(masks[side], surfaces[side], band)
                _count_band(masks[side], band, counts)
            count, torn_count = _enter_rows(band, columns, entered), _enter_rows(band, torn, entered_torn)
            far = count > 0 and entered[0, 1] > MAX_SHIFT
            for side in range(2):
                own, other = surfaces[side], surfaces[1 - side]
                places = other if far else _find_near(other, near, spare, band, entered, count)
                tied = _compare_band(
                    masks[side], own, other, places, band, box, entered, count, entered_torn, torn_count,
                    beyonds[number], ties, tied, number, side,
                )  # fmt: skip
        _enter_counts(counts, totals[number])
    return tied
