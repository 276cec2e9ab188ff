import pickle

import pytest

from mixio.damaged import DamagedVolumes
from mixio.errors import DamagedChunkError, InvalidArgument, MixioWarning, TooManyFaults


def error_of(volume):
    return DamagedChunkError("shard: a chunk does not match its checksum").of(volume, "shard")


def test_each_volume_is_told_once():
    damaged = DamagedVolumes(5)
    with pytest.warns(
        MixioWarning, match=r"^shard: a chunk .* \(volume ct/a\); its draws that cannot be read are repl"
    ):
        damaged.add("ct/a", error_of("ct/a"))
    damaged.add("ct/a", error_of("ct/a"))
    with pytest.warns(MixioWarning, match="ct/b"):
        damaged.add("ct/b", error_of("ct/b"))
    assert list(damaged.found) == ["ct/a", "ct/b"]


@pytest.mark.filterwarnings("ignore::mixio.errors.MixioWarning")
def test_one_volume_more_than_allowed_ends_it_and_all_are_listed():
    damaged = DamagedVolumes(2)
    for volume in ("ct/a", "ct/b", "ct/a"):
        damaged.add(volume, error_of(volume))
    with pytest.raises(TooManyFaults, match="3 damaged volumes are more than max_faults=2: ct/a, ct/b, ct/c; the last"):
        damaged.add("ct/c", error_of("ct/c"))


def test_too_many_stay_too_many():
    volumes = DamagedVolumes(0)
    for _ in range(2):
        with pytest.raises(TooManyFaults, match="1 damaged volumes are more than max_faults=0: ct/a"):
            volumes.add("ct/a", DamagedChunkError("a chunk"))


def test_of_none_allowed_the_first_is_too_many():
    with pytest.raises(TooManyFaults, match="1 damaged volumes are more than max_faults=0: ct/a"):
        DamagedVolumes(0).add("ct/a", error_of("ct/a"))


def test_a_limit_below_nothing_is_refused():
    with pytest.raises(InvalidArgument, match="max_faults must be at least 0, got -1"):
        DamagedVolumes(-1)


def test_the_error_keeps_the_names_of_volume_and_file_through_a_pipe():
    error = pickle.loads(pickle.dumps(error_of("ct/a")))
    assert (error.volume, error.file) == ("ct/a", "shard")
    assert str(error) == "shard: a chunk does not match its checksum (volume ct/a)"


def test_a_limit_of_the_wrong_kind_is_refused():
    for limit in ("3", float("nan"), None):
        with pytest.raises(InvalidArgument, match="max_faults must be a whole number, got"):
            DamagedVolumes(limit)
