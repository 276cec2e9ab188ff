"""Which draws each rank reads, from which position."""

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from mixio.allocation import Allocation
from mixio.dataset import MixtureDataset
from mixio.errors import InvalidArgument, MixioWarning, MixtureEnded
from mixio.loader import MixtureLoader
from mixio.mixture import Mixture
from mixio.sampler import MixtureSampler
from tests.test_dataset import LISTS, of_lists, of_run, of_store


@given(st.integers(1, 9), st.integers(1, 7), st.integers(0, 60))
def test_the_ranks_together_read_every_draw_once_and_in_step(world, batch, extra):
    dataset, total = of_lists(), world * batch + extra
    per_rank = [list(of_run(dataset, rank, world, batch, total)) for rank in range(world)]
    steps = total // (world * batch)
    assert {len(draws) for draws in per_rank} == {steps * batch}
    order = [per_rank[r][s * batch + i] for s in range(steps) for r in range(world) for i in range(batch)]
    assert order == list(range(steps * world * batch))


@given(st.integers(1, 5), st.integers(1, 5), st.integers(1, 5), st.integers(1, 5), st.integers(0, 8))
def test_a_run_goes_on_where_it_stopped_with_other_ranks_and_batches(world, batch, new_world, new_batch, steps):
    dataset, total = of_lists(), 300
    state = of_run(dataset, 0, world, batch, total).state_dict(consumed=steps * world * batch)
    state = json.loads(json.dumps(state))
    rest = []
    for rank in range(new_world):
        sampler = of_run(dataset, rank, new_world, new_batch, total)
        sampler.load_state_dict(state)
        received = list(sampler)
        assert len(sampler) == steps * new_batch + len(received)
        rest += received
    assert sorted(rest) == list(range(state["consumed"], state["consumed"] + len(rest)))
    assert total - max(rest) <= new_world * new_batch


def test_without_a_count_the_state_is_what_was_handed_out():
    sampler = of_run(of_lists(), 1, 2, 3, 60)
    draws = iter(sampler)
    for _ in range(6):
        next(draws)
    assert sampler.state_dict()["consumed"] == 12
    next(draws)  # a batch begun is not a batch consumed
    assert sampler.state_dict()["consumed"] == 12


def test_setting_the_epoch_does_not_move_a_loaded_position():
    sampler = of_run(of_lists(), 0, 1, 4, 40)
    sampler.load_state_dict(sampler.state_dict(consumed=8))
    sampler.set_epoch(3)
    assert next(iter(sampler)) == 8
    assert len(sampler) == sampler.num_samples == 40


def test_the_length_counts_the_steps_that_were_made_whoever_made_them():
    sampler = of_run(of_lists(), 0, 4, 2, 80)
    sampler.load_state_dict(of_run(of_lists(), 0, 1, 4, 80).state_dict(consumed=40))
    assert len(sampler) == (10 + 5) * 2
    assert sampler.state_dict(consumed=56)["steps"] == 12
    before_steps_were_kept = {**sampler.state_dict(consumed=40)}
    del before_steps_were_kept["steps"]
    sampler.load_state_dict(before_steps_were_kept)
    assert len(sampler) == 80 // 4


def test_a_finished_run_has_nothing_left():
    sampler = of_run(of_lists(), 0, 1, 4, 40)
    assert len(list(sampler)) == 40
    sampler.load_state_dict(sampler.state_dict())
    assert list(sampler) == []


def test_rank_and_world_size_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "4")
    sampler = MixtureSampler(of_lists(), num_samples=8, batch_size=2)
    assert list(sampler) == [2, 3]


def test_rank_and_world_size_come_from_torch_distributed_where_it_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "7")
    torch.distributed.init_process_group("gloo", f"file://{tmp_path}/meeting", rank=0, world_size=1)
    try:
        assert list(MixtureSampler(of_lists(), num_samples=2, batch_size=2)) == [0, 1]
    finally:
        torch.distributed.destroy_process_group()


