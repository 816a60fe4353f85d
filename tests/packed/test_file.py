"""The file of a network on bits: the same bytes again, read once, and an error for whatever else it may hold."""

import hashlib
import itertools
import os
import random
import re
import struct
import tracemalloc

import numpy as np
import pytest

from bnn_ref import files, packed
from bnn_ref.nets import inputs, network, recipe, steps
from bnn_ref.packed import PackedError, load_packed, save_packed
from bnn_ref.papers import bnn, few_multiplications
from bnn_ref.training import loop

SHAPE = (2, 4, 3)
HEADER = 256                                 # of the small network: 80, four records of 36, the text, up to 64·n
TEXT = "bnn · a test"


def random_network(text, shape, classes=4, pad_value=0.0, seed=0):
    rng = np.random.default_rng(seed)
    made = recipe.Recipe(text, 1, 1, (1, 1), pad_value=pad_value)
    net = recipe.build(made, shape, classes, bnn.VOCABULARIES["deterministic"])
    params, running = network.init(net, rng)
    for name, array in (params | running).items():
        if not name.endswith(".w"):
            array[:] = rng.standard_normal(array.shape)
            array[:] = abs(array) if name.endswith(".var") else array
    return packed.pack_network(net, params, running, shape, TEXT)


@pytest.fixture(scope="module")
def small():
    return random_network("3C3-MP2-5C3-70FC", SHAPE)


@pytest.fixture(scope="module")
def good(small, tmp_path_factory):
    """The bytes of a small file with every kind of section."""
    path = tmp_path_factory.mktemp("packed") / "net.bnn"
    save_packed(path, small)
    return path.read_bytes()


@pytest.fixture
def load(tmp_path):
    """load(data): what load_packed makes of a file of these bytes, a new one each time."""
    numbers = itertools.count()

    def write_and_load(data):
        path = tmp_path / f"{next(numbers)}.bnn"
        path.write_bytes(data)
        return load_packed(path)
    return write_and_load


def sealed(data):
    """The bytes with a total length and a checksum that fit, so that only what they say can be wrong."""
    data = bytearray(data)
    data[16:24] = struct.pack("<Q", len(data))
    data[24:56] = hashlib.sha256(data[:24] + data[56:]).digest()
    return bytes(data)


def pictures(shape, count=6):
    return np.random.default_rng(1).integers(0, 256, (count, *shape), np.uint8)


# --- round trips ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text, shape", [("3C3-MP2-5C3-70FC", SHAPE), ("64FC-65FC", (1, 8, 8)),
                                         ("65C5-1FC", (1, 3, 9))])
@pytest.mark.parametrize("pad_value", [-1.0, 0.0])
def test_what_was_saved_is_loaded_and_saved_again_the_same(tmp_path, text, shape, pad_value):
    first = random_network(text, shape, pad_value=pad_value)
    save_packed(tmp_path / "one", first)
    again = load_packed(tmp_path / "one")
    save_packed(tmp_path / "two", again)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert again.text == TEXT and repr(again) == repr(first)
    assert [layer.geometry for layer in again.layers] == [layer.geometry for layer in first.layers]
    x = pictures(shape)
    assert packed.predict(again, x).tobytes() == packed.predict(first, x).tobytes()


def test_a_network_without_hidden_layers(tmp_path):
    net = (steps.flatten_step("flat"), steps.binary_dense_step("fc", 24, 4), steps.batchnorm_step("bn", 4))
    first = packed.pack_network(net, *network.init(net, np.random.default_rng(0)), SHAPE)
    save_packed(tmp_path / "net.bnn", first)
    x = pictures(SHAPE)
    assert packed.predict(load_packed(tmp_path / "net.bnn"), x).tobytes() == packed.predict(first, x).tobytes()


def test_arrays_are_read_only_views_of_the_bytes_that_were_read(good, load):
    network_on_bits = load(good)
    arrays = [array for layer in network_on_bits.layers for array in (layer.weights, layer.thresholds, layer.flips)]
    roots = set()
    for array in (*arrays, network_on_bits.output.weights, network_on_bits.output.affine):
        assert not array.flags.writeable and array.ctypes.data % 64 == 0
        while isinstance(array, np.ndarray):
            array = array.base
        roots.add(id(array.obj))
    assert len(roots) == 1


