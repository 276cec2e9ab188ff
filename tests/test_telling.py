"""Which names look like a person's or like a date: a literal list of both kinds."""

from pathlib import Path

import pytest

from mixio.sources import Source
from mixio.telling import is_telling, telling_names, telling_words

TELLING = """Doe_John.nii.gz|John Doe/ct.nii|Doe, John|DOE^JOHN|doe^john|Doe^John^^Dr|DOE,JOHN|O'Brien_Mary|McDonald_Ann
Müller_Jörg|Østergård-Åse|Anna-Maria_1|ct/Smith_Mary_thorax|19620412|1962-04-12|sub-01_1962.04.12|12.04.1962
12041962|04-28-1962|12-Apr-1962|3apr1962|IM_20190412123000.dcm|2019-04-12T1230|scan_20190412_1230
ADNI_002_S_0295_MR_MPR_Br_20070217025300623_S13408_I40966.nii|A20190412|MR.1.2.840.20190101.5"""

PUBLIC = """Task01_BrainTumour/imagesTr/BRATS_001.nii.gz|Task04_Hippocampus|Task10_Colon|sub-01/ses-2020/anat/sub-01_T1w
sub-01_ses-2020|OAS1_0001_MR1_mpr_n4_anon_111_t88_gfc.hdr|BraTS-GLI-00000-000-t1c|BraTS2021_00000|LIDC-IDRI-0001
amos_0001.nii.gz|s0001/ct.nii.gz|IXI012-HH-1211-T1.nii.gz|CHUM-001__CT|HEAD_NECK/Case_00001|Head_Neck|Brain_Tumour
Lung_Cancer/Train_Images|Series_003|Image Data|Baseline_Visit|AbdomenCT|Left_Hippocampus|accession 20231150987
12345678|19991301|19620432|1.2.840.10008.5.1.4.1.1.2|prostatex_0000_adc|T1_Gd|Be_Oz|CT_THORAX|2020|ds000030|doe_john
train_images/12|organmnist3d-train-0000|MR_T2_FLAIR|nifti-rs_27_float32|Coronal_T1"""


@pytest.mark.parametrize("name", TELLING.replace("\n", "|").split("|"))
def test_a_name_or_a_date_is_noticed(name: str) -> None:
    assert is_telling(name)


@pytest.mark.parametrize("name", PUBLIC.replace("\n", "|").split("|"))
def test_what_public_data_sets_are_called_is_not(name: str) -> None:
    assert not is_telling(name)


def test_a_source_is_named_once_by_its_path_or_its_subject() -> None:
    first = Source(Path("x"), "Doe_John.nii", "ct", "Doe_John")
    second = Source(Path("x"), "2.nii", "ct", "1962-04-12", key="Roe_Jane", labels={"by Kim_Lee": Path("l")})
    assert list(telling_names([first, second])) == ["Doe_John.nii", "1962-04-12"]
    assert list(telling_words([first, second])) == ["Roe_Jane", "by Kim_Lee"]
