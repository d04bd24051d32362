"""The exact score of two rows as a numba intrinsic: float64 products summed in one fixed order."""

# numba and llvmlite carry no types
# mypy: disable-error-code="import-untyped, no-untyped-call, attr-defined"

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from genfilt.join.llvm_values import DOUBLES, FLOATS, I32, Untyped, call, load, number
from genfilt.join.pairs import LANES


@intrinsic
def exact_score(context: Untyped, a: Untyped, b: Untyped, width: Untyped) -> Untyped:
    """Return the exact score of two float32 rows given by address.

    Element d goes to lane d mod LANES, lanes grow in order of d and are then added in halves: the
    order of `torch_join.exact_scores`, so that every device gives the same last bit.
    """

    def generate(
        context: Untyped, builder: ir.IRBuilder, signature: Untyped, values: list[ir.Value]
    ) -> ir.Value:
        left, right, width = values
        lanes = cgutils.alloca_once_value(builder, ir.Constant(DOUBLES, [0.0] * LANES))
        whole = builder.and_(width, number(-LANES))  # elements that fill registers
        with cgutils.for_range_slice(builder, number(0), whole, number(LANES)) as (start, _):
            shift = builder.mul(start, number(4))
            registers = [load(builder, builder.add(row, shift), FLOATS) for row in (left, right)]
            _add_products(builder, lanes, *registers)
        _add_products(builder, lanes, *_tails(builder, (left, right), whole, width))
        return _folded(builder, builder.load(lanes))

    return types.float64(types.int64, types.int64, types.int64), generate


def _add_products(builder: ir.IRBuilder, lanes: ir.Value, left: ir.Value, right: ir.Value) -> None:
    """Add the products of two float32 registers to the float64 sums of the lanes."""
    doubles = [builder.fpext(value, DOUBLES) for value in (left, right)]
    sums = call(builder, f"llvm.fmuladd.v{LANES}f64", DOUBLES, [*doubles, builder.load(lanes)])
    builder.store(sums, lanes)


def _tails(
    builder: ir.IRBuilder, rows: tuple[ir.Value, ir.Value], whole: ir.Value, width: ir.Value
) -> list[ir.Value]:
    """Return the elements from `whole` on of both rows, in registers filled up with zeros."""
    zeros = ir.Constant(FLOATS, [0.0] * LANES)
    tails = [cgutils.alloca_once_value(builder, zeros) for _ in rows]
    with cgutils.for_range_slice(builder, whole, width, number(1)) as (start, _):
        shift = builder.mul(start, number(4))
        lane = builder.trunc(builder.sub(start, whole), I32)
        for row, tail in zip(rows, tails, strict=True):
            element = load(builder, builder.add(row, shift), ir.FloatType())
            builder.store(builder.insert_element(builder.load(tail), element, lane), tail)
    return [builder.load(tail) for tail in tails]


def _folded(builder: ir.IRBuilder, lanes: ir.Value) -> ir.Value:
    """Return the sum of a register's lanes: the upper half added to the lower until one is left."""
    size = LANES
    while size > 1:
        size //= 2
        halves = (
            builder.shuffle_vector(
                lanes, lanes, ir.Constant(ir.VectorType(I32, size), list(indices))
            )
            for indices in (range(size), range(size, 2 * size))
        )
        lanes = builder.fadd(*halves)
    return builder.extract_element(lanes, ir.Constant(I32, 0))
