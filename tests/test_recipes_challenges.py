"""Challenges' data sets, by the names they are published under: MSD, AMOS 2022, BHSD, BraTS-Africa, HECKTOR."""

import json
from pathlib import Path

import pytest

from mixio.errors import InvalidArgument
from mixio.recipes import table
from tests.test_recipes import AMOS, listed, tree


def describe_task(task: Path, *sequences: str) -> None:
    """`dataset.json` of a Decathlon task."""
    modality = {str(n): name for n, name in enumerate(sequences)}
    (task / "dataset.json").write_text(json.dumps({"name": "x", "modality": modality, "labels": {"0": "background"}}))


def test_msd_gives_a_row_per_frame_where_there_are_several_sequences(tmp_path: Path) -> None:
    brain, prostate = "Task01_BrainTumour", "Task05_Prostate"
    tree(tmp_path, f"{brain}/imagesTr/BRATS_001.nii.gz", f"{brain}/labelsTr/BRATS_001.nii.gz")
    tree(tmp_path, f"{prostate}/imagesTs/prostate_03.nii.gz")
    (tmp_path / prostate / "imagesTr").mkdir()
    describe_task(tmp_path / brain, "FLAIR", "T1w", "t1gd", "T2w")
    describe_task(tmp_path / prostate, "T2", "ADC")
    image, label = f"{brain}/imagesTr/BRATS_001.nii.gz", f"{brain}/labelsTr/BRATS_001.nii.gz"
    assert listed("msd", tmp_path) == (
        "path,domain,modality,subject,split,item,label\n"
        f"{image},brain-flair,MR,BRATS_001,,0,{label}\n"
        f"{image},brain-t1,MR,BRATS_001,,1,{label}\n"
        f"{image},brain-t1c,MR,BRATS_001,,2,{label}\n"
        f"{image},brain-t2,MR,BRATS_001,,3,{label}\n"
        f"{prostate}/imagesTs/prostate_03.nii.gz,prostate-t2,MR,prostate_03,test,0,\n"
        f"{prostate}/imagesTs/prostate_03.nii.gz,prostate-adc,MR,prostate_03,test,1,\n"
    )


def test_msd_takes_a_single_task_as_root(tmp_path: Path) -> None:
    task = tree(tmp_path / "Task09_Spleen", "imagesTr/spleen_2.nii.gz", "imagesTs/spleen_1.nii.gz", "notes.txt")
    describe_task(task, "CT")
    assert listed("msd", task) == (
        "path,domain,modality,subject,split,unit\n"
        "imagesTr/spleen_2.nii.gz,abdomen-ct,CT,spleen_2,,HU\n"
        "imagesTs/spleen_1.nii.gz,abdomen-ct,CT,spleen_1,test,HU\n"
    )


@pytest.mark.parametrize(
    ("task", "sequence", "domain"),
    [
        ("Task02_Heart", "MRI", "heart-mri"),
        ("Task04_Hippocampus", "MRI", "hippocampus-mri"),
        ("Task06_Lung", "CT", "chest-ct"),
        ("Task10_Colon", "CT", "abdomen-ct"),
        ("Knee_2020", "T2w", "knee-2020-t2"),
    ],
)
def test_msd_names_the_domain_by_the_task(tmp_path: Path, task: str, sequence: str, domain: str) -> None:
    describe_task(tree(tmp_path / task, "imagesTr/a.nii.gz"), sequence)
    assert [row["domain"] for row in table("msd", tmp_path)] == [domain]


def test_msd_without_a_readable_description_is_refused(tmp_path: Path) -> None:
    tree(tmp_path, "Task09_Spleen/imagesTr/spleen_2.nii.gz")
    with pytest.raises(InvalidArgument, match=r"dataset\.json: no such file; it says which sequences"):
        table("msd", tmp_path)
    (tmp_path / "Task09_Spleen" / "dataset.json").write_text('{"channel_names": {"0": "CT"}}')
    with pytest.raises(InvalidArgument, match=r'dataset\.json: expected {"modality": {"0": NAME, \.\.\.}}'):
        table("msd", tmp_path)


