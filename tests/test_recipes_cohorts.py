"""Collections by the names they are published under: BIDS, OpenMind, OASIS-1, MedMNIST3D."""

import json
from pathlib import Path

import numpy as np
import pytest

from mixio.errors import InvalidArgument
from mixio.recipes import table
from mixio.sources import read_sources
from tests.test_recipes import listed, tree

T88 = "PROCESSED/MPRAGE/T88_111"


def test_bids_takes_structural_images_and_pet(tmp_path: Path) -> None:
    anat, pet = "sub-02/ses-1/anat/sub-02_ses-1", "sub-02/ses-1/pet/sub-02_ses-1"
    tree(tmp_path, "sub-01/anat/sub-01_T1w.nii.gz", "sub-01/func/sub-01_task-rest_bold.nii.gz")
    tree(tmp_path, "sub-01/anat/sub-01_inv-1_MP2RAGE.nii.gz", "sub-01/anat/sub-01_part-phase_T2starw.nii.gz")
    tree(tmp_path, f"{anat}_ce-gadolinium_T1w.nii", f"{anat}_acq-hires_run-2_FLAIR.nii.gz", f"{pet}_pet.nii.gz")
    tree(tmp_path, "participants.tsv", "dataset_description.json", "sourcedata/sub-01/anat/sub-01_T1w.nii.gz")
    (tmp_path / f"{pet}_pet.json").write_text(json.dumps({"Units": "Bq/mL"}))
    assert listed("bids", tmp_path) == (
        "path,domain,modality,subject,unit\n"
        "sub-01/anat/sub-01_T1w.nii.gz,brain-t1,MR,sub-01,\n"
        f"{anat}_acq-hires_run-2_FLAIR.nii.gz,brain-flair,MR,sub-02,\n"
        f"{anat}_ce-gadolinium_T1w.nii,brain-t1c,MR,sub-02,\n"
        f"{pet}_pet.nii.gz,brain-pet,PET,sub-02,Bq/mL\n"
    )


def test_bids_labels_are_derivatives_on_the_image(tmp_path: Path) -> None:
    derived = "derivatives/prep/sub-01/anat/sub-01"
    tree(tmp_path, "sub-01/anat/sub-01_T1w.nii.gz", f"{derived}_desc-aseg_dseg.nii.gz", f"{derived}_dseg.nii.gz")
    tree(tmp_path, f"{derived}_space-MNI152Lin_desc-far_dseg.nii.gz", f"{derived}_run-2_mask.nii.gz")
    tree(tmp_path, f"{derived}_space-orig_desc-near_mask.nii.gz")
    tree(tmp_path, f"{derived}_label-GM_probseg.nii.gz", "derivatives/my tool/sub-01/sub-01_label-lesion_mask.nii.gz")
    assert listed("bids", tmp_path) == (
        "path,domain,modality,subject,label:my-tool-lesion,label:prep-aseg,label:prep-dseg,label:prep-near\n"
        "sub-01/anat/sub-01_T1w.nii.gz,brain-t1,MR,sub-01,derivatives/my tool/sub-01/sub-01_label-lesion_mask.nii.gz,"
        f"{derived}_desc-aseg_dseg.nii.gz,{derived}_dseg.nii.gz,{derived}_space-orig_desc-near_mask.nii.gz\n"
    )


def test_bids_labels_that_could_be_of_two_images_must_say_whose(tmp_path: Path) -> None:
    derived = "derivatives/prep/sub-01/anat/sub-01"
    tree(tmp_path, "sub-01/anat/sub-01_T1w.nii.gz", "sub-01/anat/sub-01_T2w.nii.gz")
    tree(tmp_path, f"{derived}_dseg.nii.gz", f"{derived}_space-T2w_desc-brain_mask.nii.gz")
    first, second = table("bids", tmp_path)
    assert [name for name in first if name.startswith("label")] == []
    assert [name for name in second if name.startswith("label")] == ["label:prep-brain"]


def test_bids_with_a_broken_sidecar_is_refused(tmp_path: Path) -> None:
    tree(tmp_path, "sub-01/pet/sub-01_pet.nii.gz", "sub-01/pet/sub-01_pet.json")
    with pytest.raises(InvalidArgument, match=r"sub-01_pet\.json: expected a JSON object with Units"):
        table("bids", tmp_path)


