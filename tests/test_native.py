"""The compiled part against numcodecs and NumPy, and what happens where there is none."""

import ctypes
import importlib.util
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mixio import native
from mixio.blob import Grid, crc32c
from mixio.codec import FILTERS, NAMES, Codec
from mixio.native import TYPES, Region, Shard, compiled, why_not
from mixio.normalize import apply_linear
from mixio.row import Blob
from mixio.shards import OpenShard
from mixio.stores.storage import storage_of
from tests.arrays import write_array

pytestmark = pytest.mark.skipif(why_not() is not None and "CI" not in os.environ, reason=f"not built: {why_not()}")


def shard_of(root: Path, voxels: np.ndarray, grid: Grid) -> OpenShard:
    (blob,) = write_array(root, "0", voxels, grid)
    return OpenShard(storage_of(root), blob, grid)


def read(shard: OpenShard, low: Any, high: Any, dtype: Any, linear: Any = None) -> tuple[bool, np.ndarray]:
    target = np.full([b - a for a, b in zip(low, high, strict=True)], 99, dtype)
    return fast().read(shard._shard, [Region(low, high, target, linear)]), target


def fast() -> native.Compiled:
    found = compiled()
    assert found is not None
    return found


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("codec", [Codec(name, 5, shuffle) for name in NAMES for shuffle in FILTERS], ids=str)
def test_every_dtype_and_codec_comes_back(tmp_path: Path, dtype: str, codec: Codec) -> None:
    voxels = np.random.default_rng(0).normal(0, 60, (40, 33, 24)).clip(0, 120).astype(dtype)
    voxels[20:] = 7
    grid = Grid(voxels.shape, (16, 16, 8), (48, 48, 24), dtype, 7, codec)
    done, target = read(shard_of(tmp_path, voxels, grid), (3, 1, 5), (39, 33, 24), dtype)
    assert done
    assert np.array_equal(target, voxels[3:39, 1:33, 5:24])


@given(
    chunk=st.tuples(st.integers(1, 24), st.integers(1, 24), st.integers(1, 24)),
    dtype=st.sampled_from(["int16", "uint16", "float32"]),
    seed=st.integers(0, 10),
    data=st.data(),
)
@settings(max_examples=60)
def test_bit_shuffled_chunks_of_any_shape_come_back(
    tmp_path_factory: pytest.TempPathFactory, chunk: Any, dtype: str, seed: int, data: st.DataObject
) -> None:
    shape = tuple(data.draw(st.integers(1, 2 * c)) for c in chunk)
    low = tuple(data.draw(st.integers(0, n - 1)) for n in shape)
    high = tuple(data.draw(st.integers(a + 1, n)) for a, n in zip(low, shape, strict=True))
    voxels = np.random.default_rng(seed).integers(0, 2**16, shape).astype(np.uint16).astype(dtype)
    grid = Grid(shape, chunk, tuple(2 * c for c in chunk), dtype, 0, Codec(shuffle="bitshuffle"))
    done, target = read(shard_of(tmp_path_factory.mktemp("shard"), voxels, grid), low, high, dtype)
    assert done
    assert np.array_equal(target, voxels[tuple(slice(a, b) for a, b in zip(low, high, strict=True))])


@pytest.mark.parametrize("way", [1, 2], ids=["AVX2", "GFNI"])
@pytest.mark.parametrize("dtype", ["uint16", "uint32"])
@given(eights=st.integers(64, 300), seed=st.integers(0, 99))
def test_each_way_to_undo_the_bit_shuffle_puts_every_bit_back(way: int, dtype: str, eights: int, seed: int) -> None:
    if way > fast()._library.mixio_unshuffles():
        pytest.skip("this processor does not have these instructions")
    width = np.dtype(dtype).itemsize
    voxels = np.random.default_rng(seed).integers(0, 2 ** (8 * width), 8 * eights).astype(dtype)
    bits = np.unpackbits(voxels.view(np.uint8).reshape(-1, width), axis=1, bitorder="little")  # (voxels, bits)
    rows = np.packbits(np.ascontiguousarray(bits.T), axis=1, bitorder="little")  # (bits, eights)
    out = np.empty_like(voxels)
    call = fast()._library.mixio_unshuffle
    call.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64]
    call(way, rows.ctypes.data, eights, out.ctypes.data, width)
    assert np.array_equal(out, voxels)


@given(
    voxels=st.sampled_from(TYPES).flatmap(lambda name: arrays(name, (3, 5, 7))),
    scale=st.floats(-1, 1, width=32),
    offset=st.floats(-2, 2, width=32),
)
@pytest.mark.filterwarnings("ignore:(overflow|invalid value) encountered:RuntimeWarning")
def test_linear_rounds_as_numpy_does(voxels: np.ndarray, scale: float, offset: float) -> None:
    ours = np.empty(voxels.shape, np.float32)
    fast().linear(voxels, scale, offset, ours)
    theirs = (voxels.astype(np.float32) * np.float32(scale) + np.float32(offset)).clip(0, 1)
    assert np.array_equal(ours, theirs, equal_nan=True)