def test_a_loaded_network_does_not_change_with_its_file(tmp_path, small, good):
    """A mapped one would: other labels after a write in place, and an end of the process after a cut."""
    path, x = tmp_path / "net.bnn", pictures(SHAPE)
    path.write_bytes(good)
    loaded = load_packed(path)
    with open(path, "r+b") as file:
        file.seek(HEADER)
        file.write(bytes(len(good) - HEADER))
        file.flush()
        assert packed.predict(loaded, x).tobytes() == packed.predict(small, x).tobytes()
        file.truncate(0)
    assert packed.predict(loaded, x).tobytes() == packed.predict(small, x).tobytes()


def test_the_bytes_are_where_the_format_says(small, good):
    """The module's docstring, read by hand."""
    assert good[:8] == b"\x89BNN\r\n\x1a\n"
    assert struct.unpack("<IIQ", good[8:24]) == (2, HEADER, len(good))
    assert good[24:56] == hashlib.sha256(good[:24] + good[56:]).digest()
    assert struct.unpack("<6I", good[56:80]) == (*SHAPE, 4, 0, len(TEXT.encode()))
    records = [struct.unpack("<4Ii4I", good[at:at + 36]) for at in range(80, 224, 36)]
    assert records == [(3, 3, 3, 1, 0, 2, 2, 1, 1), (5, 3, 3, 1, 0, 1, 1, 0, 1), (70, 2, 1, 0, 0, 1, 1, 0, 1),
                       (4, 1, 1, 0, 0, 1, 1, 0, 1)]
    assert good[224:HEADER].rstrip(b"\0").decode() == TEXT
    at = HEADER
    (one, two, three), last = small.layers, small.output
    for array, size in ((one.weights, 3 * 8), (one.thresholds, 3 * 4), (one.flips, 8),             # 18 pixels: a word
                        (two.weights, 5 * 9 * 8), (two.thresholds, 5 * 4), (two.flips, 8),         # 9 taps: 9 words
                        (three.weights, 70 * 2 * 8), (three.thresholds, 70 * 4), (three.flips, 2 * 8),
                        (last.weights, 4 * 2 * 8), (last.affine, 3 * 4 * 4)):
        assert good[at:at + size] == array.astype(array.dtype.newbyteorder("<")).tobytes()
        padded = -(-size // 64) * 64
        assert not any(good[at + size:at + padded])
        at += padded
    assert at == len(good)


@pytest.mark.parametrize("text, shape", [("1024FC-1024FC-1024FC", (1, 28, 28)), ("2048FC-2048FC-2048FC", (3, 32, 32)),
                                         ("128C3-128C3-MP2-256C3-MP2-1024FC", (3, 32, 32))])
def test_the_size_is_less_than_a_28th_of_the_parameters(tmp_path, text, shape):
    net = recipe.build(recipe.Recipe(text, 1, 1, (1, 1)), shape, 10, bnn.VOCABULARIES["deterministic"])
    specs = network.param_specs(net)
    params = {name: np.ones(spec.shape, np.float32) for name, spec in specs.items()}
    running = {f"{step.name}.{name}": np.ones(size, np.float32) for step in net for name, size, _ in step.running}
    path = tmp_path / "net.bnn"
    save_packed(path, packed.pack_network(net, params, running, shape))
    assert path.stat().st_size * 28 <= sum(array.nbytes for array in params.values())


# --- writing -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["two\nlines", "x" * 1001, "é" * 501, "\x1b[31m"])
def test_a_text_that_is_no_line_is_refused(tmp_path, small, text):
    with pytest.raises(ValueError, match=r"^text: expected one printable line of at most 1000 bytes, got "):
        save_packed(tmp_path / "net.bnn", packed.PackedNetwork(small.layers, small.output, text))
    assert not list(tmp_path.iterdir())


def test_a_failed_save_leaves_the_file_as_it_was(tmp_path, small, good, monkeypatch):
    path = tmp_path / "net.bnn"
    path.write_bytes(good)

    def full(descriptor):
        raise OSError("no space left")
    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="no space left"):
        save_packed(path, small)
    assert path.read_bytes() == good and list(tmp_path.iterdir()) == [path]


