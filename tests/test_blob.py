"""The shard encoding: what zarr-python and tensorstore read is what was put in, and damage is noticed."""

import json
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import pytest
import tensorstore
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mixio import blob
from mixio.codec import Codec
from mixio.errors import DamagedChunkError, InvalidArgument
from tests.arrays import write_array

DTYPES = ["uint8", "int8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16", "float32", "float64"]
CODECS = ["lz4:5", "lz4:1", "lz4hc:5", "zstd:3", "none", "zstd:3:bitshuffle", "lz4:5:noshuffle"]


def written(folder: Path, voxels: NDArray[Any], grid: blob.Grid) -> Path:
    write_array(folder, "0", voxels, grid)
    return folder / "0"


@pytest.mark.parametrize("dtype", DTYPES)
def test_zarr_and_tensorstore_read_every_type(tmp_path: Path, dtype: str) -> None:
    voxels = np.random.default_rng(0).integers(0, 120, (21, 30, 9)).astype(dtype)
    path = written(tmp_path, voxels, blob.plan_grid(voxels.shape, dtype, 3, chunk=8))
    assert np.array_equal(zarr.open_array(path, mode="r")[:], voxels)
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(path)}}
    assert np.array_equal(tensorstore.open(spec).result().read().result(), voxels)


def test_an_array_of_many_shards_is_read_by_zarr(tmp_path: Path) -> None:
    voxels = np.random.default_rng(0).integers(0, 120, (40, 17, 23)).astype(np.int16)
    grid = blob.plan_grid(voxels.shape, "int16", 0, chunk=8, shard_bytes=4096)
    path = written(tmp_path, voxels, grid)
    assert np.prod(grid.shards) > 4
    assert np.array_equal(zarr.open_array(path, mode="r")[:], voxels)


def test_chunks_of_background_are_left_out(tmp_path: Path) -> None:
    voxels = np.full((64, 64, 64), -1000, np.int16)
    voxels[:8, :8, :8] = np.random.default_rng(0).integers(0, 99, (8, 8, 8))
    grid = blob.plan_grid(voxels.shape, "int16", -1000, chunk=8)
    data = blob.encode_shard(voxels, grid)
    index = blob.decode_index(data[-blob.index_bytes(grid) :], grid, "here")
    assert sum(not blob.is_missing(entry) for entry in index.reshape(-1, 2)) == 1
    assert np.array_equal(zarr.open_array(written(tmp_path, voxels, grid), mode="r")[:], voxels)


@settings(max_examples=30)
@given(shape=st.tuples(*[st.integers(1, 40)] * 3), chunk=st.integers(1, 16))
def test_a_grid_covers_its_array_in_whole_chunks(shape: tuple[int, int, int], chunk: int) -> None:
    grid = blob.plan_grid(shape, "int16", 0, chunk=chunk)
    for n, c, s in zip(shape, grid.chunk, grid.shard, strict=True):
        assert s % c == 0
        assert s >= n
        assert c == min(chunk, n)


def test_a_volume_over_half_a_gibibyte_gets_several_shards() -> None:
    grid = blob.plan_grid((1024, 1024, 800), "int16", 0)
    assert np.prod(grid.shard) * 2 <= 512 * 2**20
    assert np.prod(grid.shards) == 4


def test_one_shard_holds_it_all_where_that_is_asked_for() -> None:
    grid = blob.plan_grid((1024, 1024, 800), "int16", 0, shard_bytes=None)
    assert grid.shards == (1, 1, 1)


def test_any_flipped_bit_of_a_chunk_is_noticed() -> None:
    chunk = np.random.default_rng(0).integers(0, 99, (8, 8, 8)).astype(np.int16)
    grid = blob.Grid((8, 8, 8), (8, 8, 8), (8, 8, 8), "int16", 0)
    data = blob.encode_chunk(chunk)
    assert np.array_equal(blob.decode_chunk(data, grid, "here"), chunk)
    for position in range(0, len(data), 7):
        damaged = bytearray(data)
        damaged[position] ^= 1
        with pytest.raises(DamagedChunkError, match="here: a chunk does not match its checksum"):
            blob.decode_chunk(bytes(damaged), grid, "here")


