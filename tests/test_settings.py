"""Settings as the store records them: all but the salt."""

from pathlib import Path

import pytest

from mixio.convert import convert
from mixio.errors import InvalidArgument, StoreError
from mixio.settings import Settings, parse_spacing, settings_of


def test_the_salt_is_recognised_but_not_stored(sources: Path, tmp_path: Path) -> None:
    convert(sources, tmp_path / "store", settings=Settings(salt="pepper"), jobs=0)
    everything = b"".join(path.read_bytes() for path in (tmp_path / "store").rglob("*") if path.is_file())
    assert b"pepper" not in everything
    found = settings_of(tmp_path / "store", salt="pepper")
    assert found == Settings(salt="pepper", split_seed=found.split_seed)
    with pytest.raises(StoreError, match="names were hashed with another salt; give the one it was made with"):
        convert(sources, tmp_path / "store", jobs=0)


def test_a_folder_without_a_store_has_no_settings(tmp_path: Path) -> None:
    assert settings_of(tmp_path / "gone") is None
    (tmp_path / ".mixio").mkdir()
    assert settings_of(tmp_path) is None
    (tmp_path / "thesis.doc").touch()
    with pytest.raises(StoreError, match="not a mixio store"):
        settings_of(tmp_path)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"chunk": 0}, "chunk must be at least 1 voxel, got 0"),
        ({"val_fraction": 1.5}, r"val_fraction must be at least 0 and below 1, got 1\.5"),
        ({"max_nonfinite": float("nan")}, "max_nonfinite must be at least 0 and below 1, got nan"),
        ({"max_nonfinite": 1.0}, "max_nonfinite must be at least 0 and below 1"),
        ({"shard_size": 0}, "shard_size must be at least 1 byte, got 0"),
        ({"spacing": (1.0, 2.0)}, "spacing must be three positive numbers in mm"),
        ({"spacing": (1.0, 2.0, float("inf"))}, "spacing must be three positive numbers in mm"),
        ({"container": "hdf5"}, "container must be one of zarr, webdataset, got 'hdf5'"),
        ({"dtype": "int8"}, "dtype must be one of native, int16, float16, float32, got 'int8'"),
        ({"frames": "last"}, "frames must be one of first, mean, each, got 'last'"),
        ({"codec": "zip"}, "zip"),
        ({"split_seed": -1}, r"split_seed must be from 0 to 2\^63 - 1, got -1"),
    ],
)
def test_wrong_settings_are_refused(wrong: dict, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        Settings(**wrong)


def test_a_store_has_the_settings_it_was_made_with(sources: Path, tmp_path: Path) -> None:
    made_with = Settings(
        container="webdataset", chunk=24, codec="zstd:3", spacing=(2, 2.5, 3), dtype="float16", crop_foreground=True,
        frames="each", assume_affine=True, max_nonfinite=0.2, shard_size=2**20, val_fraction=0.3, split_seed=4,
        keep_names=True, salt="pepper",
    )  # fmt: skip
    convert(sources, tmp_path / "store", settings=made_with, jobs=0)
    assert settings_of(tmp_path / "store", salt="pepper") == made_with


@pytest.mark.parametrize(
    "other",
    [{"chunk": 24}, {"dtype": "int16"}, {"spacing": (1, 1, 1)}, {"frames": "mean"}, {"max_nonfinite": 0.02},
     {"crop_foreground": True}, {"assume_affine": True}, {"codec": "none"}, {"salt": "pepper"}, {"split_seed": 1}],
)  # fmt: skip
def test_any_other_setting_has_another_identity(other: dict) -> None:
    assert Settings(**other).identity != Settings().identity
    assert len(Settings(**other).identity) == 8
    assert Settings(**other).identity == Settings(**other).identity


@pytest.mark.parametrize(
    ("text", "spacing"),
    [("native", None), ("1.5,1.5,2.0", (1.5, 1.5, 2)), ("1x2x3", (1, 2, 3)), ("1e0, 2 ,.5", (1, 2, 0.5))],
)
def test_a_spacing_is_three_numbers_or_native(text: str, spacing: tuple | None) -> None:
    assert parse_spacing(text) == spacing


@pytest.mark.parametrize("text", ["", "1.5", "1,2", "1,2,3,4", "a,b,c", "Native"])
def test_another_spacing_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(InvalidArgument, match=r"three numbers in mm as in 1\.5,1\.5,2\.0, got"):
        parse_spacing(text)


def test_a_store_of_another_algorithm_is_not_added_to(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    convert(sources, tmp_path / "store", jobs=0)
    monkeypatch.setattr("mixio.settings.ALGORITHM", 2)
    with pytest.raises(StoreError, match="was made by a mixio that converts otherwise; convert into a new store"):
        convert(sources, tmp_path / "store", jobs=0)