def test_one_built_before_the_processes_met_refuses_to_be_read(small_store, tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    dataset = of_store(small_store)
    early, told = MixtureSampler(dataset, num_samples=8, batch_size=2), of_run(dataset, 1, 2, 2, 8)
    threads = MixtureLoader(dataset, num_samples=8, batch_size=2, threads=1)
    torch.distributed.init_process_group("gloo", f"file://{tmp_path}/meeting", rank=0, world_size=1)
    try:
        for each in (early, threads, DataLoader(dataset, 2, sampler=early)):
            with pytest.raises(
                InvalidArgument, match=r"built for rank 1 of 2 and is read by rank 0 of 1; build it after"
            ):
                next(iter(each))
        assert list(told) == [2, 3, 6, 7]
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.parametrize(
    ("other", "what"),
    [
        ({"seed": 1}, "seed;"),
        ({"patch_size": 32}, "patch size;"),
        ({"seed": 1, "patch_size": 32}, "seed and patch size;"),
    ],
)
def test_the_state_of_other_draws_is_refused_and_the_difference_named(other, what):
    state = of_run(of_lists(), 0, 1, 4, 40).state_dict()
    with pytest.raises(InvalidArgument, match=f"differs from this data set in {what}"):
        of_run(of_lists(**other), 0, 1, 4, 40).load_state_dict(state)


@pytest.mark.parametrize(("option", "one", "other"), [("align", "chunk", (2, 4, 8)), ("flip", True, [0, 2])])
def test_the_state_of_another_option_is_refused_and_one_from_before_it_is_taken(small_store, option, one, other):
    plain, changed = of_store(small_store), of_store(small_store, **{option: one})
    state = json.loads(json.dumps(of_run(plain, 0, 1, 4, 40).state_dict()))
    with pytest.raises(InvalidArgument, match=f"differs from this data set in {option};"):
        of_run(changed, 0, 1, 4, 40).load_state_dict(state)
    del state["fingerprint"][option]
    of_run(plain, 0, 1, 4, 40).load_state_dict(state)
    others = of_store(small_store, **{option: other})
    of_run(others, 0, 1, 4, 40).load_state_dict(json.loads(json.dumps(of_run(others, 0, 1, 4, 40).state_dict())))


def test_the_state_of_another_mixture_or_other_volumes_is_refused():
    state = of_run(of_lists(), 0, 1, 4, 40).state_dict()
    mixture = MixtureDataset(LISTS, Mixture({"a": 0.5, "b": 0.5}, window=16))
    with pytest.raises(InvalidArgument, match="data set in mixture;"):
        of_run(mixture, 0, 1, 4, 40).load_state_dict(state)
    volumes = MixtureDataset({**LISTS, "a": LISTS["a"] * 2}, of_lists().mixture)
    with pytest.raises(InvalidArgument, match="data set in volumes;"):
        of_run(volumes, 0, 1, 4, 40).load_state_dict(state)
    with pytest.raises(InvalidArgument, match=r"schema_version 9, expected 2; others draw"):
        of_run(of_lists(), 0, 1, 4, 40).load_state_dict({**state, "schema_version": 9})


def test_a_sampler_that_cannot_step_is_refused():
    with pytest.raises(InvalidArgument, match=r"rank must be from 0 to num_replicas - 1 = 1, got 2"):
        of_run(of_lists(), 2, 2, 4, 40)
    with pytest.raises(InvalidArgument, match="num_samples=7 makes no step: 2 ranks of 4 draws need at least 8"):
        of_run(of_lists(), 0, 2, 4, 7)
    with pytest.raises(InvalidArgument, match="batch_size must be at least 1, got 0"):
        of_run(of_lists(), 0, 2, 0, 7)
    with pytest.raises(InvalidArgument, match="num_samples must be a whole number, got 1000000.0"):
        MixtureSampler(of_lists(), num_samples=1e6, batch_size=4, rank=0, num_replicas=1)
    with pytest.raises(InvalidArgument, match="a sampler's state is a dictionary, got None"):
        of_run(of_lists(), 0, 1, 4, 40).load_state_dict(None)
    with pytest.raises(InvalidArgument, match="consumed must be from 0 to num_samples = 40, got 41"):
        of_run(of_lists(), 0, 2, 4, 40).state_dict(consumed=41)


def numbers_of(dataset, draws):
    return [(draw.domain, draw.n) for draw in map(dataset.plan, draws)]


@given(st.integers(0, 40), st.sampled_from([1, 5, 16]))
def test_a_change_that_is_allowed_skips_no_draw_and_repeats_none(steps, window):
    first = MixtureDataset(LISTS, Mixture({"a": 0.6, "b": 0.4}, window=window))
    run = of_run(first, 0, 1, 3, 300)
    state = json.loads(json.dumps(run.state_dict(consumed=3 * steps)))
    second = MixtureDataset(LISTS, Mixture({"a": 0.2, "b": 0.8}, window=16))
    sampler = of_run(second, 0, 1, 3, 300)
    sampler.load_state_dict(state, allow_change=True)
    drawn = numbers_of(first, range(3 * steps)) + numbers_of(second, sampler)
    assert len(set(drawn)) == len(drawn) == 300
    assert sampler.state_dict(consumed=300)["changes"] == [{"draw": 3 * steps, "in": ["mixture"]}]


def test_a_run_that_was_changed_goes_on_without_asking_again_and_may_change_again():
    state = of_run(of_lists(), 0, 1, 4, 400).state_dict(consumed=44)
    expected = None
    for seed in (1, 1, 2):
        dataset = of_lists(seed=seed)
        sampler = of_run(dataset, 0, 1, 4, 400)
        sampler.load_state_dict(state, allow_change=expected is None or seed == 2)
        if expected is not None and seed == 1:
            assert numbers_of(dataset, range(88, 400)) == expected
        expected = numbers_of(dataset, range(88, 400))
        state = json.loads(json.dumps(sampler.state_dict(consumed=88)))
    assert state["changes"] == [{"draw": 44, "in": ["seed"]}, {"draw": 88, "in": ["seed"]}]
    with pytest.raises(InvalidArgument, match="differs from this data set in seed;.*by allow_change=True"):
        of_run(of_lists(seed=1), 0, 1, 4, 400).load_state_dict(state)


def test_an_older_state_takes_a_data_set_back_to_before_the_change():
    old = of_run(of_lists(), 0, 1, 4, 400).state_dict(consumed=44)
    dataset = of_lists(seed=1)
    sampler = of_run(dataset, 0, 1, 4, 400)
    fresh = sampler.state_dict(consumed=0)
    sampler.load_state_dict(old, allow_change=True)
    assert dataset.mixture.start == 44
    sampler.load_state_dict(fresh)
    assert numbers_of(dataset, range(400)) == numbers_of(of_lists(seed=1), range(400))


def test_a_change_after_iterating_has_begun_is_refused():
    state = of_run(of_lists(), 0, 1, 4, 400).state_dict(consumed=44)
    sampler = of_run(of_lists(seed=1), 0, 1, 4, 400)
    next(iter(sampler))
    with pytest.raises(InvalidArgument, match="load it before iterating, into a new sampler"):
        sampler.load_state_dict(state, allow_change=True)
    sampler = of_run(of_lists(), 0, 1, 4, 400)
    next(iter(sampler))
    sampler.load_state_dict(state)  # nothing changes
    assert next(iter(sampler)) == 44


def test_a_state_that_is_refused_leaves_everything_as_it_was():
    state = of_run(of_lists(), 0, 1, 4, 4000).state_dict(consumed=3000)
    dataset = of_lists(seed=1)
    sampler = of_run(dataset, 0, 1, 4, 400)
    expected = sampler.state_dict()
    with pytest.raises(InvalidArgument, match="consumed must be from 0 to num_samples = 400, got 3000"):
        sampler.load_state_dict(state, allow_change=True)
    assert sampler.state_dict() == expected
    assert list(sampler) == list(range(400))


def test_a_mixture_that_begins_after_others_is_sampled_from_there():
    dataset = MixtureDataset(LISTS, Mixture({"a": 0.6, "b": 0.4}, before={"a": 7, "b": 1}))
    assert list(of_run(dataset, 0, 1, 2, 20)) == list(range(8, 20))


def test_the_fingerprint_has_the_way_in_which_draws_are_ordered():
    state = of_run(of_lists(), 0, 1, 4, 400).state_dict()
    state["fingerprint"]["orders"] = 1
    with pytest.raises(InvalidArgument, match="differs from this data set in orders"):
        of_run(of_lists(), 0, 1, 4, 400).load_state_dict(state)


@pytest.mark.parametrize("shares", [{"a": 0.25, "b": 0.75}, {"a": 0.3333333, "b": 0.6666669}])
def test_the_state_names_the_allocation(tmp_path, shares):
    Allocation(shares).save(tmp_path / "allocation.json")
    dataset = MixtureDataset(LISTS, Mixture.load(tmp_path / "allocation.json"), max_repeats=50, on_cap="redistribute")
    state = of_run(dataset, 0, 1, 4, 400).state_dict(consumed=44)
    assert state["allocation"] == Allocation.load(tmp_path / "allocation.json").fingerprint


def test_the_state_is_small_wherever_the_run_is_and_however_many_volumes(small_store):
    lists = {domain: range(10**6) for domain in ("abdomen-ct", "brain-t1", "brain-t2", "head-ct", "abdomen-mri", "pet")}
    mixture = Mixture(dict.fromkeys(lists, 1 / 6))
    dataset = MixtureDataset(lists, mixture)
    dataset.go_on_after(mixture.taken(10**11 + 36))
    state = of_run(dataset, 0, 1, 4, 10**13).state_dict(consumed=10**12 + 4)
    assert len(json.dumps(state)) < 1000


def test_a_loop_that_counts_from_where_each_job_began_reads_every_draw_once():
    state, seen = None, []
    for steps in (5, 3, 100):
        dataset = of_lists()
        sampler = of_run(dataset, 0, 1, 4, 80)
        if state:
            sampler.load_state_dict(state)
        for step, batch in enumerate(DataLoader(dataset, 4, sampler=sampler, collate_fn=list)):
            seen += [sample["draw"] for sample in batch]
            state = sampler.state_dict(consumed=sampler.start + (step + 1) * 4)
            if step + 1 == steps:
                break
    assert seen == list(range(80))
    assert state["consumed"] == 80


def test_a_count_that_left_out_where_the_job_began_is_refused():
    sampler = of_run(of_lists(), 0, 1, 4, 80)
    sampler.load_state_dict(of_run(of_lists(), 0, 1, 4, 80).state_dict(consumed=40))
    with pytest.raises(InvalidArgument, match=r"consumed=4 comes before start=40.*: sampler.start \+ \(step \+ 1\)"):
        sampler.state_dict(consumed=4)


def test_a_change_that_the_caps_refuse_leaves_everything_as_it_was():
    sizes = {"a": 50, "b": 20}
    members = {name: [{"x": i} for i in range(size)] for name, size in sizes.items()}
    half = MixtureDataset(members, Mixture({"a": 0.5, "b": 0.5}))
    state = of_run(half, 0, 1, 4, 320).state_dict(consumed=196)
    dataset = MixtureDataset(members, Mixture({"a": 0.7, "b": 0.3}), max_repeats={"b": 5})
    sampler = of_run(dataset, 0, 1, 4, 320)
    expected = sampler.state_dict()
    with pytest.raises(MixtureEnded, match="max_repeats is reached for 'b'"):
        sampler.load_state_dict(state, allow_change=True)
    assert sampler.state_dict() == expected
    assert dataset[0]["draw"] == 0


def test_what_is_no_state_of_a_sampler_is_named():
    with pytest.raises(InvalidArgument, match=r"no sampler's state.*'consumed'.*\['data', 'model'\]"):
        of_run(of_lists(), 0, 1, 4, 80).load_state_dict({"model": {}, "data": {}})


@pytest.mark.parametrize("face", [MixtureSampler, MixtureLoader])
def test_a_wrapped_data_set_is_refused(face):
    with pytest.raises(
        InvalidArgument, match=r"must be a mixio.MixtureDataset, got Subset; .* its split and subsets say"
    ):
        face(torch.utils.data.Subset(of_lists(), [0, 1]), num_samples=8, batch_size=4)


def test_a_rest_that_is_too_short_for_a_step_is_told():
    state = of_run(of_lists(), 0, 1, 4, 40).state_dict(consumed=36)
    sampler = of_run(of_lists(), 0, 3, 4, 40)
    with pytest.warns(MixioWarning, match=r"4 of 40 draws are left, too few for a step of 12 \(3 ranks of 4\)"):
        sampler.load_state_dict(state)
    assert list(sampler) == []


def test_a_run_that_left_out_its_tail_is_at_its_end_without_a_word():
    sampler = of_run(of_lists(), 0, 1, 4, 41)
    sampler.load_state_dict(sampler.state_dict(consumed=40))
    assert list(sampler) == []


def test_draws_before_a_mixture_are_none_of_a_sampler():
    dataset = MixtureDataset(LISTS, Mixture({"a": 0.6, "b": 0.4}, before={"a": 7, "b": 1}))
    with pytest.raises(InvalidArgument, match="need at least 4 after the 8 that other mixtures have drawn"):
        of_run(dataset, 0, 1, 4, 8)


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        (
            "fingerprint",
            None,
            "'fingerprint' of a sampler's state must be a mapping, got None; load what its state_dict",
        ),
        ("taken", [3], r"'taken' of a sampler's state must be a mapping, got \[3\]"),
        ("before", None, "'before' of a sampler's state must be a mapping, got None"),
        ("changes", None, "'changes' of a sampler's state must be a list, got None"),
        ("steps", "2", "'steps' of a sampler's state must be a whole number, got '2'"),
        ("steps", -2, "'steps' of a sampler's state must be at least 0, got -2"),
        ("consumed", 12, "the saved state has consumed=12 but 8 draws are taken of its domains"),
    ],
)
def test_a_state_with_a_wrong_part_is_refused(part, value, message):
    state = of_run(of_lists(), 0, 1, 4, 80).state_dict(consumed=8)
    with pytest.raises(InvalidArgument, match=message):
        of_run(of_lists(), 0, 1, 4, 80).load_state_dict({**state, part: value})


@pytest.mark.parametrize("part", ["taken", "fingerprint"])
def test_a_state_that_lacks_a_part_is_refused(part):
    state = of_run(of_lists(), 0, 1, 4, 80).state_dict(consumed=8)
    del state[part]
    with pytest.raises(InvalidArgument, match=f"no sampler's state, for '{part}' is missing; it has .*'consumed'"):
        of_run(of_lists(seed=1), 0, 1, 4, 80).load_state_dict(state, allow_change=True)
