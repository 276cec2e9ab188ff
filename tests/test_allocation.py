import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixio.allocation import Allocation
from mixio.errors import AllocationError


@given(st.dictionaries(st.text(min_size=1), st.floats(0.001, 1), min_size=1, max_size=9), st.integers(1, 10**12))
def test_what_is_saved_is_loaded_bit_for_bit(tmp_path_factory, weights, budget):
    shares = {domain: weight / sum(weights.values()) for domain, weight in weights.items()}
    allocation = Allocation(shares, budget, "transfer-aware", {"laws": "abc"})
    path = tmp_path_factory.mktemp("a") / "allocation.json"
    allocation.save(path)
    assert Allocation.load(path) == allocation


def test_the_file_holds_its_schema_version_and_leaves_no_temporary_behind(tmp_path):
    Allocation({"b": 0.4, "a": 0.6}).save(tmp_path / "allocation.json")
    assert json.loads((tmp_path / "allocation.json").read_text()) == {
        "schema_version": 1,
        "shares": {"a": 0.6, "b": 0.4},
        "budget": None,
        "strategy": None,
        "provenance": {},
    }
    assert len(list(tmp_path.iterdir())) == 1


def test_the_fingerprint_is_of_the_shares_whatever_their_order_and_origin():
    one = Allocation({"a": 0.25, "b": 0.75}, budget=5)
    assert one.fingerprint == Allocation({"b": 0.75, "a": 0.25}, strategy="x").fingerprint
    assert one.fingerprint != Allocation({"a": 0.75, "b": 0.25}).fingerprint
    assert len(one.fingerprint) == 16


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ({"ct": 0.5, "mr": 0.43}, r"shares must sum to 1, got 0.93 for \['ct', 'mr'\]; a missing domain\?"),
        ({"ct": 1.2, "mr": -0.2}, "share of 'mr' must be a number from 0 to 1, got -0.2"),
        ({"ct": float("nan")}, "share of 'ct' must be a number from 0 to 1, got nan"),
        ({"ct": float("inf")}, "share of 'ct' must be .* got inf"),
        ({"ct": "1"}, "share of 'ct' must be a number from 0 to 1, got '1'"),
        ({"": 1.0}, "a domain must be a non-empty name, got ''"),
        ({}, "shares must map at least one domain to its share, got {}"),
        (None, "shares must map at least one domain to its share, got None"),
    ],
)
def test_shares_that_cannot_be_drawn_from_are_refused_in_one_line(shares, message):
    with pytest.raises(AllocationError, match=f"^.*{message}[^\n]*$"):
        Allocation(shares)


def test_a_budget_of_no_draws_is_refused():
    with pytest.raises(AllocationError, match="budget must be a whole number of draws, at least 1, got 0"):
        Allocation({"ct": 1.0}, budget=0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"schema_version": 2, "shares": {"ct": 1}}', "schema_version 2, expected 1"),
        ('{"shares": {"ct": 1}}', "schema_version None, expected 1"),
        ("[1]", "schema_version None, expected 1"),
        ('{"schema_version": 1}', "must map at least one domain"),
        ('{"schema_version": 1, "shares": {"ct": NaN}}', "share of 'ct'"),
        ("{half", "as an allocation: Expecting property name"),
    ],
)
def test_a_file_that_is_no_allocation_is_refused_by_name(tmp_path, text, message):
    (tmp_path / "mine.json").write_text(text)
    with pytest.raises(AllocationError, match=rf"mine\.json.*{message}"):
        Allocation.load(tmp_path / "mine.json")


def test_a_missing_file_is_refused_by_name(tmp_path):
    with pytest.raises(AllocationError, match=r"cannot read .*none\.json"):
        Allocation.load(tmp_path / "none.json")


def test_saving_makes_the_folder(tmp_path):
    Allocation({"pet": 1.0}).save(tmp_path / "new" / "allocation.json")
    assert Allocation.load(tmp_path / "new" / "allocation.json").shares == {"pet": 1.0}


def test_a_folder_is_not_saved_over(tmp_path):
    with pytest.raises(AllocationError, match="is a folder; name a file in it"):
        Allocation({"ct": 1.0}, 10).save(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("share", [1e308, 10**400])
def test_shares_that_are_too_large_to_be_summed_are_refused(share):
    with pytest.raises(AllocationError, match=r"the share of 'ct' must be a number from 0 to 1, got 10*(e.308|0\.)"):
        Allocation({"ct": share, "mr": share})


def test_budget_and_provenance_are_checked(tmp_path):
    assert Allocation({"ct": 1.0}, budget=np.int64(8)).budget == 8
    with pytest.raises(AllocationError, match="budget must be a whole number of draws, at least 1, got True"):
        Allocation({"ct": 1.0}, budget=True)
    with pytest.raises(AllocationError, match=r"provenance must be a dictionary, got \[1\]"):
        Allocation({"ct": 1.0}, provenance=[1])
    with pytest.raises(AllocationError, match="a.json: strategy and provenance must be values that JSON has: "):
        Allocation({"ct": 1.0}, provenance={"loss": np.float32(1)}).save(tmp_path / "a.json")


def test_a_domain_that_comes_twice_in_a_file_is_refused(tmp_path):
    (tmp_path / "a.json").write_text('{"schema_version": 1, "shares": {"ct": 0.5, "ct": 1.0}}')
    with pytest.raises(AllocationError, match=r"a.json as an allocation: a name of \['ct', 'ct'\] is there twice"):
        Allocation.load(tmp_path / "a.json")