def test_a_chunk_of_another_type_is_not_taken_for_this_one() -> None:
    data = blob.encode_chunk(np.arange(512, dtype=np.int16).reshape(8, 8, 8))
    with pytest.raises(DamagedChunkError, match="has not the size that the manifest says"):
        blob.decode_chunk(data, blob.Grid((8, 8, 8), (8, 8, 8), (8, 8, 8), "int32", 0), "here")


def test_a_damaged_index_is_noticed() -> None:
    grid = blob.plan_grid((8, 8, 8), "int16", 0)
    footer = bytearray(blob.encode_shard(np.ones((8, 8, 8), np.int16), grid)[-blob.index_bytes(grid) :])
    footer[0] ^= 1
    with pytest.raises(DamagedChunkError, match="index does not match its checksum"):
        blob.decode_index(bytes(footer), grid, "here")


def test_a_chunk_of_nothing_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="chunk must be at least 1 voxel, got 0"):
        blob.plan_grid((4, 4, 4), "int16", 0, chunk=0)


@pytest.mark.parametrize("fill", [float("nan"), float("inf")])
def test_a_fill_that_is_not_finite_is_refused(fill: float) -> None:
    with pytest.raises(InvalidArgument, match="the fill value must be a finite number, got"):
        blob.plan_grid((4, 4, 4), "float32", fill)


def test_a_chunk_that_blosc_cannot_take_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="a chunk of 1100 voxels a side of int16 has over 2 GiB"):
        blob.plan_grid((2000, 2000, 2000), "int16", 0, chunk=1100)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
def test_zarr_and_tensorstore_read_every_codec_whole_and_in_part(tmp_path: Path, dtype: str, codec: str) -> None:
    voxels = np.random.default_rng(0).integers(0, 120, (37, 30, 21)).astype(dtype)
    path = written(tmp_path, voxels, replace(blob.plan_grid(voxels.shape, dtype, 3, chunk=8), codec=Codec.parse(codec)))
    array = zarr.open_array(path, mode="r")
    other = tensorstore.open({"driver": "zarr3", "kvstore": {"driver": "file", "path": str(path)}}).result()
    part = np.s_[5:29, 7:8, 3:20]
    assert np.array_equal(array[:], voxels)
    assert np.array_equal(array[part], voxels[part])
    assert np.array_equal(other.read().result(), voxels)
    assert np.array_equal(other[part].read().result(), voxels[part])


def test_codecs_differ_in_size_and_none_compresses_nothing() -> None:
    voxels = np.random.default_rng(0).integers(0, 120, (32, 32, 32)).astype(np.int16)
    grids = {
        name: replace(blob.plan_grid(voxels.shape, "int16", 0), codec=Codec.parse(name))
        for name in ("none", "lz4", "zstd")
    }
    sizes = {name: len(blob.encode_shard(voxels, grid)) for name, grid in grids.items()}
    assert sizes["none"] > voxels.nbytes > sizes["lz4"] > sizes["zstd"]