def test_amos22_is_ct_up_to_500_and_mri_above(tmp_path: Path) -> None:
    tree(tmp_path, *AMOS, "dataset.json", "amos_unlabeled_ct_5000_5399/amos_5000.nii.gz")
    assert listed("amos22", tmp_path) == (
        "path,domain,modality,subject,split,unit,label\n"
        "amos_unlabeled_ct_5000_5399/amos_5000.nii.gz,abdomen-ct,CT,amos_5000,,HU,\n"
        "imagesTr/amos_0001.nii.gz,abdomen-ct,CT,amos_0001,train,HU,labelsTr/amos_0001.nii.gz\n"
        "imagesTr/amos_0500.nii.gz,abdomen-ct,CT,amos_0500,train,HU,\n"
        "imagesTr/amos_0507.nii.gz,abdomen-mri,MR,amos_0507,train,,\n"
        "imagesTs/amos_0561.nii.gz,abdomen-mri,MR,amos_0561,test,,\n"
        "imagesVa/amos_0008.nii.gz,abdomen-ct,CT,amos_0008,val,HU,labelsVa/amos_0008.nii.gz\n"
    )


def test_amos22_is_found_one_folder_down(tmp_path: Path) -> None:
    tree(tmp_path, *(f"amos22/{name}" for name in AMOS), "amos_unlabeled_mri_6900_7099/amos_6900.nii.gz")
    rows = table("amos22", tmp_path)
    assert [row["domain"] for row in rows if "6900" in row["path"]] == ["abdomen-mri"]
    assert len(rows) == 6


def test_bhsd_takes_the_patient_out_of_the_name(tmp_path: Path) -> None:
    first, second = "ID_b1d5d5e8_ID_4cfa36b63f", "ID_b1d5d5e8_ID_d6296de728"
    tree(tmp_path, f"label_192/images/{first}.nii.gz", f"label_192/ground truths/{first}.nii.gz")
    tree(tmp_path, f"unlabel_2000/anybleed/{second}.nii.gz", "unlabel_1980/ID_00526c11_ID_0fdcfd6fbb.nii.gz")
    assert listed("bhsd", tmp_path) == (
        "path,domain,modality,subject,target,unit,label\n"
        f"label_192/images/{first}.nii.gz,head-ct,CT,ID_b1d5d5e8,,HU,label_192/ground truths/{first}.nii.gz\n"
        "unlabel_1980/ID_00526c11_ID_0fdcfd6fbb.nii.gz,head-ct,CT,ID_00526c11,,HU,\n"
        f"unlabel_2000/anybleed/{second}.nii.gz,head-ct,CT,ID_b1d5d5e8,anybleed,HU,\n"
    )


@pytest.mark.parametrize("root", ["label_192", "unlabel_1980"])
def test_bhsd_takes_one_archive_as_root(tmp_path: Path, root: str) -> None:
    name = "ID_b1d5d5e8_ID_4cfa36b63f.nii.gz"
    tree(tmp_path, f"label_192/images/{name}", f"unlabel_1980/{name}")
    assert len(table("bhsd", tmp_path / root)) == 1


def test_bhsd_without_suffixes_says_to_rename_them(tmp_path: Path) -> None:
    tree(tmp_path, "label_192/images/ID_b1d5d5e8_ID_4cfa36b63f")
    with pytest.raises(InvalidArgument, match=r"rename files without a suffix to \*\.nii\.gz"):
        table("bhsd", tmp_path)


def brats_case(folder: str, case: str, *kinds: str) -> list[str]:
    return [f"{folder}/{case}/{case}-{kind}.nii.gz" for kind in kinds]


def test_brats_africa_of_the_archive_says_what_the_tumor_is(tmp_path: Path) -> None:
    case = "BraTS-SSA-00002-000"
    tree(tmp_path, *brats_case("95_Glioma", case, "t1n", "t1c", "t2w", "t2f", "seg", "other"))
    tree(tmp_path, *brats_case("51_OtherNeoplasms", "BraTS-SSA-00009-000", "t1c"))
    place, label = f"95_Glioma/{case}/{case}", f"95_Glioma/{case}/{case}-seg.nii.gz"
    other = "51_OtherNeoplasms/BraTS-SSA-00009-000/BraTS-SSA-00009-000-t1c.nii.gz"
    assert listed("brats-africa", tmp_path) == (
        "path,domain,modality,subject,target,label\n"
        f"{other},brain-t1c,MR,BraTS-SSA-00009,other,\n"
        f"{place}-t1c.nii.gz,brain-t1c,MR,BraTS-SSA-00002,glioma,{label}\n"
        f"{place}-t1n.nii.gz,brain-t1,MR,BraTS-SSA-00002,glioma,{label}\n"
        f"{place}-t2f.nii.gz,brain-flair,MR,BraTS-SSA-00002,glioma,{label}\n"
        f"{place}-t2w.nii.gz,brain-t2,MR,BraTS-SSA-00002,glioma,{label}\n"
    )


