"""Real reading processes, loaders and peers on a small store."""

from pathlib import Path

import pytest

from mixio.dataset import MixtureDataset
from mixio.errors import MixioError
from mixio.mixture import Mixture
from mixio.store import Store, open_store
from tools.bench_loaders import measure_loaders
from tools.bench_peers import measure_peers
from tools.bench_readers import Readers
from tools.bench_work import Work


@pytest.fixture(scope="module")
def work(small_store: Store) -> Work:
    return Work(MixtureDataset(small_store, Mixture({"abdomen-ct": 1.0}), patch_size=8), 2)


def test_readers_count_what_they_read(work: Work) -> None:
    with Readers(work, 2) as readers:
        one, two = readers.warm([1, 2], seconds=0.2)
    assert (one.processes, two.processes) == (1, 2)
    assert one.voxel_megabytes == pytest.approx(one.patches.median * 8**3 * 2 / 1e6)
    assert 0 < one.p50 <= one.p99
    assert one.cpu_seconds > 0


def test_a_cold_turn_reads_no_more_than_a_part_of_the_store(work: Work) -> None:
    with Readers(work, 1) as readers:
        cold = readers.cold(seconds=0.2)
    assert cold is None or (cold.is_cold and cold.patches.median > 0)


def test_a_damaged_store_is_an_error_by_name(small_store: Store, tmp_path: Path) -> None:
    root = tmp_path / "store"
    for path in Path(small_store.path).rglob("*"):
        if path.is_file():
            copy = root / path.relative_to(small_store.path)
            copy.parent.mkdir(parents=True, exist_ok=True)
            data = bytearray(path.read_bytes())
            if "/0/c/" in str(path):
                data[len(data) // 3] ^= 0xFF
            copy.write_bytes(data)
    damaged = Work(MixtureDataset(open_store(root), Mixture({"pet": 1.0}), patch_size=16), 2)
    with pytest.raises(MixioError, match="pet"), Readers(damaged, 1):
        pass


def test_a_step_is_waited_for_and_loaders_are_told_apart(work: Work) -> None:
    rows = measure_loaders(work, (0, 1), (1,), step=0.001, seconds=0.2)
    kinds = [(row.name, row.step) for row in rows if not row.is_cold]
    expected = [(f"DataLoader {count}", step) for count in (0, 1) for step in (0.0, 0.001)]
    expected += [("MixtureLoader 1", step) for step in (0.0, 0.001)]
    assert kinds == expected
    for row in rows:
        assert 0 < row.waiting <= 1
        assert row.patches.median * row.step <= work.batch_size


def test_peers_read_the_same_voxels(work: Work) -> None:
    peers, left_out = measure_peers(work, seconds=0.2)
    assert {peer.name for peer in peers} == {"mixio", "zarr-python", "tensorstore"}
    assert left_out == []
    for peer in peers:
        assert peer.ratio * peer.patches.median == pytest.approx(peers[0].patches.median)


def test_peers_are_left_out_where_no_patch_lies_inside(small_store: Store) -> None:
    large = Work(MixtureDataset(small_store, Mixture({"pet": 1.0}), patch_size=64), 2)
    peers, left_out = measure_peers(large, seconds=0.2)
    assert peers == []
    assert "no patch lies inside its volume" in left_out[0]