@settings(max_examples=60)
@given(
    dtype=st.sampled_from(DTYPES),
    shape=st.tuples(*[st.integers(1, 40)] * 3),
    chunk=st.integers(1, 48),
    codec=st.sampled_from(CODECS),
    seed=st.integers(0, 10**6),
)
def test_a_shard_is_decoded_from_its_bytes_alone(
    dtype: str, shape: tuple[int, int, int], chunk: int, codec: str, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    voxels = (rng.integers(0, 9, shape) * (rng.random(shape) < 0.01)).astype(dtype)
    grid = replace(blob.plan_grid(shape, dtype, 0, chunk=chunk), codec=Codec.parse(codec))
    decoded = blob.decode_shard(blob.encode_shard(voxels, grid), "here")
    assert decoded.dtype == np.dtype(dtype)
    assert np.array_equal(decoded, voxels)


def test_the_bytes_do_not_depend_on_how_voxels_lie_in_memory() -> None:
    voxels = np.random.default_rng(0).integers(0, 3, (21, 30, 17)).astype(np.int16)
    grid = blob.plan_grid(voxels.shape, "int16", 0, chunk=8)
    expected = blob.encode_shard(voxels, grid)
    backwards = np.ascontiguousarray(voxels[::-1, :, ::-1])[::-1, :, ::-1]
    layouts = [
        np.asfortranarray(voxels),
        backwards,
        voxels.astype(">i2"),
        voxels.transpose(1, 2, 0).copy().transpose(2, 0, 1),
    ]
    for layout in layouts:
        assert blob.encode_shard(layout, grid) == expected


def test_pieces_are_the_shard_and_their_checksum_can_be_taken_on_the_way() -> None:
    voxels = np.random.default_rng(0).integers(0, 99, (21, 30, 17)).astype(np.int16)
    grid = blob.plan_grid(voxels.shape, "int16", 0, chunk=8)
    crc, whole = 0, b""
    for piece in blob.shard_pieces(voxels, grid):
        crc, whole = blob.extend_crc32c(crc, piece), whole + piece
    assert whole == blob.encode_shard(voxels, grid)
    assert crc == google_crc32c.value(whole) == int.from_bytes(blob.crc32c(whole), "little")


def test_encoding_in_pieces_holds_a_chunk_or_two() -> None:
    voxels = np.zeros((256, 256, 160), np.int16, order="F")
    voxels[::3, ::2] = 700
    tracemalloc.start()
    sizes = [len(piece) for piece in blob.shard_pieces(voxels, blob.plan_grid(voxels.shape, "int16", 0))]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sum(sizes) > 0
    assert peak < 2**20


def test_the_header_is_one_line_of_json_and_the_first_chunk_follows_it() -> None:
    voxels = np.arange(2 * 3 * 9, dtype=np.uint8).reshape(2, 3, 9)
    data = blob.encode_shard(voxels, blob.plan_grid(voxels.shape, "uint8", 7, chunk=4))
    line = data[: data.index(b"\n") + 1]
    said = json.loads(line)
    assert len(line) % 64 == 0
    assert {**said, "crc32c": ""} == {
        "mixio": 1, "shape": [2, 3, 9], "chunk": [2, 3, 4], "dtype": "uint8", "fill": 7, "crc32c": ""
    }  # fmt: skip
    plain = line.replace(said["crc32c"].encode(), b"00000000")
    assert said["crc32c"] == google_crc32c.value(plain).to_bytes(4, "little").hex()
    grid, length = blob.decode_header(data, "here")
    assert length == len(line)
    assert blob.decode_index(data[-blob.index_bytes(grid) :], grid, "here")[0, 0, 0, 0] == length


@pytest.mark.parametrize(("dtype", "fill"), [("int64", -(2**63)), ("int64", 2**53 + 1), ("uint64", 2**64 - 1)])
def test_a_fill_of_64_bits_keeps_every_digit(tmp_path: Path, dtype: str, fill: int) -> None:
    voxels = np.full((9, 9, 9), fill, dtype)
    voxels[0, 0, 0] = 1
    grid = blob.plan_grid(voxels.shape, dtype, fill, chunk=4)
    data = blob.encode_shard(voxels, grid)
    assert len(data) < 27 * 16 + 500
    assert np.array_equal(blob.decode_shard(data, "here"), voxels)
    path = written(tmp_path, voxels, grid)
    assert np.array_equal(zarr.open_array(path, mode="r")[:], voxels)
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(path)}}
    assert np.array_equal(tensorstore.open(spec).result().read().result(), voxels)


@pytest.mark.parametrize("value", [np.nan, -0.0])
def test_floats_that_only_look_like_the_fill_are_kept_bit_by_bit(value: float) -> None:
    voxels = np.full((5, 5, 5), value, np.float32)
    voxels[0, 0, 0] = 0.0
    data = blob.encode_shard(voxels, blob.plan_grid(voxels.shape, "float32", 0.0))
    assert blob.decode_shard(data, "here").tobytes() == voxels.tobytes()


def shard() -> bytes:
    """A shard of eight chunks, one of them fill."""
    voxels = np.random.default_rng(0).integers(0, 99, (8, 8, 8)).astype(np.int16)
    voxels[:4, :4, :4] = 5
    return blob.encode_shard(voxels, blob.plan_grid(voxels.shape, "int16", 5, chunk=4))


def test_no_flipped_bit_of_a_shard_goes_unnoticed() -> None:
    data = shard()
    for bit in range(0, 8 * len(data), 5):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(DamagedChunkError, match="here: "):
            blob.decode_shard(bytes(damaged), "here")


