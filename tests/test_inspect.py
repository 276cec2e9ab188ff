"""What is in a store, as data."""

from hashlib import blake2b
from pathlib import Path

import pytest

from mixio.inspection.inspect import inspect_store
from mixio.settings import Settings
from mixio.store import Store
from tests.conftest import SUBJECTS
from tests.marked import marked_store


def test_every_domain_is_summarised(small_store: Store) -> None:
    inspection = inspect_store(small_store)
    assert {domain.domain: domain.volumes for domain in inspection.domains} == SUBJECTS
    assert (inspection.volumes, inspection.subjects) == (13, 13)
    assert (inspection.title, inspection.quarantine.count) == ("store", 0)


@pytest.mark.parametrize("size", [0, 2, 8])
def test_a_sample_is_of_each_domain_and_no_larger_than_it(small_store: Store, size: int) -> None:
    sample = inspect_store(small_store, sample=size).sample
    assert {domain: len(names) for domain, names in sample.items()} == {d: min(n, size) for d, n in SUBJECTS.items()}
    assert all(set(names) <= set(small_store.names(domain)) for domain, names in sample.items())


def test_a_sample_is_chosen_by_the_hashes_of_names_alone(small_store: Store) -> None:
    names = small_store.names("abdomen-ct")
    by_hash = sorted(names, key=lambda name: blake2b(name.encode(), digest_size=8).digest())
    assert inspect_store(small_store, sample=2).sample["abdomen-ct"] == tuple(sorted(by_hash[:2]))


def test_no_file_of_a_volume_is_opened(tmp_path: Path) -> None:
    store = marked_store(tmp_path)
    (tmp_path / "store/spine").rename(tmp_path / "elsewhere")
    assert inspect_store(store).domains[0].labelled == 1


def test_the_salt_is_not_shown_nor_its_hash(tmp_path: Path) -> None:
    inspection = inspect_store(marked_store(tmp_path, settings=Settings(salt="mother's maiden name")))
    assert inspection.settings["salt"] == "a secret one"
    assert not inspection.keeps_names