# --- files that are none -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data, message", [
    (b"", r"not a packed network \(empty\)"), (b"hello\n", "not a packed network"),
    (b"PK\3\4" + bytes(500), "not a packed network"),
    (b"\x89BNN\n\x1a\n" + bytes(500), "not a packed network"),               # passed through a text mode
])
def test_other_files(tmp_path, load, data, message):
    with pytest.raises(PackedError, match=f"^{re.escape(str(tmp_path / '0.bnn'))}: {message}"):
        load(data)


def test_errors_of_the_system_pass(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_packed(tmp_path / "none")


def test_what_is_no_regular_file_is_not_opened(tmp_path):
    odd = [tmp_path]
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "fifo")                                     # to open it would wait for ever
        odd.append(tmp_path / "fifo")
    for path in odd:
        with pytest.raises(PackedError, match=f"^{re.escape(str(path))}: expected a regular file, got a folder"):
            load_packed(path)


@pytest.mark.parametrize("version, message", [
    (3, "from a newer version: version 3, this is bnn_ref with version 2: upgrade"),
    (1, "from an older version: version 1, this is bnn_ref with version 2: pack the run again"),
    (0, "damaged: version 0")])
def test_other_versions(load, good, version, message):
    with pytest.raises(PackedError, match=f": {message}$"):
        load(sealed(good[:8] + struct.pack("<I", version) + good[12:]))


def test_every_truncation_and_any_excess_are_refused(load, good):
    for size in range(len(good)):
        with pytest.raises(PackedError, match=r"not a packed network|truncated"):
            load(good[:size])
        with pytest.raises(PackedError):
            load(sealed(good[:size].ljust(56, b"\0")))
    for excess in (b"\0", bytes(64), b"x"):
        with pytest.raises(PackedError, match=f"damaged: {len(good) + len(excess)} bytes, {len(good)} expected"):
            load(good + excess)
        with pytest.raises(PackedError, match=f"layers take {len(good)} bytes, the file has "):
            load(sealed(good + excess))


def test_a_flipped_bit_anywhere_is_refused(load, good):
    for at in range(len(good)):
        damaged = bytearray(good)
        damaged[at] ^= 1 << at % 8
        with pytest.raises(PackedError):
            load(damaged)


def test_random_damage_is_refused(load, good):
    rng = random.Random(0)
    for _ in range(1000):
        damaged = bytearray(good)
        start = rng.randrange(len(good))
        for at in range(start, min(len(good), start + rng.choice((1, 2, 8, 100)))):
            damaged[at] = rng.randrange(256)
        if damaged != good:
            with pytest.raises(PackedError):
                load(damaged)


# --- files with a checksum that fits -------------------------------------------------------------------------------


def changed(good, at, code, value):
    return sealed(good[:at] + struct.pack(code, value) + good[at + struct.calcsize(code):])


