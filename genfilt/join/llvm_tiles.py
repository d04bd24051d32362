"""Machine instructions of the join's inner loops, as numba intrinsics.

A tile is ROWS rows against a panel of columns, kept in registers. Where the CPU multiplies bytes
(AVX512_VNNI) codes stay bytes, four to a lane; elsewhere they become float32, in which the same
integers and sums are exact. Both give the same survivors.

numba keeps compiled code by the file of the loop that calls these: save native.py after a change.
"""

# numba and llvmlite carry no types
# mypy: disable-error-code="import-untyped, no-untyped-call, attr-defined"

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic

from genfilt.join.pairs import LANES

ROWS = 6
BYTE_VECTORS, FLOAT_VECTORS = 4, 1  # registers that a panel is wide

_I16, _I32, _I64 = ir.IntType(16), ir.IntType(32), ir.IntType(64)
_INTS = ir.VectorType(_I32, LANES)
_FLOATS = ir.VectorType(ir.FloatType(), LANES)
_DOUBLES = ir.VectorType(ir.DoubleType(), LANES)

llvm.initialize_native_asmparser()


def multiplies_bytes() -> bool:
    """Whether code for this CPU may use the byte products (AVX512_VNNI) of the faster tile."""
    if config.CPU_NAME is not None or config.CPU_FEATURES is not None:
        return False  # numba was told to compile for another CPU
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
    """Emits a tile; its totals are variables that the compiler keeps in registers."""

    def __init__(self, builder: ir.IRBuilder, bytes_: bool) -> None:
        self.builder = builder
        self.vectors = BYTE_VECTORS if bytes_ else FLOAT_VECTORS
        self.lane = _I32 if bytes_ else ir.FloatType()
        self.kind = ir.VectorType(self.lane, LANES)
        self.dot: Callable[..., ir.Value] = _dot_bytes if bytes_ else _dot_floats
        self.plus = builder.add if bytes_ else builder.fadd
        self.totals = [
            [cgutils.alloca_once(builder, self.kind) for _ in range(self.vectors)]
            for _ in range(ROWS)
        ]

    def at(self, base: ir.Value, index: ir.Value | int, scale: ir.Value | int) -> ir.Value:
        """The address base + index * scale."""
        index, scale = (_number(v) if isinstance(v, int) else v for v in (index, scale))
        return self.builder.add(base, self.builder.mul(index, scale))

    def _integer(self, address: ir.Value, kind: ir.Type) -> ir.Value:
        value = _load(self.builder, address, kind)
        if self.kind != _FLOATS:
            return value
        return self.builder.sitofp(value, self.kind if kind == _INTS else self.lane)

    def offset(self, rows: ir.Value, columns: ir.Value, first: bool) -> None:
        """Set the totals to row plus column offsets, or add these to them."""
        builder = self.builder
        right = [self._integer(self.at(columns, c, 4 * LANES), _INTS) for c in range(self.vectors)]
        for r, totals in enumerate(self.totals):
            left = _splat(builder, self._integer(self.at(rows, r, 4), _I32))
            for total, column in zip(totals, right, strict=True):
                both = self.plus(left, column)
                builder.store(both if first else self.plus(builder.load(total), both), total)

    def multiply(self, group: ir.Value, row: ir.Value, stride: ir.Value, panel: ir.Value) -> None:
        """Add one group of entries to the totals: four bytes or one float a lane."""
        builder = self.builder
        columns = self.at(panel, group, 4 * LANES * self.vectors)
        right = [
            _load(builder, self.at(columns, c, 4 * LANES), self.kind) for c in range(self.vectors)
        ]
        here = self.at(row, group, 4)
        for r, totals in enumerate(self.totals):
            left = _splat(builder, _load(builder, self.at(here, r, stride), self.lane))
            for total, column in zip(totals, right, strict=True):
                builder.store(self.dot(builder, builder.load(total), column, left), total)

    def signs(self) -> list[ir.Value]:
        """The totals as integers, whose sign is theirs."""
        return [
            self.builder.bitcast(self.builder.load(total), _INTS)
            for totals in self.totals
            for total in totals
        ]

    def mask(self, values: ir.Value) -> ir.Value:
        """Sixteen bits: which lanes are not negative."""
        passed = self.builder.icmp_signed(">=", values, ir.Constant(_INTS, [0] * LANES))
        return self.builder.bitcast(passed, _I16)