def test_openmind_lists_what_is_there_with_what_the_metadata_says(tmp_path: Path) -> None:
    anat, dwi = "ds001454/sub-02/ses-1/anat/sub-02_ses-1", "ds000030/sub-02/dwi/sub-02_dwi__Data"
    masks = f"{anat}_T1w__Data"
    tree(tmp_path / "OpenMind", f"{anat}_T1w.nii.gz", f"{masks}/anat_mask.nii.gz", f"{masks}/deface_mask.nii.gz")
    tree(tmp_path / "OpenMind", f"{dwi}/FA.nii.gz", f"{dwi}/fb_mask.nii.gz", f"{anat}_FLASH.nii.gz")
    (tmp_path / "openneuro_metadata.csv").write_text(
        "image_path,modality,anat_mask_path,anon_mask_path\n"
        f"{anat}_FLASH.nii.gz,T2w,{masks}/fb_mask.nii.gz,{masks}/deface_mask.nii.gz\n"
        "ds009999/sub-01/anat/sub-01_T1w.nii.gz,T1w,,\n"
    )
    anonymized = f"OpenMind/{masks}/deface_mask.nii.gz"
    assert listed("openmind", tmp_path) == (
        "path,domain,modality,subject,label:anatomy,label:anonymized\n"
        f"OpenMind/{dwi}/FA.nii.gz,brain-fa,MR,ds000030_sub-02,OpenMind/{dwi}/fb_mask.nii.gz,\n"
        f"OpenMind/{anat}_FLASH.nii.gz,brain-t2,MR,ds001454_sub-02,,{anonymized}\n"
        f"OpenMind/{anat}_T1w.nii.gz,brain-t1,MR,ds001454_sub-02,OpenMind/{masks}/anat_mask.nii.gz,{anonymized}\n"
    )


def test_openmind_with_other_metadata_is_refused(tmp_path: Path) -> None:
    tree(tmp_path, "OpenMind/ds000001/sub-01/anat/sub-01_T1w.nii.gz")
    (tmp_path / "openneuro_metadata.csv").write_text("image,modality\n")
    with pytest.raises(InvalidArgument, match="expected a column 'image_path', got image, modality"):
        table("openmind", tmp_path)


def oasis_session(root: Path, session: str, *names: str) -> None:
    folder = root / "disc1" / session
    tree(folder, *(f"{name}.{end}" for name in names for end in ("hdr", "img")))


def test_oasis1_takes_the_atlas_image_of_every_session(tmp_path: Path) -> None:
    stem = "OAS1_0001_MR1_mpr_n4_anon"
    atlas, segmented = f"{T88}/{stem}_111_t88_gfc", f"FSL_SEG/{stem}_111_t88_masked_gfc_fseg"
    oasis_session(tmp_path, "OAS1_0001_MR1", atlas, segmented, "RAW/OAS1_0001_MR1_mpr-1_anon")
    oasis_session(tmp_path, "OAS1_0001_MR1", f"{T88}/{stem}_111_t88_masked_gfc", f"PROCESSED/{stem}_sbj_111")
    oasis_session(tmp_path, "OAS1_0001_MR2", f"{T88}/OAS1_0001_MR2_mpr_n3_anon_111_t88_masked_gfc")
    (tmp_path / "oasis_cross-sectional.csv").write_text("ID,M/F,CDR\nOAS1_0001_MR1,F,0.5\nOAS1_0001_MR2,F,\n")
    place = "disc1/OAS1_0001_MR2"
    assert listed("oasis1", tmp_path) == (
        "path,domain,modality,subject,target,label\n"
        f"disc1/OAS1_0001_MR1/{atlas}.hdr,brain-t1,MR,OAS1_0001,0.5,disc1/OAS1_0001_MR1/{segmented}.hdr\n"
        f"{place}/{T88}/OAS1_0001_MR2_mpr_n3_anon_111_t88_masked_gfc.hdr,brain-t1,MR,OAS1_0001,,\n"
    )


