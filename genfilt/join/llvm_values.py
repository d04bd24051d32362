"""Short names for the LLVM values and instructions that the join's machine code is made of.

numba turns Python loops into LLVM's intermediate representation and LLVM turns that into machine
code. A numba *intrinsic* is a function whose part of that representation we write ourselves, with
llvmlite: `builder` appends one instruction after another to a basic block (a run of instructions
without a branch), and each call returns the value that the instruction computes. Nothing is
computed here; everything describes what will be computed.
"""

# numba and llvmlite carry no types
# mypy: disable-error-code="import-untyped, no-untyped-call, attr-defined"

from __future__ import annotations

from typing import Any, TypeAlias

from llvmlite import ir
from numba import types
from numba.core import cgutils

from genfilt.join.pairs import LANES

Untyped: TypeAlias = Any  # numba's types, signatures and contexts

I16, I32, I64 = ir.IntType(16), ir.IntType(32), ir.IntType(64)
# One 512-bit register: LANES numbers of 32 bits, on which one instruction works at once.
INTS = ir.VectorType(I32, LANES)
FLOATS = ir.VectorType(ir.FloatType(), LANES)
DOUBLES = ir.VectorType(ir.DoubleType(), LANES)


def number(value: int) -> ir.Constant:
    """Return a 64-bit integer constant."""
    return ir.Constant(I64, value)


def load(builder: ir.IRBuilder, address: ir.Value, kind: ir.Type) -> ir.Value:
    """Return what memory holds at an address, which need be a multiple of 4 only."""
    value = builder.load(builder.inttoptr(address, ir.PointerType(kind)))
    value.align = 4
    return value


def splat(builder: ir.IRBuilder, value: ir.Value) -> ir.Value:
    """Return a register that holds one value in every lane."""
    kind = ir.VectorType(value.type, LANES)
    first = builder.insert_element(ir.Constant(kind, ir.Undefined), value, ir.Constant(I32, 0))
    return builder.shuffle_vector(first, first, ir.Constant(INTS, [0] * LANES))


def call(builder: ir.IRBuilder, name: str, kind: ir.Type, values: list[ir.Value]) -> ir.Value:
    """Call one of LLVM's own functions, such as the fused multiply-add."""
    signature = ir.FunctionType(kind, [value.type for value in values])
    return builder.call(cgutils.get_or_insert_function(builder.module, signature, name), values)


def unpack(
    context: Untyped, builder: ir.IRBuilder, signature: Untyped, values: list[ir.Value]
) -> list[Untyped]:
    """Return address, first stride and array for an array argument, any other value unchanged."""
    result = []
    for kind, value in zip(signature.args, values, strict=True):
        if isinstance(kind, types.Array):
            array = context.make_array(kind)(context, builder, value)
            strides = cgutils.unpack_tuple(builder, array.strides)
            result.append((builder.ptrtoint(array.data, I64), strides[0], array))
        else:
            result.append(value)
    return result
