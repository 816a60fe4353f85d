"""The tiles as machine code for processors that are not here: what they are made of is counted, not timed.

Each is compiled as Numba would do it there, and looked at in assembly. The innermost loop must have the instructions
that the processor is known for, as many of each as the tile has outputs, and nothing that goes to memory and back.
"""

import ctypes
import functools
import itertools
import re
import sys
from collections import Counter

import numpy as np
import pytest

from bnn_ref.kernels import bits, compiled, ladder, lanes, limit, machine, nibbles, pixels

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
         "lookup": nibbles.write_tile, "pixels": pixels.write_tile} if compiled.COMPILED else {}


def processor(target):
    baseline = {"x86_64": {"sse2"}, "aarch64": {"neon"}}[TARGETS[target][0]]
    return machine.processor(machine.switched(baseline, TARGETS[target][1]))


def written(tile, found):
    """LLVM's module with a function `tile`: the code of one tile for a Processor."""
    integers = {bits: ir.IntType(bits) for bits in (1, 8, 16, 32, 64)}
    left, panel = {"lookup": (16, 8), "pixels": (8, 8)}.get(tile, (64, 64))
    kinds = [integers[32].as_pointer(), *[integers[64]] * 2, integers[left].as_pointer(), *[integers[64]] * 2,
             integers[panel].as_pointer(), *[integers[64]] * 3, integers[1]]
    module = ir.Module("tiles")
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), kinds), "tile")
    builder = ir.IRBuilder(function.append_basic_block())
    TILES[tile](builder, found, *function.args)
    builder.ret_void()
    return module


def optimized(module, there):
    parsed = llvm.parse_assembly(str(module))
    passes = llvm.create_pass_builder(there, llvm.create_pipeline_tuning_options(3))
    passes.getModulePassManager().run(parsed, passes)
    return parsed


