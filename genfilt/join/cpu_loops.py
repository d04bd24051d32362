"""The loops of the join on a CPU, compiled for the CPU at hand."""

# calls of compiled functions are not the Python ones
# mypy: disable-error-code="call-arg, var-annotated"

from __future__ import annotations

import numpy as np

from genfilt.join.codes import LIMIT, SHARES
from genfilt.join.compiled import compiled
from genfilt.join.llvm_scores import exact_score
from genfilt.join.llvm_tiles import ROWS, rotate, tile_masks
from genfilt.join.pairs import LANES, TOLERANCE

FOUND = 4096  # survivors between two rounds of exact scoring
BOUNDED = {"reassoc", "contract", "nsz"}  # sums of any order, whose worst error is allowed for


@compiled()
def lengths(vectors, width, rows, mean, mean2):  # type: ignore[no-untyped-def]
    """Largest squared length and squared distance from mean of rows (first, last)."""
    longest = furthest = 0.0
    for row in range(rows[0], rows[1]):
        here = vectors + row * width * 4
        square = exact_score(here, here, width)
        if not np.isfinite(square):
            return np.inf, np.inf
        longest = max(longest, square)
        furthest = max(furthest, square - 2.0 * exact_score(here, mean.ctypes.data, width) + mean2)
    return longest, furthest


@compiled(fastmath=BOUNDED)
def _nearest(x, centres, near):  # type: ignore[no-untyped-def]
    """The centre nearest to x; centres (c + 1, C) end in minus half their squared lengths."""
    last = len(centres) - 1
    near[:] = centres[last]
    for d in range(last):
        for c in range(len(near)):
            near[c] += x[d] * centres[d, c]
    return np.argmax(near)


@compiled(fastmath=BOUNDED)
def _encode_level(x, first, known, code, step):  # type: ignore[no-untyped-def]
    """Round x[first:known] into code; squared length and squared error."""
    square = error = np.float32(0)
    inverse = np.float32(1) / step
    for d in range(first, known):
        unit = min(max(np.rint(x[d] * inverse), np.float32(-LIMIT)), np.float32(LIMIT))
        code[d - first] = np.int8(unit)
        wrong = unit * step - x[d]
        square += x[d] * x[d]
        error += wrong * wrong
    return square, error


@compiled()
def _fill(entries, at, share):  # type: ignore[no-untyped-def]
    """Write a residual's share into the SHARES entries from `at` on; return where they end."""
    entries[at : at + SHARES] = share
    return at + SHARES


@compiled()
def encode(rows, rotation, levels, margins, left, out):  # type: ignore[no-untyped-def]
    """Code some rows of a side as `codes.encode` does, in loops.

    rows: address, width, first and last row, at least ROWS of them. rotation: basis (panels, width,
    LANES), start (panels, LANES) and centres. levels: known and stops. out: entries, offsets and
    groups, of the rows from the address on.
    """
    vectors, width, first, last = rows
    basis, start, centres = rotation
    known, stops = levels
    entries, offsets, groups = out
    block = np.empty((ROWS, *start.shape), np.float32)
    near = np.empty(centres.shape[1], np.float32)
    share_unit = margins.step * np.sqrt(SHARES)
    for begin in range(first, last, ROWS):
        here = min(begin, last - ROWS)
        for panel in range(len(basis)):
            rotate(vectors + here * width * 4, width, basis, panel, start, block)
        for r in range(ROWS):
            row, x = here + r, block[r].reshape(-1)
            address = vectors + row * width * 4
            square = exact_score(address, address, width)
            size = np.sqrt(square) + margins.own
            centred = square - 2.0 * x[known[-1]] + margins.own**2
            linear = x[known[-1] + 1] + 2.0 * margins.unit * size * margins.other
            explained = error2 = 0.0
            share = at = last_known = 0
            for level in range(len(known)):
                part, wrong = _encode_level(
                    x, last_known, known[level], entries[row, at:], np.float32(margins.step)
                )
                explained += part * (1 - 1e-5)
                error2 += wrong * (1 + 1e-5)
                at += known[level] - last_known
                last_known = known[level]
                if level:
                    at = _fill(entries[row], at, -share if left else share)
                residual = np.sqrt(max(centred - explained, 0.0) + margins.cushion * size * size)
                share = min(int(np.ceil(residual / share_unit + 1e-6)), LIMIT)
                _fill(entries[row], at, share)
                at = stops[level]
                error = np.sqrt(error2) + (margins.rounding + 1e-6) * size
                error += max(residual - LIMIT * share_unit, 0.0)
                bound = linear + error * margins.partner + margins.constant
                offsets[level, row] = int(np.ceil(bound * margins.scale)) + 1
            groups[row] = _nearest(x, centres, near)


@compiled()
def _keep(found, count, orders, vectors, threshold, out, kept):  # type: ignore[no-untyped-def]
    """Score the found pairs and append those that pass to out; return how many it holds."""
    width = vectors[2]
    for k in range(count):
        i, j = orders[0][found[0, k]], orders[1][found[1, k]]
        a, b = vectors[0] + i * width * 4, vectors[1] + j * width * 4
        score = exact_score(a, b, width)
        if score < threshold:
            lengths = np.sqrt(exact_score(a, a, width)) * np.sqrt(exact_score(b, b, width))
            if score < threshold - TOLERANCE * lengths:
                continue
        out[0][kept], out[1][kept], out[2][kept] = i, j, score
        kept += 1
    return kept


@compiled()
def scan(codes, orders, vectors, threshold, task, out):  # type: ignore[no-untyped-def]
    """Fill out with the pairs of one task, return their number; task says where to go on.

    codes: a, b, u, v and stops as the tile takes them. orders: the row of the vectors behind each
    coded row, left and right. vectors: both addresses and the width. task: first row, tiles of
    rows, first panel, panels, tiles done. out: left index, right index, score.
    """
    a, b, u, v, stops = codes
    columns = v.shape[1] // b.shape[0]
    masks = np.zeros(ROWS * columns // LANES, np.int16)
    found = np.empty((2, FOUND + ROWS * columns), np.int32)
    count = kept = 0
    panel, block = divmod(task[4], task[1])
    while panel < task[3]:
        while block < task[1]:
            row, column = task[0] + block * ROWS, (task[2] + panel) * columns
            if tile_masks(a, row, b, task[2] + panel, u, v, stops, masks):
                for place in range(len(masks)):
                    if masks[place]:
                        at = place * LANES
                        for lane in range(LANES):
                            if masks[place] >> lane & 1:
                                found[0, count] = row + at // columns
                                found[1, count] = column + at % columns + lane
                                count += 1
            block += 1
            if count >= FOUND:
                kept = _keep(found, count, orders, vectors, threshold, out, kept)
                count = 0
                if kept + found.shape[1] > len(out[0]):
                    task[4] = panel * task[1] + block
                    return kept
        panel, block = panel + 1, 0
    task[4] = task[1] * task[3]
    return _keep(found, count, orders, vectors, threshold, out, kept)