def test_brats_africa_of_the_challenge_has_its_own_validation_part(tmp_path: Path) -> None:
    training, validation = (
        "ASNR-MICCAI-BraTS2023-SSA-Challenge-TrainingData_V2",
        "BraTS2024-SSA-Challenge-ValidationData",
    )
    tree(tmp_path, *brats_case(training, "BraTS-SSA-00002-000", "t1n"))
    tree(tmp_path, *brats_case(validation, "BraTS-SSA-00126-000", "t1n"))
    assert [row["split"] for row in table("brats-africa", tmp_path)] == ["train", "val"]
    assert [row["split"] for row in table("brats-africa", tmp_path / validation)] == ["val"]
    assert "split" not in table("brats-africa", tmp_path / training)[0]


def test_hecktor_2021(tmp_path: Path) -> None:
    tree(tmp_path, *(f"hecktor_nii/CHGJ007_{kind}.nii.gz" for kind in ("ct", "pt", "gtvt")))
    tree(tmp_path, "hecktor_nii_test/CHUP025_ct.nii.gz")
    (tmp_path / "hecktor2021_patient_endpoint_training.csv").write_text("PatientID,Progression\nCHGJ007,1\n")
    assert listed("hecktor", tmp_path) == (
        "path,domain,modality,subject,split,target,unit,label\n"
        "hecktor_nii/CHGJ007_ct.nii.gz,head-neck-ct,CT,CHGJ007,,1,HU,hecktor_nii/CHGJ007_gtvt.nii.gz\n"
        "hecktor_nii/CHGJ007_pt.nii.gz,head-neck-pet,PET,CHGJ007,,1,SUV,hecktor_nii/CHGJ007_gtvt.nii.gz\n"
        "hecktor_nii_test/CHUP025_ct.nii.gz,head-neck-ct,CT,CHUP025,test,,HU,\n"
    )


@pytest.mark.parametrize(
    ("testing", "label"), [("hecktor2022_testing", "CHUM-001"), ("hecktor2022_testing", "CHUM_001"), ("H", "CHUM-001")]
)
def test_hecktor_2022(tmp_path: Path, testing: str, label: str) -> None:
    training = "hecktor2022_training"
    tree(tmp_path, *(f"{training}/imagesTr/CHUM-001__{kind}.nii.gz" for kind in ("CT", "PT")))
    tree(tmp_path, f"{training}/labelsTr/{label}.nii.gz", f"{testing}/imagesTs/USZ-001__PT.nii.gz")
    (tmp_path / training / "hecktor2022_endpoint_training.csv").write_text("PatientID,Relapse,RFS\nCHUM-001,0,2000\n")
    assert listed("hecktor", tmp_path) == (
        "path,domain,modality,subject,split,target,unit,label\n"
        f"{testing}/imagesTs/USZ-001__PT.nii.gz,head-neck-pet,PET,USZ-001,test,,SUV,\n"
        f"{training}/imagesTr/CHUM-001__CT.nii.gz,head-neck-ct,CT,CHUM-001,,0,HU,{training}/labelsTr/{label}.nii.gz\n"
        f"{training}/imagesTr/CHUM-001__PT.nii.gz,head-neck-pet,PET,CHUM-001,,0,SUV,{training}/labelsTr/{label}.nii.gz\n"
    )


def test_hecktor_2025_lists_a_patient_of_several_tasks_once(tmp_path: Path) -> None:
    names = [f"CHUM-001/CHUM-001{end}.nii.gz" for end in ("__CT", "__PT", "", "__CTPlanning", "__RTDOSE")]
    tree(tmp_path, *(f"Task 1/{name}" for name in names[:3]), *(f"Task 2/{name}" for name in names if name != names[2]))
    (tmp_path / "Task 2" / "HECKTOR_2025_Training_Task_2.csv").write_text("PatientID,Relapse\nCHUM-001,1.0\n")
    assert listed("hecktor", tmp_path) == (
        "path,domain,modality,subject,target,unit,label\n"
        f"Task 1/{names[0]},head-neck-ct,CT,CHUM-001,1,HU,Task 1/{names[2]}\n"
        f"Task 1/{names[1]},head-neck-pet,PET,CHUM-001,1,SUV,Task 1/{names[2]}\n"
    )


def test_hecktor_2020_has_a_folder_a_patient(tmp_path: Path) -> None:
    tree(tmp_path, *(f"hecktor_nii/CHGJ007/CHGJ007_{kind}.nii.gz" for kind in ("ct", "pt", "ct_gtvt")))
    assert [Path(row["label"]).name for row in table("hecktor", tmp_path)] == ["CHGJ007_ct_gtvt.nii.gz"] * 2
