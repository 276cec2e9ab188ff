"""From sources to tasks: names, hashes, splits and what is refused before anything is opened."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mixio.convert import convert
from mixio.errors import InvalidArgument
from mixio.settings import Settings
from mixio.sources import Source
from mixio.store import open_store
from mixio.tasks import claims_of, tasks_of
from tests.conftest import write_nifti

KEPT = Settings(keep_names=True)
TARS = Settings(container="webdataset", keep_names=True)


def source(name: str, domain: str = "ct", **fields: object) -> Source:
    return Source(Path("/data") / name, name, domain, str(fields.pop("subject", name)), **fields)


def names(settings: Settings, *sources: Source) -> list[str]:
    return [task.name for task in tasks_of(sources, settings)]


def test_tasks_are_in_the_order_of_their_names_whatever_that_of_the_table() -> None:
    sources = [source("b.nii"), source("a.nii", "pet"), source("a.nii.gz")]
    assert names(KEPT, *sources) == names(KEPT, *sources[::-1]) == ["ct/a", "ct/b", "pet/a"]


def test_a_key_is_the_path_less_what_repeats_the_domain_and_less_the_suffix() -> None:
    assert names(KEPT, source("CT/site a/x.nii.gz"), source("other/x.mha"), source("dicom/1.2.840")) == [
        "ct/dicom_1.2.840", "ct/other_x", "ct/site_a_x",
    ]  # fmt: skip


def test_hashed_names_are_of_the_path_and_change_with_the_salt() -> None:
    first, second = (tasks_of([source("Zqx.nii")], Settings(salt=salt))[0] for salt in ("", "pepper"))
    assert len({first.key, second.key, first.subject, second.subject, first.source_id, second.source_id}) == 6
    assert "Zqx" not in repr(replace(first, source=source("x")))
    assert first.key == "case-396986896ab1"  # sha256 of "\0Zqx.nii"


def test_the_key_of_the_table_is_the_key() -> None:
    assert names(Settings(), source("a.nii", key="case.1")) == ["ct/case.1"]


@pytest.mark.parametrize("settings", [KEPT, TARS])
def test_two_sources_of_one_name_are_refused_with_the_way_out(settings: Settings) -> None:
    with pytest.raises(InvalidArgument, match=r"x\.mha and x\.nii would both be ct/x; give one of them .* column key"):
        tasks_of([source("x.nii"), source("x.mha")], settings)


def test_a_tar_has_no_dot_in_a_key_and_so_may_collide() -> None:
    assert names(TARS, source("1.2.nii")) == ["ct/1_2"]
    with pytest.raises(InvalidArgument, match="would both be ct/1_2"):
        tasks_of([source("1.2.nii"), source("1_2.nii")], TARS)
    with pytest.raises(InvalidArgument, match=r"key 'case\.1': a WebDataset key has no dot; use '_' instead"):
        tasks_of([source("a.nii", key="case.1")], TARS)


@pytest.mark.parametrize("label", ["image", "occupancy", "a.b"])
def test_a_label_map_may_not_have_the_name_of_another_member_of_a_tar(label: str) -> None:
    labelled = source("a.nii", labels={label: Path("l.nii")})
    assert names(KEPT, labelled) == ["ct/a"]
    with pytest.raises(InvalidArgument, match=f"label '{label}' of a.nii: a member of a tar cannot have this name"):
        tasks_of([labelled], TARS)


@pytest.mark.parametrize(
    ("whole", "other", "frames", "is_kept"),
    [
        ("x.nii", "x_t0003.nii", "each", False),
        ("x.nii", "x_t0003.nii", "mean", True),
        ("x.nii", "x_t003.nii", "each", True),
        ("x", "x_s0123abcd.nii", None, False),
        ("x", "x_s0123abcd-t0000.nii", None, False),
        ("x.nii", "x_s0123abcd.nii", None, True),
        ("y", "x_s0123abcd.nii", None, True),
    ],
)
def test_a_source_named_as_a_part_of_another_is_refused(whole: str, other: str, frames: str, is_kept: bool) -> None:
    settings = replace(KEPT, frames=frames)
    if is_kept:
        assert len(tasks_of([source(whole), source(other)], settings)) == 2
        return
    with pytest.raises(InvalidArgument, match=f"{other} would be ct/.*, which may be a part of {whole}; give one"):
        tasks_of([source(whole), source(other)], settings)


def test_a_subject_is_in_one_split_the_one_it_was_given() -> None:
    given = [source("a.nii", subject="s", split="test"), source("b.nii", "pet", subject="s"), source("c.nii")]
    assert {task.source.name: task.split for task in tasks_of(given, KEPT)} == {
        "a.nii": "test", "b.nii": "test", "c.nii": "train",
    }  # fmt: skip
    with pytest.raises(InvalidArgument, match="subject 's' is in the splits 'test' and 'val'"):
        tasks_of([*given, source("d.nii", subject="s", split="val")], KEPT)


def test_memory_is_what_each_task_may_take() -> None:
    assert [task.memory for task in tasks_of([source("a.nii")], KEPT, memory=10)] == [10]


def test_any_word_of_the_table_makes_it_another_conversion() -> None:
    base = source("a.nii", key="a")
    words = {"domain": "mr", "subject": "s", "modality": "CT", "unit": "HU", "target": "1", "key": "b", "split": "test"}
    others = {"labels": {"l": Path("l.nii")}, "item": "0", "spacing": (1.0, 1.0, 1.0)}
    changes = [{name: value} for name, value in {**words, **others}.items()]
    told = {tasks_of([replace(base, **change)], KEPT)[0].told for change in ({}, *changes)}
    assert len(told) == len(changes) + 1


def test_a_claim_says_where_the_source_lies_and_whether_it_is_whole(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "a.nii", np.ones((2, 2, 2), np.int16))
    there, gone = (replace(source("a.nii"), path=place) for place in (path, tmp_path / "b.nii"))
    claims = [claims_of(tasks_of([each], KEPT), known=lambda _: True)[0] for each in (there, gone)]
    assert [claim.stamp is None for claim in claims] == [False, True]
    assert claims[0].place != claims[1].place
    assert str(tmp_path) not in repr(claims)


def test_a_part_does_not_overwrite_a_volume_that_was_converted_before(tmp_path: Path) -> None:
    write_nifti(tmp_path / "x_t0001.nii", np.full((4, 4, 4), 9, np.int16))
    write_nifti(tmp_path / "x.nii", np.ones((4, 4, 4, 3), np.int16))
    chosen = Settings(keep_names=True, frames="each")
    for name in ("x_t0001", "x"):
        (tmp_path / f"{name}.csv").write_text(f"path,domain\n{name}.nii,mr\n")
    convert(tmp_path / "x_t0001.csv", tmp_path / "store", settings=chosen, jobs=0)
    with pytest.raises(InvalidArgument, match=r"mr/x_t0001 is in the store already, and may be a part of x\.nii too"):
        convert(tmp_path / "x.csv", tmp_path / "store", settings=chosen, jobs=0)
    assert (open_store(tmp_path / "store").read("mr/x_t0001").voxels == 9).all()


@pytest.mark.parametrize("container", ["zarr", "webdataset"])
def test_of_a_source_that_is_refused_at_a_later_frame_nothing_stays(tmp_path: Path, container: str) -> None:
    moving = np.ones((4, 4, 4, 3), np.float32)
    moving[..., 2] = np.nan
    write_nifti(tmp_path / "in" / "mr" / "a.nii", moving)
    write_nifti(tmp_path / "in" / "mr" / "b.nii", moving[..., 0])
    chosen = Settings(keep_names=True, frames="each", container=container)
    summary = convert(tmp_path / "in", tmp_path / "store", settings=chosen, jobs=0)
    assert (summary.converted, len(summary.faults)) == (1, 1)
    assert not list((tmp_path / "store").rglob("a_t*"))
