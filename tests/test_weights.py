import json

import pytest

from mixio.allocation import Allocation
from mixio.errors import AllocationError
from mixio.mixture import Mixture
from mixio.weights import read_allocation

WANTED = {"ct": 0.75, "mri": 0.25}
FILES = {
    "an object": json.dumps({"ct": 3, "mri": 1}),
    "DoReMi": json.dumps({"train_domain_weights": {"ct": 0.75, "mri": 0.25}, "eval_domain_weights": {"ct": 1}}),
    "pairs": json.dumps([["ct", 3], ["mri", 1]]),
    "objects": json.dumps([{"path": "ct", "proportion": 3}, {"path": "mri", "proportion": 1}]),
    "csv": "domain,weight\nct,3\nmri,1\n",
    "tsv with a byte order mark": "\ufeffname\tratio\nct\t1.5\nmri\t0.5\n",
    "Megatron": "0.75 ct 0.25 mri\n",
    "Megatron on two lines": "3 ct\n1 mri\n",
}


@pytest.mark.parametrize("name", FILES)
def test_a_plain_list_of_weights_is_read(tmp_path, name):
    (tmp_path / "weights").write_text(FILES[name], encoding="utf-8")
    assert read_allocation(tmp_path / "weights").shares == pytest.approx(WANTED)
    assert Mixture.load(tmp_path / "weights", seed=3) == Mixture(WANTED, seed=3)


def test_an_allocation_is_read_as_it_is(tmp_path):
    allocation = Allocation({"ct": 0.6, "mri": 0.4}, 100, "by hand")
    allocation.save(tmp_path / "allocation.json")
    assert read_allocation(tmp_path / "allocation.json") == allocation


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"ct": -1, "mri": 2}', "the weight of 'ct' is -1"),
        ('{"ct": true}', "the weight of 'ct' is True"),
        ('{"ct": 0}', r"the weights of \['ct'\] sum to 0"),
        ('{"ct": "much"}', "could not convert string to float"),
        ("[]", r"the weights of \[\] sum to 0"),
        ('[["ct", 1], ["ct", 2]]', "'ct' is no name, or is there twice"),
        ('{"ct": 1, "ct": 3}', "'ct' is no name, or is there twice"),
        ('{\n"ct": 3,\n"mri": 1,\n}', "has none of"),
        ('[{"domain": "ct"}]', "has none of"),
        ("[1, 2]", ""),
        ("7", "it holds neither an object nor a list"),
        ("domain,wieght\nct,1\n", "has none of"),
        ("0.75 ct 0.25", ""),
        ("", ""),
    ],
)
def test_what_is_no_list_of_weights_is_refused_by_name(tmp_path, text, message):
    (tmp_path / "weights.txt").write_text(text)
    with pytest.raises(AllocationError, match=f"weights.txt is no list of weights: .*{message}"):
        read_allocation(tmp_path / "weights.txt")


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(AllocationError, match="cannot read .*none.json as shares"):
        read_allocation(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"ct": 1e308, "mri": 1e308}', "the weight of 'ct' is 1e.308"),
        (f'{{"ct": 1{"0" * 400}}}', r"the weight of 'ct' is 10+\.\.\. \(int\)"),
        ('{"ct": [1]}', r"the weight of 'ct' is \[1\]"),
        ('{"shares": {"ct": 1}}', 'it has "shares" but no "schema_version": 1, which an allocation.json has; add that'),
        ("[" * 100_000, "give an allocation.json"),
    ],
)
def test_weights_that_cannot_be_are_told_in_our_words(tmp_path, text, message):
    (tmp_path / "weights.txt").write_text(text)
    with pytest.raises(AllocationError, match=f"weights.txt is no list of weights: .*{message}"):
        read_allocation(tmp_path / "weights.txt")
    with pytest.raises(AllocationError, match="cannot read None as shares"):
        read_allocation(None)
