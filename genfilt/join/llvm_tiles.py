"""Tiles of code products for the join's inner loop, as numba intrinsics.

A *tile* is the product of ROWS coded rows of the left side with one *panel* of coded columns of the
right side, in which the totals never leave the registers:

                       panel: LANES columns a register, `vectors` registers wide
                       c0 ... c15 | c16 ... c31 | ...
    row 0  (splat)  x    total        total           for each group of code entries:
    row 1  (splat)  x    total        total             load the panel's registers once,
    ...                  ...          ...               repeat one row's entry in all lanes (splat),
    row 5  (splat)  x    total        total             total += column * row

Six rows by four registers are 24 totals; with four columns and a splat row they fill 29 of the 32
registers of AVX-512, and each loaded column serves six rows. Where the CPU multiplies bytes
(AVX512_VNNI) a lane holds four code entries, and `vpdpbusd` multiplies and adds all four at once:
64 products an instruction. Elsewhere codes are float32, one entry a lane, in which the same
integers and sums are exact (below 2^24). Both give the same survivors.

Codes come in levels (codes.py): the first entries of a code give a cheap upper bound, further
entries a tighter one. After each level the sign bit of a total says whether the pair can still
pass; where no pair of the tile can, the tile ends. A tile as control flow:

    offset -> loop: multiply one group -> level complete? -> after: any total >= 0?
                ^        no: repeat                             no: done (0)
                |                                               last level: hit, write masks (1)
                +------ again: add the next level's offsets <-- yes, more levels
"""

# numba and llvmlite carry no types
# mypy: disable-error-code="import-untyped, no-untyped-call, attr-defined"

from __future__ import annotations

import functools
from collections.abc import Callable

import llvmlite.binding as llvm
from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic

from genfilt.join.llvm_values import (
    FLOATS,
    I16,
    I32,
    I64,
    INTS,
    Untyped,
    call,
    load,
    number,
    splat,
    unpack,
)
from genfilt.join.pairs import LANES

ROWS = 6
BYTE_VECTORS, FLOAT_VECTORS = 4, 1  # registers that a panel is wide


def multiplies_bytes() -> bool:
    """Tell whether code for this CPU may use the byte products (AVX512_VNNI) of the faster tile."""
    if config.CPU_NAME is not None or config.CPU_FEATURES is not None:
        return False  # numba compiles for another CPU
    features = llvm.get_host_cpu_features()
    return all(features.get(name, False) for name in ("avx512f", "avx512bw", "avx512vnni"))


def _dot_bytes(builder: ir.IRBuilder, total: ir.Value, column: ir.Value, row: ir.Value) -> ir.Value:
    # As assembly, since the operand types of LLVM's own function differ between its releases. Its
    # constraints read: the result is a register (=v), which is also operand 0; two more registers.
    llvm.initialize_native_asmparser()
    signature = ir.FunctionType(INTS, [INTS] * 3)
    instruction = ir.InlineAsm(signature, "vpdpbusd $3, $2, $0", "=v,0,v,v", side_effect=False)
    return builder.call(instruction, [total, column, row])


def _dot_floats(
    builder: ir.IRBuilder, total: ir.Value, column: ir.Value, row: ir.Value
) -> ir.Value:
    return call(builder, f"llvm.fmuladd.v{LANES}f32", FLOATS, [column, row, total])


class _Tile:
    """Emits a tile; its totals are variables that the compiler keeps in registers."""

    def __init__(self, builder: ir.IRBuilder, byte_products: bool) -> None:
        self.builder = builder
        self.vectors = BYTE_VECTORS if byte_products else FLOAT_VECTORS
        self.lane = I32 if byte_products else ir.FloatType()
        self.kind = ir.VectorType(self.lane, LANES)
        self.dot: Callable[..., ir.Value] = _dot_bytes if byte_products else _dot_floats
        self.plus = builder.add if byte_products else builder.fadd
        self.totals = [
            [cgutils.alloca_once(builder, self.kind) for _ in range(self.vectors)]
            for _ in range(ROWS)
        ]

    def at(self, base: ir.Value, index: ir.Value | int, scale: ir.Value | int) -> ir.Value:
        """Return the address base + index * scale."""
        index, scale = (number(v) if isinstance(v, int) else v for v in (index, scale))
        return self.builder.add(base, self.builder.mul(index, scale))

    def _integer(self, address: ir.Value, kind: ir.Type) -> ir.Value:
        value = load(self.builder, address, kind)
        if self.kind != FLOATS:
            return value
        return self.builder.sitofp(value, self.kind if kind == INTS else self.lane)

    def offset(self, rows: ir.Value, columns: ir.Value, first: bool) -> None:
        """Set the totals to row plus column offsets, or add these to them."""
        builder = self.builder
        right = [self._integer(self.at(columns, c, 4 * LANES), INTS) for c in range(self.vectors)]
        for r, totals in enumerate(self.totals):
            left = splat(builder, self._integer(self.at(rows, r, 4), I32))
            for total, column in zip(totals, right, strict=True):
                both = self.plus(left, column)
                builder.store(both if first else self.plus(builder.load(total), both), total)

    def multiply(self, group: ir.Value, row: ir.Value, stride: ir.Value, panel: ir.Value) -> None:
        """Add one group of entries to the totals: four bytes or one float a lane."""
        builder = self.builder
        columns = self.at(panel, group, 4 * LANES * self.vectors)
        right = [
            load(builder, self.at(columns, c, 4 * LANES), self.kind) for c in range(self.vectors)
        ]
        here = self.at(row, group, 4)
        for r, totals in enumerate(self.totals):
            left = splat(builder, load(builder, self.at(here, r, stride), self.lane))
            for total, column in zip(totals, right, strict=True):
                builder.store(self.dot(builder, builder.load(total), column, left), total)

    def signs(self) -> list[ir.Value]:
        """Return the totals as integers of the same sign (a float's is its highest bit, too)."""
        return [
            self.builder.bitcast(self.builder.load(total), INTS)
            for totals in self.totals
            for total in totals
        ]

    def mask(self, values: ir.Value) -> ir.Value:
        """Return sixteen bits that say which lanes are not negative."""
        passed = self.builder.icmp_signed(">=", values, ir.Constant(INTS, [0] * LANES))
        return self.builder.bitcast(passed, I16)

    def all_negative(self) -> ir.Value:
        """Return whether every total is negative: the signs of all, ANDed, are set."""
        signs = functools.reduce(self.builder.and_, self.signs())
        return self.builder.icmp_unsigned("==", self.mask(signs), ir.Constant(I16, 0))

    def store_masks(self, address: ir.Value) -> None:
        """Write the mask of every register of totals, row by row."""
        for index, sign in enumerate(self.signs()):
            pointer = self.builder.inttoptr(self.at(address, index, 2), ir.PointerType(I16))
            self.builder.store(self.mask(sign), pointer)


