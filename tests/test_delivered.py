import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mixio.consumed import Consumed
from mixio.delivered import Delivered
from mixio.errors import InvalidArgument

samples = st.tuples(
    st.sampled_from(["ct", "mr"]),
    st.sampled_from("abcdef"),
    st.integers(0, 10**12),
    st.sampled_from(["", "ct/x", "mr/y"]),
    st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 4)),
)
batches = st.lists(st.lists(samples, min_size=1, max_size=4), max_size=8)


def batch_of(rows):
    """A batch as `default_collate` makes it; patches of 4 cubed whose real part ends at `high`."""
    domains, keys, draws, faults, high = zip(*rows, strict=True)
    valid = torch.tensor([[(0, 0, 0), end] for end in high])
    image = torch.zeros(len(rows), 1, 4, 4, 4)
    return {"domain": list(domains), "key": list(keys), "draw": torch.tensor(draws), "fault": list(faults)} | {
        "valid": valid,
        "image": image,
    }


def delivered(parts, limit=5):
    whole = Delivered(limit)
    for part in parts:
        whole.add(batch_of(part))
    return whole


@given(batches)
def test_sums_are_those_of_the_samples_one_by_one(parts):
    whole, rows = delivered(parts, limit=99), [row for part in parts for row in part]
    assert whole.draws == len(rows)
    assert whole.consumed == Consumed.of(row[2] for row in rows)
    assert whole.damaged == {row[3] for row in rows} - {""}
    for domain, of in whole.domains.items():
        mine = [row for row in rows if row[0] == domain]
        assert of.draws == len(mine)
        assert of.replaced == sum(row[3] != "" for row in mine)
        assert (of.voxels, of.voxels - of.padded) == (64 * len(mine), sum(int(np.prod(row[4])) for row in mine))
        assert of.repeats.reads == {key: sum(row[1] == key for row in mine) for key in {row[1] for row in mine}}


@given(batches, st.randoms(), st.integers(0, 8))
def test_merging_is_counting_everything_in_one_in_any_order_and_split(parts, random, split):
    whole = delivered(parts)
    random.shuffle(parts)
    merged = delivered(parts[:split])
    merged.merge(delivered(parts[split:]))
    assert merged == whole


@given(batches)
def test_its_state_survives_json(parts):
    whole = delivered(parts)
    assert Delivered.from_state(json.loads(json.dumps(whole.state())), limit=5) == whole


def test_merging_leaves_the_other_as_it_was():
    first, second = delivered([[("ct", "a", 0, "", (4, 4, 4))]]), Delivered(5)
    second.merge(first)
    second.add(batch_of([("ct", "a", 1, "", (4, 4, 4))]))
    assert first == delivered([[("ct", "a", 0, "", (4, 4, 4))]])


def test_keys_that_are_numbers_are_counted_too():
    counts = Delivered()
    counts.add({"domain": ["ct", "ct"], "key": torch.tensor([7, 7])})
    assert counts.domains["ct"].repeats.reads == {"7": 2}


def test_a_batch_without_domains_is_refused():
    with pytest.raises(InvalidArgument, match=r"no column 'domain', only \['image', 'key'\]; let the transform keep"):
        Delivered().add({"key": ["a"], "image": torch.zeros(1, 1, 4, 4, 4)})


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (
            {"domain": "ct", "draw": 0},
            r"'domain' of a batch is a list or a tensor, got 'ct'; .* default_collate\(\[sample",
        ),
        ({"domain": ["ct", "mr"], "key": "ab"}, "'key' of a batch is a list or a tensor, got 'ab'"),
        ({"domain": ["ct", "mr"], "draw": [3]}, "the batch has 2 values of 'domain' and 1 of 'draw'"),
        ({"domain": ["ct", "mr"], "draw": [0.5, 3]}, r"'draw' of a batch has the numbers .*, got \[0.5, 3\]"),
        ({"domain": ["ct"], "draw": [1.0]}, r"'draw' of a batch has the numbers .*, got \[1.0\]"),
        ({"domain": torch.tensor([1, 2])}, "the column 'domain' of a batch has names, got 1"),
        ({"domain": ["ct"], "image": [1], "valid": [2]}, "'valid' of a batch|'image' of a batch is one array"),
        ({"domain": ["ct"], "valid": [[0, 0, 0]]}, r"'valid' of a batch has the shape \(B, 2, 3\)"),
        ([{"domain": "ct"}], "a batch is a dictionary of columns, collated, got"),
        (torch.zeros(3), "a batch is a dictionary of columns, collated, got"),
    ],
)
def test_what_is_no_collated_batch_is_refused_and_not_counted(batch, message):
    counts = Delivered()
    with pytest.raises(InvalidArgument, match=message):
        counts.add(batch)
    assert counts.draws == counts.consumed.count == 0