def test_oasis1_without_the_table_reads_the_sessions_texts(tmp_path: Path) -> None:
    for session, line in (("OAS1_0002_MR1", "CDR:          1"), ("OAS1_0003_MR1", "CDR:          \nMMSE: 29")):
        oasis_session(tmp_path, session, f"{T88}/{session}_mpr_n4_anon_111_t88_gfc")
        text = f"SESSION ID:   {session}\n\nAGE:          55\n{line}\n"
        (tmp_path / "disc1" / session / f"{session}.txt").write_text(text)
    assert [row.get("target") for row in table("oasis1", tmp_path)] == ["1", None]
    (tmp_path / "oasis_cross-sectional.csv").write_text("ID,CDR\nOAS1_0003_MR1,2.0\n")
    assert [row.get("target") for row in table("oasis1", tmp_path)] == ["1", "2"]


def test_oasis1_with_only_a_spreadsheet_says_to_save_it(tmp_path: Path) -> None:
    oasis_session(tmp_path, "OAS1_0002_MR1", f"{T88}/OAS1_0002_MR1_mpr_n4_anon_111_t88_gfc")
    tree(tmp_path, "oasis_cross-sectional-5708aa0a98d82080.xlsx")
    with pytest.raises(InvalidArgument, match=r"\.xlsx: a spreadsheet is not read; save it as \.csv beside it"):
        table("oasis1", tmp_path)


def write_medmnist(path: Path, edge: int, *, labels: int = 2) -> None:
    """An archive of 2 training, 1 validation and 1 test volume."""
    arrays = {}
    for split, n in (("train", 2), ("val", 1), ("test", 1)):
        arrays[f"{split}_images"] = np.zeros((n, edge, edge, edge), np.uint8)
        arrays[f"{split}_labels"] = np.array([[7], [3]], np.uint8)[: min(n, labels)]
    np.savez_compressed(path, **arrays)


def test_medmnist3d_gives_a_row_per_item_with_its_class(tmp_path: Path) -> None:
    write_medmnist(tmp_path / "organmnist3d.npz", 28)
    assert listed("medmnist3d", tree(tmp_path, "organamnist.npz", "readme.md")) == (
        "path,domain,modality,subject,split,target,item,spacing\n"
        "organmnist3d.npz,organ-crop-ct,CT,organmnist3d-train-0000,train,7,train_images/0,1x1x1\n"
        "organmnist3d.npz,organ-crop-ct,CT,organmnist3d-train-0001,train,3,train_images/1,1x1x1\n"
        "organmnist3d.npz,organ-crop-ct,CT,organmnist3d-val-0000,val,7,val_images/0,1x1x1\n"
        "organmnist3d.npz,organ-crop-ct,CT,organmnist3d-test-0000,test,7,test_images/0,1x1x1\n"
    )
    assert [s.item for s in read_sources(tmp_path / "table.csv")][-1] == "test_images/0"


@pytest.mark.parametrize(("edge", "size", "spacing"), [(28, "", 64 / 28), (64, "_64", 1.0)])
def test_medmnist3d_spacing_is_the_width_over_the_edge(tmp_path: Path, edge: int, size: str, spacing: float) -> None:
    write_medmnist(tmp_path / f"fracturemnist3d{size}.npz", edge)
    listed("medmnist3d", tmp_path)
    assert read_sources(tmp_path / "table.csv")[0].spacing == pytest.approx((spacing,) * 3, rel=1e-5)


def test_medmnist3d_takes_the_larger_of_two(tmp_path: Path) -> None:
    write_medmnist(tmp_path / "synapsemnist3d.npz", 28)
    write_medmnist(tmp_path / "synapsemnist3d_64.npz", 64)
    rows = table("medmnist3d", tmp_path)
    assert {Path(row["path"]).name for row in rows} == {"synapsemnist3d_64.npz"}
    assert "modality" not in rows[0]


def test_medmnist3d_that_is_damaged_or_does_not_fit_is_refused(tmp_path: Path) -> None:
    write_medmnist(tmp_path / "organmnist3d.npz", 28, labels=1)
    with pytest.raises(InvalidArgument, match=r"N train_labels, got \(2, 28, 28, 28\) and 1"):
        table("medmnist3d", tmp_path)
    (tmp_path / "organmnist3d.npz").write_bytes(b"<html>")
    with pytest.raises(InvalidArgument, match="not a MedMNIST3D archive .*; download it again"):
        table("medmnist3d", tmp_path)