@functools.cache
def assembly(tile, target):
    """The machine code of one tile, in words."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    triple, features = TARGETS[target]
    there = llvm.Target.from_triple(f"{triple}-unknown-linux-gnu").create_target_machine(features=features, opt=3)
    return there.emit_assembly(optimized(written(tile, processor(target)), there))


def inner_loop(text, instruction):
    """The shortest stretch from a label to a jump back to it that has the instruction, a regular expression."""
    found = []
    for label in re.finditer(r"^(\.?LBB\w+):", text, re.M):
        for jump in re.finditer(rf"\t(?:j\w+|b\.\w+|cb\w+\tx\d+,)\t? ?{re.escape(label[1])}\n", text[label.end():]):
            found.append(text[label.end():label.end() + jump.start()])
    return min((stretch for stretch in found if re.search(instruction, stretch)), key=len)


def instructions(loop):
    return Counter(line.split()[0] for line in loop.splitlines() if re.match(r"\t[a-z]", line))


# --- what loops are made of ----------------------------------------------------------------------------------------

LOOKUPS = [(name, shuffle, add, shift) for name, shuffle, add, shift in (
    ("AVX-512 with popcount", "vpshufb", "vpaddb", "vpsrlw"), ("AVX-512", "vpshufb", "vpaddb", "vpsrlw"),
    ("AVX2", "vpshufb", "vpaddb", "vpsrlw"), ("SSSE3", "pshufb", "paddb", "psrlw"), ("NEON", "tbl", "add", "ushr"))]


@pytest.mark.parametrize(("target", "shuffle", "add", "shift"), LOOKUPS)
def test_three_nibbles_of_two_rows_are_looked_up_by_eight_instructions(target, shuffle, add, shift):
    """Three shuffles, four additions, a shift; tables come from memory ready to be used, nibbles of b once a tile."""
    tile = processor(target).lookup
    loop = inner_loop(assembly("lookup", target), shuffle)
    found, outputs = instructions(loop), tile.rows // 2 * tile.vectors
    assert found[shuffle] == 3 * outputs and found[shift] == outputs
    if target == "NEON":                                   # additions of addresses have the same name
        assert len(re.findall(r"\tadd\tv", loop)) == 4 * outputs
    else:
        assert found[add] == 4 * outputs
    spoilt = r"popcnt|\bcnt\b|sadbw|uaddlp|pand|\band\b|por\b|pxor|\beor\b|\[sp|\(%rsp"
    assert not re.findall(spoilt, loop)
    if target.startswith("AVX"):
        assert sum(count for name, count in found.items() if name.startswith("vbroadcasti")) == 3 * tile.rows // 2


@pytest.mark.parametrize(("target", "shuffle", "add", "shift"), LOOKUPS)
def test_eight_groups_of_four_pixels_are_looked_up_by_40_instructions(target, shuffle, add, shift):
    """Of eight planes: two shuffles and two additions a group; then two sums of bytes become four of 16 bits."""
    tile = processor(target).pixels
    loop = inner_loop(assembly("pixels", target), shuffle)
    found, outputs = instructions(loop), tile.rows * tile.vectors
    assert found[shuffle] == 16 * outputs
    if target == "NEON":
        assert len(re.findall(r"\tadd\tv", loop)) + found["uaddw"] + found["uaddw2"] + found["usra"] <= 18 * outputs
    else:
        assert found[add] == 14 * outputs and found[shift] == 2 * outputs
        assert found[add[:-1] + "w"] == 4 * outputs
    assert not re.findall(r"popcnt|\bcnt\b|sadbw|uaddlp|pxor|\beor\b", loop)


def test_the_carry_save_tile_is_made_of_five_instructions():
    """Where there is AVX-512 with a popcount: three ternaries, a popcount and an addition for two vectors."""
    tile = processor("AVX-512 with popcount").carry_save
    loop = inner_loop(assembly("carry_save", "AVX-512 with popcount"), "vpternlogq")
    found, outputs = instructions(loop), tile.rows * tile.vectors
    assert found["vpternlogq"] == 3 * outputs
    assert found["vpopcntq"] == found["vpaddq"] == outputs
    assert "(%rsp)" not in loop and "(%rbp)" not in loop


@pytest.mark.parametrize(("target", "count"), [("AVX-512 with popcount", 1), ("AVX-512", 7), ("AVX2", 7), ("SSSE3", 7),
                                               ("NEON", 3)])
def test_without_an_instruction_that_counts_bits_a_popcount_is_many(target, count):
    """Why a rung that wins on one processor loses on another: beside XOR and add, so many instructions a vector."""
    tile = processor(target).plain
    loop = inner_loop(assembly("plain", target), "eor" if target == "NEON" else "xor")
    counting = sum(number for name, number in instructions(loop).items() if re.search(
        "popcnt|^cnt|pand|pshufb|psrl|paddb|sadbw|uaddlp", name))
    assert counting == count * tile.rows * tile.vectors


@pytest.mark.parametrize(("target", "rung"), [("AVX-512 with popcount", "blocks"), ("AVX-512", "lookup"),
                                              ("AVX2", "lookup"), ("SSSE3", "lookup"), ("SSE2", "blocks"),
                                              ("NEON", "lookup")])
def test_the_rung_is_chosen_by_what_a_processor_has(target, rung, monkeypatch):
    monkeypatch.setattr(machine, "PROCESSOR", processor(target))
    assert ladder.chosen(100, 100).name == rung
    assert ladder.chosen(1, 100).name == ladder.chosen(100, 1).name == "rows"
    assert ladder.chosen(2, 100, 8).name == rung and ladder.chosen(1, 100, 8).name == "rows"
    assert bool(ladder.rung("lookup").missing()) == (target == "SSE2")


def test_numba_adds_nothing_to_the_tile():
    """The loop of the rung that is chosen here, in the function that surrounds it, is the one counted above."""
    a = bits.pack(np.ones((40, 640), np.int8))
    chosen = ladder.chosen(len(a), len(a))
    chosen(a, a, 640)
    kernel = sys.modules[chosen.function.__module__]._product
    fresh = compiled.numba.njit(nogil=True, error_model="numpy")(kernel.py_func)       # the cache keeps no assembly
    fresh.compile(kernel.signatures[0])
    tile, known = {"lookup": ("lookup", "shufb|tbl"), "blocks": ("carry_save", "ternlog|xor|eor")}[chosen.name]
    for target in (target for target in TARGETS if processor(target) == machine.PROCESSOR):
        here, there = (instructions(inner_loop(text, known))
                       for text in (next(iter(fresh.inspect_asm().values())), assembly(tile, target)))
        counted = [name for name in there if re.search(f"{known}|padd|cnt|psr", name)]
        assert counted and [here[name] for name in counted] == [there[name] for name in counted]


# --- what tiles compute --------------------------------------------------------------------------------------------

def able():
    """Processors whose tiles this machine can run, whatever it is: all combinations of registers and shuffles."""
    shuffles = [shuffle for shuffle, octets in machine.SHUFFLES.items()
                if machine.PROCESSOR.shuffle.split(".")[1:2] == shuffle.split(".")[1:2]
                and octets <= machine.SHUFFLES[machine.PROCESSOR.shuffle]]
    for lanes_, registers, shuffle in itertools.product((2, 4, 8), (16, 32), shuffles or [""]):
        yield machine.Processor(lanes_, registers, shuffle=shuffle)


def runnable(tile, found):
    """The tile as a function of integers, pointers among them; and what must be kept meanwhile."""
    module = written(tile, found)
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    there = llvm.Target.from_default_triple().create_target_machine(
        llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten(), opt=3)
    engine = llvm.create_mcjit_compiler(optimized(module, there), there)
    engine.finalize_object()
    return ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 11)(engine.get_function_address("tile")), engine


def aligned(array):
    """A copy at a multiple of 64 bytes, where panels lie."""
    room = np.zeros(array.nbytes + 64, np.uint8)
    skip = -room.ctypes.data % 64
    out = room[skip:skip + array.nbytes].view(array.dtype).reshape(array.shape)
    out[...] = array
    return out


@pytest.mark.parametrize("found", [*able()] if compiled.COMPILED else [], ids=str)
@pytest.mark.parametrize("tile", TILES)
def test_tiles_of_other_processors_count_right(tile, found):
    """With as many words as a sum of bytes can take, one more, and all bits unlike; and onto what was there."""
    if tile in ("lookup", "pixels") and not found.shuffle:
        pytest.skip("no shuffle of bytes here")
    compute, _engine = runnable(tile, found)
    shape, rng = getattr(found, tile), np.random.default_rng(0)
    for words, unlike in ((1, False), (3, True), (4, True), (5, False), (3 * nibbles.CHUNK, True)):
        a = rng.integers(0, 2**64, (shape.rows, words), np.uint64)
        b = np.repeat(~a[:1], shape.columns, axis=0) if unlike else rng.integers(0, 2**64, (shape.columns, words),
                                                                                 np.uint64)
        differ = np.bitwise_count(a[:, None] ^ b).sum(axis=2, dtype=np.int64)
        if tile in ("lookup", "pixels"):
            steps, each = (-(-16 * words // 3), 3) if tile == "lookup" else (2 * words, 8)
            of_a, of_b = (np.zeros((len(x), steps * each), np.uint16) for x in (a, b))
            for g in range(16 * words):
                of_a[:, g], of_b[:, g] = (x[:, g // 16] >> np.uint64(g % 16 * 4) & np.uint64(15) for x in (a, b))
            columns = np.arange(shape.columns).reshape(shape.vectors, 2, -1).transpose(0, 2, 1).reshape(-1)
            panel = aligned(of_b[columns].T.astype(np.uint8))
        if tile == "lookup":
            left, width = np.ascontiguousarray(16 * (of_a[0::2] + 16 * of_a[1::2])), 3 * steps
        elif tile == "pixels":
            x = rng.integers(255 * unlike, 256, (shape.rows, 16 * words, 4))
            signs_of_b = (np.arange(16)[:, None] >> np.arange(4) & 1).astype(bool)               # [v, d]
            sums = np.where(signs_of_b, 255 - x[:, :, None], x[:, :, None]).sum(axis=3)
            left, width = aligned(np.concatenate([sums & 31, sums >> 5], axis=2).astype(np.uint8)), 32 * 16 * words
            differ = sums[:, np.arange(16 * words), of_b[:, :16 * words]].sum(axis=2)
        else:
            left, panel, width, steps = a, aligned(b.T), words, words
        before = rng.integers(-1000, 1000, (shape.rows, shape.columns + 3)).astype(np.int32)
        for more in (False, True):
            out = before.copy()
            compute(out.ctypes.data, 1, out.shape[1], left.ctypes.data, 0, width, panel.ctypes.data, steps, 77, 1,
                    more)
            np.testing.assert_array_equal(out[:, 1:-2], 77 - 2 * differ + (2 * before[:, 1:-2] if more else 0))
            np.testing.assert_array_equal(out[:, [0, -2, -1]], before[:, [0, -2, -1]])


# --- the limits ----------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not machine.PROCESSOR.shuffle, reason="no shuffle of bytes here")
def test_the_limit_of_looking_up_is_a_loop_of_the_tile_s_instructions():
    """And of nothing else: its seconds are those of eight instructions a chain, not of what a compiler made of them."""
    limit.seconds(1, limit.LOOK_UP)
    fresh = compiled.numba.njit(nogil=True, error_model="numpy")(limit._looking_up.py_func)
    fresh.compile(limit._looking_up.signatures[0])
    loop = inner_loop(next(iter(fresh.inspect_asm().values())), "shufb|tbl")
    found = Counter({name.removeprefix("v"): number for name, number in instructions(loop).items()})
    turns = found["pshufb" if "pshufb" in found else "tbl"] // (3 * limit.LOOK_UPS)
    assert turns >= 1
    if "pshufb" in found:
        assert found["paddb"] == 4 * turns * limit.LOOK_UPS and found["psrlw"] == turns * limit.LOOK_UPS
        assert not re.search(r"\(%r", loop)


def test_a_limit_is_in_proportion_to_the_operations_and_refused_where_it_is_not_known(monkeypatch):
    monkeypatch.setattr(limit, "STEPS", 1 << 12)
    for name in limit.available():
        assert 100 < min(limit.seconds(1e12, name) for _ in range(20)) / min(
            limit.seconds(1e9, name) for _ in range(20)) < 10_000
    monkeypatch.setattr(limit, "PROCESSOR", machine.Processor(2, 16))
    assert limit.available() == (limit.COUNT,)
    with pytest.raises(ValueError, match=r"^the limit of look up needs an instruction"):
        limit.seconds(1, limit.LOOK_UP)
    monkeypatch.setattr(limit, "COMPILED", False)
    with pytest.raises(ValueError, match="needs compiled kernels"):
        limit.seconds(1)