def test_floats_on_the_way_are_those_of_normalizing_afterwards(tmp_path: Path) -> None:
    voxels = np.random.default_rng(0).integers(-1500, 1500, (30, 30, 30)).astype(np.int16)
    voxels[:16] = -1024
    grid = Grid(voxels.shape, (16, 16, 16), (32, 32, 32), "int16", -1024)
    linear = (float(np.float32(1 / 2000)), 0.5)
    done, target = read(shard_of(tmp_path, voxels, grid), (2, 3, 4), (30, 29, 28), np.float32, linear)
    apply_linear(voxels[2:30, 3:29, 4:28], linear, out=(wanted := np.empty(target.shape, np.float32)))
    assert done
    assert np.array_equal(target, wanted)


@pytest.mark.parametrize("name", ["lz4", "zstd"])
@pytest.mark.parametrize("shuffle", ["shuffle", "bitshuffle"])
def test_no_flipped_byte_is_read_as_data(tmp_path: Path, name: str, shuffle: str) -> None:
    voxels = np.random.default_rng(0).integers(0, 9, (16, 16, 16)).astype(np.int16)
    grid = Grid(voxels.shape, (16, 16, 16), (16, 16, 16), "int16", 0, Codec(name, 5, shuffle))
    shard = shard_of(tmp_path, voxels, grid)
    file = tmp_path / "0" / "c" / "0" / "0" / "0"
    content = file.read_bytes()
    offset, length = (int(n) for n in shard.index[0, 0, 0])
    for at in range(offset, offset + length):
        file.write_bytes(content[:at] + bytes([content[at] ^ 16]) + content[at + 1 :])
        assert not read(shard, (0, 0, 0), (16, 16, 16), "int16")[0]
    file.write_bytes(content)
    assert read(shard, (0, 0, 0), (16, 16, 16), "int16")[0]


@given(noise=st.binary(min_size=1, max_size=300), at=st.integers(0, 400))
@settings(max_examples=300, deadline=None)
def test_a_frame_of_nonsense_with_a_right_checksum_does_no_harm(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, at: int
) -> None:
    """Somebody who makes checksums can make bad frames; sizes are believed by no one."""
    voxels = np.arange(8 * 8 * 16, dtype=np.int16).reshape(8, 8, 16) // 5
    grid = Grid(voxels.shape, voxels.shape, voxels.shape, "int16", 0, Codec(shuffle="bitshuffle"))
    shard = shard_of(tmp_path_factory.mktemp("shard"), voxels, grid)
    offset, length = (int(n) for n in shard.index[0, 0, 0])
    path = Path(shard.where)
    content = bytearray(path.read_bytes())
    frame = content[offset : offset + length - 4]
    at %= len(frame) - 16
    frame[16 + at : 16 + at + len(noise)] = noise[: len(frame) - 16 - at]
    content[offset : offset + length] = frame + crc32c(bytes(frame))
    path.write_bytes(content)
    read(shard, (0, 0, 0), voxels.shape, "int16")  # right or refused: what counts is that it returns


def test_a_shard_that_lies_about_its_length_is_not_read_past_it(tmp_path: Path) -> None:
    voxels = np.ones((16, 16, 16), np.int16)
    grid = Grid(voxels.shape, (16, 16, 16), (16, 16, 16), "int16", 0)
    opened = shard_of(tmp_path, voxels, grid)
    short = Blob("0/c/0/0/0", 0, 20, 0)
    target = np.zeros((16, 16, 16), np.int16)
    shard = Shard(opened._descriptor, short, grid, opened.index)
    assert not fast().read(shard, [Region((0, 0, 0), (16, 16, 16), target)])


@pytest.mark.skipif("CI" not in os.environ, reason="where there is no compiler it may be missing")
def test_it_is_built_where_the_tests_of_record_run() -> None:
    assert why_not() is None


@pytest.fixture
def forgotten() -> Iterator[None]:
    """As in a new process: nothing is loaded yet."""
    native._loaded.cache_clear()
    yield
    native._loaded.cache_clear()


@pytest.mark.usefixtures("forgotten")
def test_without_the_compiled_part_the_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "find_spec", lambda name: None)
    assert compiled() is None
    assert "install a C compiler and then mixio again" in str(why_not())


@pytest.mark.usefixtures("forgotten")
def test_a_library_that_does_not_show_its_functions_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = importlib.util.find_spec("mixio._native")
    monkeypatch.setattr(native.blosc, "__file__", spec and spec.origin)
    assert compiled() is None
    assert "blosc_getitem" in str(why_not())


def test_an_unknown_dtype_is_left_to_python(tmp_path: Path) -> None:
    voxels = np.arange(64, dtype=np.int64).reshape(4, 4, 4)
    grid = Grid(voxels.shape, voxels.shape, voxels.shape, "int64", 0)
    assert shard_of(tmp_path, voxels, replace(grid))._shard is None