def _unpack(
    context: Any, builder: ir.IRBuilder, signature: Any, values: list[ir.Value]
) -> list[Any]:
    """Address, first stride and array for an array argument, any other value as it is."""
    result = []
    for kind, value in zip(signature.args, values, strict=True):
        if isinstance(kind, types.Array):
            array = context.make_array(kind)(context, builder, value)
            strides = cgutils.unpack_tuple(builder, array.strides)
            result.append((builder.ptrtoint(array.data, _I64), strides[0], array))
        else:
            result.append(value)
    return result


@intrinsic
def tile_masks(
    context: Any, a: Any, row: Any, b: Any, panel: Any, u: Any, v: Any, stops: Any, masks: Any
) -> Any:
    """1 and the masks of pairs that may pass, or 0 where none can.

    a (rows, entries) and b (panels, groups, columns...) are codes, u and v (levels, rows or
    columns) what each level adds to the offsets, stops the groups up to each level.
    """

    def generate(
        context: Any, builder: ir.IRBuilder, signature: Any, values: list[ir.Value]
    ) -> ir.Value:
        a_, row_, b_, panel_, u_, v_, stops_, masks_ = _unpack(context, builder, signature, values)
        levels = cgutils.unpack_tuple(builder, stops_[2].shape)[0]
        tile = _Tile(builder, a.dtype == types.int8)
        rows, columns = tile.at(a_[0], row_, a_[1]), tile.at(b_[0], panel_, b_[1])
        left = tile.at(u_[0], row_, 4)
        right = tile.at(v_[0], panel_, 4 * LANES * tile.vectors)
        level = cgutils.alloca_once_value(builder, _number(0))
        group = cgutils.alloca_once_value(builder, _number(0))
        result = cgutils.alloca_once_value(builder, _number(0))
        loop, after, more, again, hit, done = (
            builder.append_basic_block(name)
            for name in ("loop", "after", "more", "again", "hit", "done")
        )
        tile.offset(left, right, first=True)
        builder.branch(loop)

        builder.position_at_end(loop)
        tile.multiply(builder.load(group), rows, a_[1], columns)
        following = builder.add(builder.load(group), _number(1))
        builder.store(following, group)
        stop = _load(builder, tile.at(stops_[0], builder.load(level), 8), _I64)
        builder.cbranch(builder.icmp_signed("<", following, stop), loop, after)

        builder.position_at_end(after)
        common = functools.reduce(builder.and_, tile.signs())
        none = builder.icmp_unsigned("==", tile.mask(common), ir.Constant(_I16, 0))
        builder.cbranch(none, done, more)

        builder.position_at_end(more)
        builder.store(builder.add(builder.load(level), _number(1)), level)
        builder.cbranch(builder.icmp_signed("<", builder.load(level), levels), again, hit)

        builder.position_at_end(again)
        at = builder.load(level)
        tile.offset(tile.at(left, at, u_[1]), tile.at(right, at, v_[1]), first=False)
        builder.branch(loop)

        builder.position_at_end(hit)
        for index, sign in enumerate(tile.signs()):
            pointer = builder.inttoptr(tile.at(masks_[0], index, 2), ir.PointerType(_I16))
            builder.store(tile.mask(sign), pointer)
        builder.store(_number(1), result)
        builder.branch(done)

        builder.position_at_end(done)
        return builder.load(result)

    return types.int64(a, types.int64, b, types.int64, u, v, stops, masks), generate


@intrinsic
def rotate(
    context: Any, rows: Any, width: Any, basis: Any, panel: Any, start: Any, out: Any
) -> Any:
    """Products of ROWS float32 rows, by address, with one panel of a basis (panels, width, LANES).

    They are added to start (panels, LANES) and written to out (ROWS, panels, LANES).
    """

    def generate(
        context: Any, builder: ir.IRBuilder, signature: Any, values: list[ir.Value]
    ) -> ir.Value:
        rows_, width_, basis_, panel_, start_, out_ = _unpack(context, builder, signature, values)
        tile = _Tile(builder, bytes_=False)
        columns = tile.at(basis_[0], panel_, basis_[1])
        begin = _load(builder, tile.at(start_[0], panel_, start_[1]), _FLOATS)
        for (total,) in tile.totals:
            builder.store(begin, total)
        with cgutils.for_range(builder, width_) as loop:
            tile.multiply(loop.index, rows_, tile.at(_number(0), width_, 4), columns)
        for r, (total,) in enumerate(tile.totals):
            address = tile.at(tile.at(out_[0], r, out_[1]), panel_, 4 * LANES)
            place = builder.store(
                builder.load(total), builder.inttoptr(address, ir.PointerType(_FLOATS))
            )
            place.align = 4
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, basis, types.int64, start, out), generate


@intrinsic
def exact_score(context: Any, a: Any, b: Any, width: Any) -> Any:
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
