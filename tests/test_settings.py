"""Settings as the store records them: all but the salt."""

from pathlib import Path

import pytest

from mixio.convert import convert
from mixio.errors import InvalidArgument, StoreError
from mixio.settings import Settings, settings_of


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
        ({"split_seed": -1}, r"split_seed must be from 0 to 2\^63 - 1, got -1"),
    ],
)
def test_wrong_settings_are_refused(wrong: dict, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        Settings(**wrong)
