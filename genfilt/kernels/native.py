"""The inner loops of the join on a CPU, compiled for the CPU at hand.

A tile is ROWS rows against a panel of columns. It multiplies codes level by level in registers and
stops as soon as no pair of the tile can pass; what passes the last level is scored from the vectors
themselves. Where the CPU multiplies bytes (AVX512_VNNI) codes stay bytes, four to a lane; elsewhere
they become float32, in which the same integers and sums are exact. Both give the same survivors.
"""

# numba and llvmlite carry no types, and calls of compiled functions are not the Python ones
# mypy: disable-error-code="import-untyped, no-untyped-call, call-arg, var-annotated"

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from genfilt.kernels import LANES, TOLERANCE

ROWS = 6
BYTE_VECTORS, FLOAT_VECTORS = 4, 1  # registers that a panel is wide
FOUND = 4096  # survivors between two rounds of exact scoring

_I16, _I32, _I64 = ir.IntType(16), ir.IntType(32), ir.IntType(64)
_INTS = ir.VectorType(_I32, LANES)
_FLOATS = ir.VectorType(ir.FloatType(), LANES)
_DOUBLES = ir.VectorType(ir.DoubleType(), LANES)
_ARRAY = types.Array

llvm.initialize_native_asmparser()


def multiplies_bytes() -> bool:
    """Whether this CPU has the byte products (AVX512_VNNI) that the faster tile is made of."""
    features = llvm.get_host_cpu_features()
    return all(features.get(name, False) for name in ("avx512f", "avx512bw", "avx512vnni"))


def _number(value: int) -> ir.Constant:
    return ir.Constant(_I64, value)


def _load(builder: ir.IRBuilder, address: ir.Value, kind: ir.Type) -> ir.Value:
    value = builder.load(builder.inttoptr(address, ir.PointerType(kind)))
    value.align = 4
    return value


def _splat(builder: ir.IRBuilder, value: ir.Value) -> ir.Value:
    kind = ir.VectorType(value.type, LANES)
    first = builder.insert_element(ir.Constant(kind, ir.Undefined), value, ir.Constant(_I32, 0))
    return builder.shuffle_vector(first, first, ir.Constant(_INTS, [0] * LANES))


def _call(builder: ir.IRBuilder, name: str, kind: ir.Type, values: list[ir.Value]) -> ir.Value:
    signature = ir.FunctionType(kind, [value.type for value in values])
    return builder.call(cgutils.get_or_insert_function(builder.module, signature, name), values)


def _dot_bytes(builder: ir.IRBuilder, total: ir.Value, column: ir.Value, row: ir.Value) -> ir.Value:
    # written out because the intrinsic's operand types differ between releases of LLVM
    signature = ir.FunctionType(_INTS, [_INTS] * 3)
    instruction = ir.InlineAsm(signature, "vpdpbusd $3, $2, $0", "=v,0,v,v", side_effect=False)
    return builder.call(instruction, [total, column, row])


def _dot_floats(
    builder: ir.IRBuilder, total: ir.Value, column: ir.Value, row: ir.Value
) -> ir.Value:
    return _call(builder, f"llvm.fmuladd.v{LANES}f32", _FLOATS, [column, row, total])


