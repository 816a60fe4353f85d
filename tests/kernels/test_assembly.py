"""The tiles as machine code for processors that are not here: what they are made of is counted, not timed.

Each is compiled as Numba would do it there, and looked at in assembly. The innermost loop must have the instructions that
the processor is known for, as many of each as the tile has outputs, and nothing that goes to memory and back.
"""

import functools
import re
from collections import Counter

import pytest

from bnn_ref.kernels import compiled, lanes, machine, nibbles

pytestmark = pytest.mark.skipif(not compiled.COMPILED, reason="without Numba nothing is compiled")
if compiled.COMPILED:
    import llvmlite.binding as llvm
    from llvmlite import ir

# LLVM's triple and features. Not named: what a feature brings with it, and for the first of x86-64 there is SSE2.
TARGETS = {
    "AVX-512 with popcount": ("x86_64", "+avx512f,+avx512bw,+avx512dq,+avx512vl,+avx512vpopcntdq"),
    "AVX-512": ("x86_64", "+avx512f,+avx512bw,+avx512dq,+avx512vl"),
    "AVX2": ("x86_64", "+avx2"),
    "SSSE3": ("x86_64", "+ssse3"),
    "SSE2": ("x86_64", ""),
    "NEON": ("aarch64", "+neon"),
}
TILES = {"plain": functools.partial(lanes.write_tile, counter=lanes._Plain),
         "carry_save": functools.partial(lanes.write_tile, counter=lanes._CarrySave),
         "lookup": nibbles.write_tile} if compiled.COMPILED else {}


def processor(target):
    baseline = {"x86_64": {"sse2"}, "aarch64": {"neon"}}[TARGETS[target][0]]
    return machine.processor(machine.switched(baseline, TARGETS[target][1]))


@functools.cache
def assembly(tile, target):
    """The machine code of one tile, in words."""
    integers = {bits: ir.IntType(bits) for bits in (1, 8, 16, 32, 64)}
    left, panel = (16, 8) if tile == "lookup" else (64, 64)
    kinds = [integers[32].as_pointer(), *[integers[64]] * 2, integers[left].as_pointer(), *[integers[64]] * 2,
             integers[panel].as_pointer(), *[integers[64]] * 3, integers[1]]
    module = ir.Module("tiles")
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), kinds), "tile")
    builder = ir.IRBuilder(function.append_basic_block())
    TILES[tile](builder, processor(target), *function.args)
    builder.ret_void()
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    triple, features = TARGETS[target]
    there = llvm.Target.from_triple(f"{triple}-unknown-linux-gnu").create_target_machine(features=features, opt=3)
    parsed = llvm.parse_assembly(str(module))
    passes = llvm.create_pass_builder(there, llvm.create_pipeline_tuning_options(3))
    passes.getModulePassManager().run(parsed, passes)
    return there.emit_assembly(parsed)


def inner_loop(text, instruction):
    """The shortest stretch from a label to a jump back to it in which the instruction stands."""
    found = []
    for label in re.finditer(r"^(\.LBB\w+):", text, re.M):
        for jump in re.finditer(rf"\t(?:j\w+|b\.\w+|cb\w+\tx\d+,)\t? ?{re.escape(label[1])}\n", text[label.end():]):
            found.append(text[label.end():label.end() + jump.start()])
    return min((stretch for stretch in found if instruction in stretch), key=len)


def instructions(loop):
    return Counter(line.split()[0] for line in loop.splitlines() if re.match(r"\t[a-z]", line))
