"""Splits by subject: stable, of the right size, and never leaving a domain without held-out subjects."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixio.errors import InvalidArgument
from mixio.sources import Source
from mixio.splits import choose_seed, explicit_splits, split_of


def source(domain: str, subject: str, split: str | None = None) -> Source:
    return Source(Path(f"{domain}-{subject}.nii"), f"{domain}-{subject}.nii", domain, subject, split=split)


@given(fraction=st.sampled_from([0.0, 0.1, 0.25, 0.5]), seed=st.integers(0, 99))
def test_the_fraction_of_many_subjects_is_kept(fraction: float, seed: int) -> None:
    held = sum(split_of(f"s{i}", seed=seed, val_fraction=fraction) == "val" for i in range(2000))
    assert abs(held - 2000 * fraction) < 5 * (2000 * fraction * (1 - fraction)) ** 0.5 + 1


@given(counts=st.lists(st.integers(2, 6), min_size=1, max_size=6))
def test_every_domain_of_two_subjects_has_train_and_val(counts: list[int]) -> None:
    sources = [source(f"d{d}", f"d{d}s{i}") for d, n in enumerate(counts) for i in range(n)]
    seed = choose_seed(sources, val_fraction=0.25)
    for d in range(len(counts)):
        splits = {split_of(s.subject, seed=seed, val_fraction=0.25) for s in sources if s.domain == f"d{d}"}
        assert splits == {"train", "val"}


def test_one_subject_keeps_its_split_across_domains_and_seeds_are_not_all_zero() -> None:
    sources = [source("ct", "a"), source("pet", "a"), source("ct", "b"), source("pet", "b")]
    seed = choose_seed(sources, val_fraction=0.1)
    assert {split_of(s, seed=seed, val_fraction=0.1) for s in "ab"} == {"train", "val"}


def test_splits_named_by_the_table_win_and_must_agree() -> None:
    assert explicit_splits([source("ct", "a", "val"), source("pet", "a")]) == {"a": "val"}
    with pytest.raises(InvalidArgument, match="subject 'a' is in the splits 'val' and 'train'"):
        explicit_splits([source("ct", "a", "val"), source("pet", "a", "train")])