class _Tile:
    """Emits one tile; `totals` is the (ROWS, vectors) block of registers."""

    def __init__(self, builder: ir.IRBuilder, bytes_: bool) -> None:
        self.builder = builder
        self.vectors = BYTE_VECTORS if bytes_ else FLOAT_VECTORS
        self.lane = _I32 if bytes_ else ir.FloatType()
        self.kind = ir.VectorType(self.lane, LANES)
        self.dot: Callable[..., ir.Value] = _dot_bytes if bytes_ else _dot_floats
        self.plus = builder.add if bytes_ else builder.fadd

    def phis(self) -> list[ir.Value]:
        return [self.builder.phi(self.kind) for _ in range(ROWS * self.vectors)]

    def at(self, base: ir.Value, index: ir.Value | int, scale: ir.Value | int) -> ir.Value:
        """The address base + index * scale."""
        index, scale = (_number(v) if isinstance(v, int) else v for v in (index, scale))
        return self.builder.add(base, self.builder.mul(index, scale))

    def offset(self, address: ir.Value, one: bool) -> ir.Value:
        value = _load(self.builder, address, _I32 if one else _INTS)
        if self.kind == _FLOATS:
            value = self.builder.sitofp(value, self.lane if one else self.kind)
        return _splat(self.builder, value) if one else value

    def add_offsets(
        self, totals: list[ir.Value], rows: ir.Value, columns: ir.Value
    ) -> list[ir.Value]:
        right = [self.offset(self.at(columns, c, 4 * LANES), False) for c in range(self.vectors)]
        result = []
        for r in range(ROWS):
            left = self.offset(self.at(rows, r, 4), True)
            result += [
                self.plus(totals[r * self.vectors + c], self.plus(left, right[c]))
                for c in range(self.vectors)
            ]
        return result

    def multiply(
        self,
        totals: list[ir.Value],
        group: ir.Value,
        row: ir.Value,
        stride: ir.Value,
        panel: ir.Value,
    ) -> list[ir.Value]:
        """One group of code entries: four bytes or one float a lane."""
        columns = self.at(panel, group, 4 * LANES * self.vectors)
        right = [
            _load(self.builder, self.at(columns, c, 4 * LANES), self.kind)
            for c in range(self.vectors)
        ]
        here = self.at(row, group, 4)
        result = []
        for r in range(ROWS):
            left = _splat(self.builder, _load(self.builder, self.at(here, r, stride), self.lane))
            result += [
                self.dot(self.builder, totals[r * self.vectors + c], right[c], left)
                for c in range(self.vectors)
            ]
        return result

    def signs(self, totals: list[ir.Value]) -> list[ir.Value]:
        return [self.builder.bitcast(total, _INTS) for total in totals]

    def mask(self, values: ir.Value) -> ir.Value:
        """Sixteen bits: which lanes are not negative."""
        passed = self.builder.icmp_signed(">=", values, ir.Constant(_INTS, [0] * LANES))
        return self.builder.bitcast(passed, _I16)


@intrinsic
def _tile(
    context: Any, a: Any, row: Any, b: Any, panel: Any, u: Any, v: Any, stops: Any, masks: Any
) -> Any:
    """1 and the masks of pairs that may pass, or 0 where none can.

    a (rows, entries) and b (panels, groups, columns...) are codes, u and v (levels, rows or
    columns) what each level adds to the offsets, stops the groups up to each level.
    """
    signature = types.int64(a, types.int64, b, types.int64, u, v, stops, masks)

    def generate(
        context: Any, builder: ir.IRBuilder, signature: Any, values: list[ir.Value]
    ) -> ir.Value:
        arrays = [
            context.make_array(kind)(context, builder, value)
            for kind, value in zip(signature.args, values, strict=True)
            if isinstance(kind, _ARRAY)
        ]
        data = [builder.ptrtoint(array.data, _I64) for array in arrays]
        stride = [cgutils.unpack_tuple(builder, array.strides)[0] for array in arrays]
        levels = cgutils.unpack_tuple(builder, arrays[4].shape)[0]
        tile = _Tile(builder, a.dtype == types.int8)
        rows = tile.at(data[0], values[1], stride[0])
        columns = tile.at(data[1], values[3], stride[1])
        row_offsets = tile.at(data[2], values[1], 4)
        column_offsets = tile.at(data[3], values[3], 4 * LANES * tile.vectors)

        entry = builder.block
        level_block, loop, after, more, hit, done = (
            builder.append_basic_block(name)
            for name in ("level", "loop", "after", "more", "hit", "done")
        )
        builder.branch(level_block)

        builder.position_at_end(level_block)
        level, first = builder.phi(_I64), builder.phi(_I64)
        carried = tile.phis()
        stop = _load(builder, tile.at(data[4], level, 8), _I64)
        begun = tile.add_offsets(
            carried,
            tile.at(row_offsets, level, stride[2]),
            tile.at(column_offsets, level, stride[3]),
        )
        builder.branch(loop)

        builder.position_at_end(loop)
        group = builder.phi(_I64)
        running = tile.phis()
        totals = tile.multiply(running, group, rows, stride[0], columns)
        following = builder.add(group, _number(1))
        builder.cbranch(builder.icmp_signed("<", following, stop), loop, after)
        group.add_incoming(first, level_block)
        group.add_incoming(following, loop)
        for phi, start, end in zip(running, begun, totals, strict=True):
            phi.add_incoming(start, level_block)
            phi.add_incoming(end, loop)

        builder.position_at_end(after)
        signs = tile.signs(totals)
        common = signs[0]
        for sign in signs[1:]:
            common = builder.and_(common, sign)
        none = builder.icmp_unsigned("==", tile.mask(common), ir.Constant(_I16, 0))
        builder.cbranch(none, done, more)

        builder.position_at_end(more)
        next_level = builder.add(level, _number(1))
        builder.cbranch(builder.icmp_signed("<", next_level, levels), level_block, hit)
        zero = ir.Constant(tile.kind, [0] * LANES)
        for phi, start, end in zip(
            [level, first, *carried],
            [_number(0), _number(0), *[zero] * len(carried)],
            [next_level, stop, *totals],
            strict=True,
        ):
            phi.add_incoming(start, entry)
            phi.add_incoming(end, more)

        builder.position_at_end(hit)
        for index, sign in enumerate(signs):
            pointer = builder.inttoptr(tile.at(data[5], index, 2), ir.PointerType(_I16))
            builder.store(tile.mask(sign), pointer)
        builder.branch(done)

        builder.position_at_end(done)
        result = builder.phi(_I64)
        result.add_incoming(_number(0), after)
        result.add_incoming(_number(1), hit)
        return result

    return signature, generate