@pytest.mark.parametrize("at, code, value, message", [
    (12, "<I", 192, "header: 4 layers, 0 preprocessings and 13 bytes of text in 192 bytes"),
    (56, "<I", 0, "layer 1: sizes: expected at least 1, got "),
    (56, "<I", 2**32 - 1, "layer 1: sums of 38654705655 inputs reach "),
    (60, "<I", 9, "layer 3: weights|layer 4: "),
    (68, "<I", 0, "header: 0 layers"),
    (68, "<I", 2**32 - 1, "header: 4294967295 layers"),
    (72, "<I", 2**32 - 1, "header: 4 layers, 4294967295 preprocessings"),
    (72, "<I", 4, "preprocessing 1: kind: expected one below 4, got 1852730990|text"),
    (76, "<I", 1001, "header: 4 layers, 0 preprocessings and 1001 bytes of text"),
    (76, "<I", 14, "text: not one printable line"),
    (76, "<I", 12, "bytes 236 to 255: expected 0"),
    (80, "<I", 0, "layer 1: sizes"),
    (80, "<I", 1 << 20, "layer 1: weights: .1048576, 1. take the bytes up to 8388864, beyond the "),
    (80, "<I", 2**32 - 1, "layer 2: sums of 38654705655 inputs reach 38654705655"),
    (84, "<I", 2**31, "layer 1: kernel: .2147483648, 3. and pooling .2, 2. do not fit"),
    (92, "<I", 3, "layer 1: pad: expected less than the kernel"),
    (96, "<i", -2**31, "layer 1: sums of 18 inputs reach 38654705664"),
    (100, "<I", 5, "layer 1: kernel: .3, 3. and pooling .5, 2. do not fit"),
    (104, "<I", 0, "layer 1: sizes"),
    (108, "<I", 7, r"layer 1: coding: expected one of \[1, 2, 3, 4, 5\], got 7"),
    (108, "<I", 0, r"layer 1: coding: expected one of \[1, 2, 3, 4, 5\], got 0"),
    (108, "<I", 6, r"layer 1: coding: expected one of \[1, 2, 3, 4, 5\], got 6"),
    (108, "<I", 2**32 - 1, "layer 1: coding: "),
    (112, "<I", 0, "layer 1: planes: expected 1 or 2, got 0"),
    (112, "<I", 3, "layer 1: planes: expected 1 or 2, got 3"),
    (144, "<I", 1, r"layer 2: coding: expected one of \[0, 6\], got 1"),
    (180, "<I", 6, "layer 2: "),
    (156, "<I", 0, "layer 3: sizes"),
    (188, "<I", 9, "layer 4: weights: .9, 2. take the bytes up to [0-9]+, beyond the "),
    (204, "<i", 1, "layer 4: pad_value: expected 0 without a border, got 1"),
    (80 + 2 * 36 + 8, "<I", 2, "layer 3: kernel"),
    (224, "<B", 0xFF, "'utf-8' codec can't decode"),
    (224, "<B", 0x1B, "text: not one printable line"),
    (HEADER, "<Q", 1 << 18, "layer 1: weights: expected 0 in the bits past k = 18"),
    (HEADER + 24, "<B", 1, "layer 1: bytes 280 to 319: expected 0"),
    (HEADER + 64, "<i", 18 * 255 + 1, "layer 1: thresholds: expected at most ±4590"),
    (HEADER + 64, "<i", -18 * 255 - 1, "layer 1: thresholds: expected at most ±4590"),
    (HEADER + 64, "<i", -2**31, "layer 1: thresholds: expected at most ±4590"),
    (HEADER + 128, "<Q", 1 << 3, "layer 1: flips: expected 0 in the bits past k = 3"),
    (HEADER + 192, "<Q", 1 << 3, "layer 2: weights: expected 0 in the bits past k = 3"),
    (-64, "<f", np.nan, "layer 4: affine: expected finite numbers"),
    (-52, "<f", np.inf, "layer 4: affine: expected finite numbers"),
    (-48, "<f", np.nan, "layer 4: affine: expected finite numbers"),
    (-20, "<f", -np.inf, "layer 4: affine: expected finite numbers"),
    (-16, "<f", 1e-30, "layer 4: bytes [0-9]+ to [0-9]+: expected 0"),
])
def test_what_does_not_fit_is_named(load, good, at, code, value, message):
    with pytest.raises(PackedError, match=message):
        load(changed(good, at % len(good), code, value))


def test_the_last_layer_is_dense(tmp_path, load):
    net = (steps.flatten_step("flat"), steps.binary_dense_step("fc", 24, 4), steps.batchnorm_step("bn", 4))
    save_packed(tmp_path / "net.bnn", packed.pack_network(net, *network.init(net, np.random.default_rng(0)), SHAPE))
    data = (tmp_path / "net.bnn").read_bytes()
    for at, value in ((84, 3), (92, 2)):                              # a smaller kernel; a border
        with pytest.raises(PackedError, match="layer 1: the last layer: expected a dense one, got one with"):
            load(changed(data, at, "<I", value))


def test_thresholds_at_the_ends_of_their_range_are_good(load, good):
    for value in (18 * 255, -18 * 255):
        assert load(changed(good, HEADER + 64, "<i", value)).layers[0].thresholds[0] == value