def test_no_truncated_shard_is_decoded() -> None:
    data = shard()
    for length in [*range(0, len(data), 11), len(data) - 1]:
        with pytest.raises(DamagedChunkError, match="here: "):
            blob.decode_shard(data[:length], "here")


def signed(**changes: Any) -> bytes:
    """A header that says what is asked for, and matches its checksum."""
    says = {
        "mixio": 1,
        "shape": [8, 8, 8],
        "chunk": [4, 4, 4],
        "dtype": "int16",
        "fill": 5,
        **changes,
        "crc32c": "0" * 8,
    }
    line = json.dumps(says, separators=(",", ":"))
    line += " " * (-(len(line) + 1) % 64) + "\n"
    crc = google_crc32c.value(line.encode()).to_bytes(4, "little").hex()
    return line.replace("0" * 8 + '"}', crc + '"}').encode()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mixio": 2}, "version 2, this mixio reads 1"),
        ({"shape": [8, 8]}, "not enough values"),
        ({"shape": [8, 8, 0]}, "shape"),
        ({"shape": [8, 8, 8.0]}, "shape"),
        ({"chunk": [4, 4, True]}, "shape"),
        ({"shape": [10**6] * 3}, "cannot be an array of"),
        ({"shape": [60_000] * 3, "chunk": [30_000] * 3}, "chunks of"),
        ({"shape": [1200] * 3, "chunk": [600] * 3, "dtype": "float64"}, "cannot be an array of"),
        ({"dtype": "object"}, "chunks of"),
        ({"dtype": ">i2"}, "chunks of"),
        ({"fill": 2**15}, "fill 32768 for int16"),
        ({"fill": None}, "fill None"),
        ({"fill": float("nan")}, "fill nan"),
    ],
)
def test_a_header_that_lies_is_refused_before_anything_is_allocated(changes: dict[str, Any], message: str) -> None:
    data = shard()
    body = data[data.index(b"\n") + 1 :]
    with pytest.raises(DamagedChunkError, match=f"here: .*{message}"):
        blob.decode_shard(signed(**changes) + body, "here")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ((2**63, 2**63), "lie at byte 9223372036854775808"),
        ((0, 100), "lie at byte 0"),
        ((128, 2**40), "lie at byte 128"),
        ((140, 40), "does not match its checksum"),
        ((140, 0), "does not match its checksum"),
    ],
)
def test_an_index_that_points_astray_is_refused(entry: tuple[int, int], message: str) -> None:
    header = signed(shape=[4, 4, 4])
    index = np.array(entry, "<u8").tobytes()
    data = header + bytes(200) + index + blob.crc32c(index)
    with pytest.raises(DamagedChunkError, match=f"here: a chunk .*{message}"):
        blob.decode_shard(data, "here")


def test_a_blosc_frame_that_lies_of_its_size_is_refused() -> None:
    grid = blob.Grid((8, 8, 8), (8, 8, 8), (8, 8, 8), "int16", 0)
    frame = bytearray(blob.encode_chunk(np.arange(512, dtype=np.int16).reshape(8, 8, 8))[:-4])
    for at, value in ((4, 2**31 - 1), (12, len(frame) + 1000)):
        lying = bytes(frame[:at]) + value.to_bytes(4, "little") + bytes(frame[at + 4 :])
        with pytest.raises(DamagedChunkError, match="has not the size"):
            blob.decode_chunk(lying + blob.crc32c(lying), grid, "here")


def test_a_forged_frame_with_a_right_checksum_is_refused_or_decoded_and_never_worse() -> None:
    grid = blob.Grid((8, 8, 8), (8, 8, 8), (8, 8, 8), "int16", 0)
    frame = blob.encode_chunk(np.random.default_rng(0).integers(0, 9, (8, 8, 8)).astype(np.int16))[:-4]
    outcomes = set()
    for position in range(16, len(frame)):
        forged = frame[:position] + bytes([frame[position] ^ 255]) + frame[position + 1 :]
        try:
            outcomes.add(blob.decode_chunk(forged + blob.crc32c(forged), grid, "here").shape)
        except DamagedChunkError:
            outcomes.add(())
    assert outcomes == {(8, 8, 8), ()}