@intrinsic
def _score(context: Any, a: Any, b: Any, width: Any) -> Any:
    """The exact score of two float32 rows, by address: lane d mod 16, then folded in halves."""

    def generate(
        context: Any, builder: ir.IRBuilder, signature: Any, values: list[ir.Value]
    ) -> ir.Value:
        whole = builder.and_(values[2], _number(-LANES))
        lanes = cgutils.alloca_once_value(builder, ir.Constant(_DOUBLES, [0.0] * LANES))

        def add(left: ir.Value, right: ir.Value) -> None:
            left, right = builder.fpext(left, _DOUBLES), builder.fpext(right, _DOUBLES)
            kept = builder.load(lanes)
            name = f"llvm.fmuladd.v{LANES}f64"
            builder.store(_call(builder, name, _DOUBLES, [left, right, kept]), lanes)

        with cgutils.for_range_slice(builder, _number(0), whole, _number(LANES)) as (start, _):
            shift = builder.mul(start, _number(4))
            add(*(_load(builder, builder.add(value, shift), _FLOATS) for value in values[:2]))
        tails = [
            cgutils.alloca_once_value(builder, ir.Constant(_FLOATS, [0.0] * LANES))
            for _ in range(2)
        ]
        with cgutils.for_range_slice(builder, whole, values[2], _number(1)) as (start, _):
            shift = builder.mul(start, _number(4))
            for value, tail in zip(values[:2], tails, strict=True):
                item = _load(builder, builder.add(value, shift), ir.FloatType())
                place = builder.trunc(builder.sub(start, whole), _I32)
                builder.store(builder.insert_element(builder.load(tail), item, place), tail)
        add(*(builder.load(tail) for tail in tails))
        total, size = builder.load(lanes), LANES
        while size > 1:
            size //= 2
            halves = (
                builder.shuffle_vector(
                    total, total, ir.Constant(ir.VectorType(_I32, size), list(indices))
                )
                for indices in (range(size), range(size, 2 * size))
            )
            total = builder.fadd(*halves)
        return builder.extract_element(total, ir.Constant(_I32, 0))

    return types.float64(types.int64, types.int64, types.int64), generate


@njit(nogil=True, cache=True)
def _keep(found, count, orders, vectors, threshold, out, kept):  # type: ignore[no-untyped-def]
    """Score the found pairs and append those that pass to out; return how many it holds."""
    width = vectors[2]
    for k in range(count):
        i, j = orders[0][found[0, k]], orders[1][found[1, k]]
        a, b = vectors[0] + i * width * 4, vectors[1] + j * width * 4
        score = _score(a, b, width)
        if score < threshold:
            lengths = np.sqrt(_score(a, a, width)) * np.sqrt(_score(b, b, width))
            if score < threshold - TOLERANCE * lengths:
                continue
        out[0][kept], out[1][kept], out[2][kept] = i, j, score
        kept += 1
    return kept


@njit(nogil=True, cache=True)
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
            if _tile(a, row, b, task[2] + panel, u, v, stops, masks):
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