@intrinsic
def tile_masks(
    context: Untyped,
    a: Untyped,
    row: Untyped,
    b: Untyped,
    panel: Untyped,
    u: Untyped,
    v: Untyped,
    stops: Untyped,
    masks: Untyped,
) -> Untyped:
    """Return 1 and write the masks of pairs that may pass, or return 0 where none can.

    a (rows, entries) and b (panels, groups, columns...) are codes, u and v (levels, rows or
    columns) what each level adds to the offsets, stops the groups up to each level.
    """

    def generate(
        context: Untyped, builder: ir.IRBuilder, signature: Untyped, values: list[ir.Value]
    ) -> ir.Value:
        tile = _Tile(builder, a.dtype == types.int8)
        return _emit_masks(tile, unpack(context, builder, signature, values))

    return types.int64(a, types.int64, b, types.int64, u, v, stops, masks), generate


def _emit_masks(tile: _Tile, arguments: list[Untyped]) -> ir.Value:
    """Emit the control flow that the module's picture shows."""
    builder = tile.builder
    a, row, b, panel, u, v, stops, masks = arguments
    rows, columns = tile.at(a[0], row, a[1]), tile.at(b[0], panel, b[1])
    left, right = tile.at(u[0], row, 4), tile.at(v[0], panel, 4 * LANES * tile.vectors)
    levels = cgutils.unpack_tuple(builder, stops[2].shape)[0]
    level, group, result = (cgutils.alloca_once_value(builder, number(0)) for _ in range(3))
    loop, after, more, again, hit, done = (
        builder.append_basic_block(name)
        for name in ("loop", "after", "more", "again", "hit", "done")
    )
    tile.offset(left, right, first=True)
    builder.branch(loop)

    builder.position_at_end(loop)
    tile.multiply(builder.load(group), rows, a[1], columns)
    following = builder.add(builder.load(group), number(1))
    builder.store(following, group)
    stop = load(builder, tile.at(stops[0], builder.load(level), 8), I64)
    builder.cbranch(builder.icmp_signed("<", following, stop), loop, after)

    builder.position_at_end(after)
    builder.cbranch(tile.all_negative(), done, more)

    builder.position_at_end(more)
    builder.store(builder.add(builder.load(level), number(1)), level)
    builder.cbranch(builder.icmp_signed("<", builder.load(level), levels), again, hit)

    builder.position_at_end(again)
    at = builder.load(level)
    tile.offset(tile.at(left, at, u[1]), tile.at(right, at, v[1]), first=False)
    builder.branch(loop)

    builder.position_at_end(hit)
    tile.store_masks(masks[0])
    builder.store(number(1), result)
    builder.branch(done)

    builder.position_at_end(done)
    return builder.load(result)


@intrinsic
def rotate(
    context: Untyped,
    rows: Untyped,
    width: Untyped,
    basis: Untyped,
    panel: Untyped,
    start: Untyped,
    out: Untyped,
) -> Untyped:
    """Multiply ROWS float32 rows, by address, with one panel of a basis (panels, width, LANES).

    They are added to start (panels, LANES) and written to out (ROWS, panels, LANES).
    """

    def generate(
        context: Untyped, builder: ir.IRBuilder, signature: Untyped, values: list[ir.Value]
    ) -> ir.Value:
        rows_, width_, basis_, panel_, start_, out_ = unpack(context, builder, signature, values)
        tile = _Tile(builder, byte_products=False)
        columns = tile.at(basis_[0], panel_, basis_[1])
        begin = load(builder, tile.at(start_[0], panel_, start_[1]), FLOATS)
        for (total,) in tile.totals:
            builder.store(begin, total)
        with cgutils.for_range(builder, width_) as loop:
            tile.multiply(loop.index, rows_, tile.at(number(0), width_, 4), columns)
        for r, (total,) in enumerate(tile.totals):
            address = tile.at(tile.at(out_[0], r, out_[1]), panel_, 4 * LANES)
            place = builder.store(
                builder.load(total), builder.inttoptr(address, ir.PointerType(FLOATS))
            )
            place.align = 4
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, basis, types.int64, start, out), generate