def test_headers_that_claim_anything_end_in_an_error_or_a_whole_network(load, good, tmp_path):
    """Whatever is accepted says everything that is in the file: saved again it is the same bytes, and it runs."""
    rng = random.Random(1)
    values = (0, 1, 2, 3, 4, 5, 7, 63, 64, 65, 255, 256, 65535, 2**24, 2**31 - 1, 2**31, 2**32 - 1)
    fields = [12, *range(56, 224, 4)]
    load(good)
    accepted = 0
    tracemalloc.start()
    try:
        for _ in range(2000):
            damaged = bytearray(good)
            for at in rng.sample(fields, rng.choice((1, 1, 1, 2, 3))):
                old = struct.unpack_from("<I", good, at)[0]
                value = rng.choice((*values, old + 1, max(0, old - 1), rng.getrandbits(32)))
                struct.pack_into("<I", damaged, at, value)
            damaged = sealed(damaged)
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            try:
                network_on_bits = load(damaged)
            except PackedError:
                continue
            finally:
                assert tracemalloc.get_traced_memory()[1] - before < 2 * len(good) + (1 << 16)
            accepted += 1
            save_packed(tmp_path / "again", network_on_bits)
            assert (tmp_path / "again").read_bytes() == damaged
            if np.prod(network_on_bits.shape, dtype=float) < 1e4:
                logits = packed.predict(network_on_bits, pictures(network_on_bits.shape, 2))
                assert logits.shape == (2, network_on_bits.classes)
    finally:
        tracemalloc.stop()
    assert accepted > 100                                            # pad values, maps that are pooled to the same size


def test_sections_that_hold_anything_end_in_an_error_or_a_whole_network(load, good, tmp_path):
    rng = random.Random(2)
    for _ in range(500):
        damaged = bytearray(good)
        for _ in range(rng.choice((1, 2, 5))):
            damaged[rng.randrange(HEADER, len(good))] = rng.randrange(256)
        damaged = sealed(damaged)
        try:
            network_on_bits = load(damaged)
        except PackedError:
            continue
        save_packed(tmp_path / "again", network_on_bits)
        assert (tmp_path / "again").read_bytes() == damaged
        with np.errstate(all="ignore"):
            assert packed.predict(network_on_bits, pictures(SHAPE, 2)).shape == (2, 4)


# --- preprocessing, real numbers, weights that can be 0 ------------------------------------------------------------


def preprocessed(*made):
    """A ternary network with rectifiers behind this preprocessing, packed, and its parts."""
    rng = np.random.default_rng(0)
    net = recipe.build(recipe.Recipe("5FC", 1, 1, (1, 1), inputs=made), SHAPE, 4,
                       few_multiplications.FORMS["ternary"]["deterministic"].vocabulary)
    params, running = network.init(net, rng)
    return packed.pack_network(net, params, network.fit(net, running, loop.scale_pixels(pictures(SHAPE))), SHAPE, "")


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """The bytes of a file with the sections that `good` has not."""
    path = tmp_path_factory.mktemp("packed") / "mixed.bnn"
    save_packed(path, preprocessed(inputs.centred_inputs, inputs.contrast_inputs, inputs.whitened_inputs,
                                   inputs.local_contrast_inputs))
    return path.read_bytes()


def test_the_other_sections_are_where_the_format_says(mixed):
    network_on_bits = preprocessed(inputs.centred_inputs, inputs.contrast_inputs, inputs.whitened_inputs,
                                   inputs.local_contrast_inputs)
    assert struct.unpack("<6I", mixed[56:80]) == (*SHAPE, 2, 4, 0)
    assert struct.unpack("<4Ii4I", mixed[80:116]) == (5, 4, 3, 0, 0, 1, 1, 6, 2)
    assert struct.unpack("<4Ii4I", mixed[116:152]) == (4, 1, 1, 0, 0, 1, 1, 6, 2)
    assert struct.unpack("<4I", mixed[152:168]) == (0, 1, 2, 3)
    at = 192
    centre, contrast, white, local = network_on_bits.fronts
    hidden, last = *network_on_bits.layers, network_on_bits.output
    for array, size in ((*centre.arrays, 24 * 4), (*contrast.arrays, 4), (white.arrays[0], 24 * 4),
                        (white.arrays[1], 24 * 24 * 4), (*local.arrays, 4), (hidden.weights, 2 * 5 * 8),
                        (hidden.affine, 3 * 5 * 4), (last.weights, 2 * 4 * 8), (last.affine, 3 * 4 * 4)):
        assert mixed[at:at + size] == array.astype(array.dtype.newbyteorder("<")).tobytes()
        at += -(-size // 64) * 64
    assert at == len(mixed) and contrast.arrays[0] == 55 and local.arrays[0] == 9


def test_what_was_preprocessed_is_saved_and_loaded(tmp_path, mixed, load):
    again = load(mixed)
    save_packed(tmp_path / "again", again)
    assert (tmp_path / "again").read_bytes() == mixed
    for made in ((inputs.centred_inputs,), (inputs.contrast_inputs, inputs.whitened_inputs), ()):
        first = preprocessed(*made)
        save_packed(tmp_path / "net.bnn", first)
        x = pictures(SHAPE)
        assert packed.predict(load_packed(tmp_path / "net.bnn"), x).tobytes() == packed.predict(first, x).tobytes()


def test_preprocessing_is_described(mixed, load):
    assert [line.split("  ")[1] for line in repr(load(mixed)).splitlines()[1:6]] == [
        "centre", "contrast", "white", "local", "dense 24 -> 5"]


@pytest.mark.parametrize("at, code, value, message", [
    (76, "<I", 2**32 - 1, "header: "),
    (152, "<I", 4, "preprocessing 1: kind: expected one below 4, got 4"),
    (152, "<I", 2**32 - 1, "preprocessing 1: kind: expected one below 4"),
    (56, "<I", 2**31, "preprocessing 1: centre: .2147483648, 4, 3. take the bytes up to"),
    (60, "<I", 2**16, "preprocessing [13]: (centre|white): .* take the bytes up to"),
    (108, "<I", 1, r"layer 1: coding: expected one of \[6\], got 1"),
    (144, "<I", 0, "layer 1: no bits are made of sums of real numbers"),
    (144, "<I", 5, r"layer 2: coding: expected one of \[0, 6\], got 5"),
    (192, "<f", np.nan, "preprocessing 1: centre: expected finite numbers, got NaN or infinity"),
    (192 + 128, "<f", 0, r"preprocessing 2: contrast: expected a scale above 0, got 0\.0"),
    (192 + 128, "<f", -1, "preprocessing 2: contrast: expected a scale above 0"),
    (192 + 128, "<f", np.inf, "preprocessing 2: contrast: expected finite numbers"),
    (192 + 128 + 4, "<B", 1, "preprocessing 2: bytes 324 to 383: expected 0"),
    (192 + 128 + 64 + 128 + 96, "<f", np.inf, "preprocessing 3: white: expected finite numbers"),
    (192 + 128 + 64 + 128 + 2304, "<f", 4, r"preprocessing 4: local: expected an odd number of pixels, got 4\.0"),
    (192 + 128 + 64 + 128 + 2304, "<f", -3, "preprocessing 4: local: expected an odd number of pixels"),
    (192 + 128 + 64 + 128 + 2304, "<f", 2.5, "preprocessing 4: local: expected an odd number of pixels"),
    (192 + 128 + 64 + 128 + 2304 + 64, "<Q", 1 << 24, "layer 1: weights: expected 0 in the bits past k = 24"),
    (192 + 128 + 64 + 128 + 2304 + 64 + 128, "<f", np.nan, "layer 1: affine: expected finite numbers"),
])
def test_what_does_not_fit_is_named_there_too(load, mixed, at, code, value, message):
    with pytest.raises(PackedError, match=message):
        load(changed(mixed, at, code, value))


def test_infinite_scales_are_good(load, mixed):
    at = len(mixed) - 64 + 16
    assert np.isinf(load(changed(mixed, at, "<f", np.inf)).output.affine[1, 0])


@pytest.mark.parametrize("seed, fields", [(3, range(56, 168, 4)), (4, range(192, 3500, 4))])
def test_anything_there_ends_in_an_error_or_a_whole_network(load, mixed, tmp_path, seed, fields):
    rng = random.Random(seed)
    values = (0, 1, 2, 3, 5, 6, 7, 64, 255, 2**24, 2**31, 2**32 - 1, 0x7F800000, 0x7FC00000)
    accepted = 0
    for _ in range(500):
        damaged = bytearray(mixed)
        for at in rng.sample(fields, rng.choice((1, 1, 2))):
            struct.pack_into("<I", damaged, min(at, len(mixed) - 4), rng.choice((*values, rng.getrandbits(32))))
        damaged = sealed(damaged)
        try:
            network_on_bits = load(damaged)
        except PackedError:
            continue
        accepted += 1
        save_packed(tmp_path / "again", network_on_bits)
        assert (tmp_path / "again").read_bytes() == damaged
        if np.prod(network_on_bits.shape, dtype=float) < 1e4:
            with np.errstate(all="ignore"):
                logits = packed.predict(network_on_bits, pictures(network_on_bits.shape, 2))
            assert logits.shape == (2, network_on_bits.classes)
    assert accepted > 10
