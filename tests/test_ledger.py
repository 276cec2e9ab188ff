import json
import logging
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mixio
from mixio.errors import InvalidArgument, MixtureDriftError, RunLogError
from mixio.ledger import Ledger, read_ledger
from mixio.mixture import Mixture
from tests.test_dataset import of_store

PAGE = Path(__file__).resolve().parents[1] / "docs" / "ledger.md"
MIXTURE = Mixture({"ct": 0.7, "mr": 0.2, "pet": 0.1})


def batch(domains, keys, valid, size=4):
    image = np.zeros((len(domains), 1, size, size, size), np.float32)
    return {"domain": domains, "key": keys, "valid": np.array(valid), "image": image}


WHOLE = [[0, 0, 0], [4, 4, 4]]
HALF = [[0, 0, 1], [4, 4, 3]]


def planned(start, stop, mixture=MIXTURE):
    """A batch of the planned draws, of volumes that come again every 7 draws."""
    draws = range(start, stop)
    located = [mixture.locate(g) for g in draws]
    return {"domain": [domain for domain, _ in located], "key": [f"{n % 7}" for _, n in located], "draw": [*draws]}


def observed(*batches, mixture=MIXTURE, **options):
    ledger = Ledger(mixture, **options)
    for each in batches:
        ledger.observe(each)
    return ledger


def run_of(world, steps, size=4):
    """The batches of every rank."""
    return [[planned((s * world + r) * size, (s * world + r + 1) * size) for s in range(steps)] for r in range(world)]


@given(st.integers(1, 5), st.integers(1, 6), st.integers(1, 5), st.integers(0, 5), st.randoms())
def test_merging_is_counting_everything_in_one_ledger(world, steps, new_world, more, random):
    parts = run_of(world, steps)
    ranks = [observed(*batches) for batches in parts]
    random.shuffle(ranks)
    run = Ledger.merged(ranks)
    assert run.state_dict() == observed(*(each for batches in parts for each in batches)).state_dict()
    run.check(world * steps * 4)
    state, done = json.loads(json.dumps(run.state_dict())), world * steps * 4
    later = [Ledger(MIXTURE) for _ in range(new_world)]
    for rank, ledger in enumerate(later):
        ledger.load_state_dict(state)
        for step in range(more):
            start = done + (step * new_world + rank) * 4
            ledger.observe(planned(start, start + 4))
    whole = Ledger.merged([Ledger.merged(later[:1]), *later[1:]])
    whole.check(done + more * new_world * 4)
    assert whole.state_dict() == observed(planned(0, done + more * new_world * 4)).state_dict()


@pytest.mark.parametrize("size", [1, 3, 64])
def test_a_run_as_planned_passes_at_every_step(size):
    ledger = Ledger(MIXTURE)
    for start in range(0, 320, size):
        ledger.observe(planned(start, start + size))
        ledger.check(start + size)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (
            [(0, 40), (44, 640)],
            r"'ct' 44\d draws of 448 planned.*; draws 40 to 43 were never counted: a loader that drops",
        ),
        ([(0, 44), (40, 640)], r"'ct' 45\d draws of 448 planned.*; draws 40 to 43 were counted once too often"),
        ([(0, 640), (0, 640)], "'ct' 896 draws of 448 planned, 'mr' 256 draws of 128 planned, 'pet' 128 draws of 64"),
        ([(0, 576)], "'pet' 5[78] draws of 64 planned; draws 576 to 639 were never counted"),
        ([(640, 1280)], "every domain has its number; as many draws as planned, but others: another sampler"),
        ([], "'ct' 0 draws of 448 planned.*; draws 0 to 639 were never counted"),
    ],
)
def test_a_run_off_its_plan_is_told_from_it(parts, message):
    with pytest.raises(MixtureDriftError, match=message):
        observed(*(planned(*part) for part in parts)).check(640)


def test_a_rank_that_is_missing_is_found():
    ranks = [observed(*batches) for batches in run_of(4, 40)]
    Ledger.merged(ranks).check(640)
    with pytest.raises(
        MixtureDriftError, match="160 draws, 1/4 of the plan's, were never counted: a rank that is missing"
    ):
        Ledger.merged(ranks[:3]).check(640)
    with pytest.raises(
        MixtureDriftError, match="160 draws, 1/4 of the plan's, were one too many times: a rank counted"
    ):
        Ledger.merged([*ranks, ranks[2]]).check(640)


def test_the_batches_of_another_mixture_are_found():
    with pytest.raises(
        MixtureDriftError, match="the draws are the planned ones: the batches come from another mixture"
    ):
        observed(planned(0, 640, Mixture({"ct": 0.5, "mr": 0.5}))).check(640)


def test_a_run_that_goes_on_with_another_mixture_is_checked_as_a_whole():
    first = Mixture({"a": 0.75, "b": 0.25})
    old = observed(*(planned(g, g + 4, first) for g in range(0, 100, 4)), mixture=first)
    second = Mixture({"a": 0.25, "b": 0.75}, before=first.taken(100))
    ledger = Ledger(second)
    ledger.load_state_dict(json.loads(json.dumps(old.state_dict())))
    for g in range(100, 200, 4):
        ledger.observe(planned(g, g + 4, second))
    ledger.check(200)
    assert ledger.summary()["domains"]["a"]["intended"] == second.counts(200)["a"] / 200
    with pytest.raises(MixtureDriftError, match="draws 200 to 203 were never counted"):
        ledger.check(204)


def test_without_numbers_of_draws_their_number_is_compared():
    unnumbered = {"domain": planned(0, 640)["domain"]}
    observed(unnumbered).check(640)
    observed(unnumbered, planned(0, 640)).check(1280)
    with pytest.raises(MixtureDriftError, match="'ct' 448 draws of 896 planned.*; the batches have no 'draw'"):
        observed(unnumbered).check(1280)


def test_a_run_counted_from_its_middle_is_checked_from_there():
    observed(planned(200, 640)).check(640, first=200)
    with pytest.raises(
        MixtureDriftError, match="after 440 draws the run is off its plan: .*draws 200 to 203 were never"
    ):
        observed(planned(204, 640)).check(640, first=200)
    with pytest.raises(InvalidArgument, match="the draws from first=8 up to n=4 are none"):
        Ledger(MIXTURE).check(4, first=8)


@pytest.mark.parametrize("world", [1, 2])
def test_a_run_of_the_loader_passes_unless_a_batch_is_lost(small_store, world):
    dataset, ranks = of_store(small_store, patch_size=8), []
    options = {"num_samples": 320, "batch_size": 4, "num_replicas": world, "threads": 2}
    for rank in range(world):
        ranks.append([*mixio.MixtureLoader(dataset, rank=rank, **options)])
    ledgers = [observed(*batches, mixture=dataset.mixture) for batches in ranks]
    Ledger.merged(ledgers).check(320)
    lost = observed(*ranks[0][:5], *ranks[0][6:], mixture=dataset.mixture)
    first = 5 * 4 * world
    with pytest.raises(MixtureDriftError, match=f"draws {first} to {first + 3} were never counted"):
        Ledger.merged([lost, *ledgers[1:]]).check(320)


def test_the_example_of_the_page_counts_on_after_a_resume(small_store, tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    caplog.set_level("INFO")
    example = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[1].replace("1000", "5")
    dataset, checkpoint = of_store(small_store, patch_size=8), {}
    for stop in (60, 120):
        loader = mixio.MixtureLoader(dataset, num_samples=stop, batch_size=3)
        if checkpoint:
            loader.load_state_dict(checkpoint["data"])
        names = {"mixio": mixio, "dataset": dataset, "loader": loader, "checkpoint": checkpoint, "rank": 0}
        exec(example, names | {"log": logging.getLogger("run")})
        checkpoint["data"] = loader.state_dict()
    assert [line["draws"] for line in read_ledger("ledger.jsonl")] == [15, 30, 45, 60, 75, 90, 105, 120]
    assert caplog.messages[-1].startswith("120 draws, ")


def test_lines_come_back_and_a_torn_one_is_not_one(tmp_path):
    path, ledger = tmp_path / "new" / "ledger.jsonl", Ledger(MIXTURE, {"ct": 7})
    for start in range(0, 192, 64):
        ledger.observe(planned(start, start + 64))
        ledger.write(path)
    lines = read_ledger(path)
    assert [line["draws"] for line in lines] == [64, 128, 192]
    assert lines[-1] == {"schema_version": 1, **ledger.summary()}
    path.write_bytes(path.read_bytes()[:-9])
    assert read_ledger(path) == lines[:2]
    ledger.write(path)
    assert read_ledger(path) == lines


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("not json\n", "cannot read .*ledger.jsonl as a ledger: Expecting value"),
        ('{"schema_version": 2, "domains": {}}\n', "a line of schema_version 2, expected 1; is it a ledger.jsonl?"),
        ('{"schema_version": 1, "event": "config"}\n', "is it a ledger.jsonl?"),
        ("[1]\n", "a line of schema_version None"),
    ],
)
def test_another_file_is_no_ledger(tmp_path, text, message):
    (tmp_path / "ledger.jsonl").write_text(text)
    with pytest.raises(RunLogError, match=message):
        read_ledger(tmp_path / "ledger.jsonl")
    with pytest.raises(RunLogError, match="cannot read .*none.jsonl as a ledger: .*No such file"):
        read_ledger(tmp_path / "none.jsonl")


def test_a_state_does_not_grow_with_the_run_nor_beyond_its_limit_with_the_volumes():
    sizes = []
    for draws in (4_000, 40_000):
        domains, keys = ["ct"] * draws, [f"case-{n}" for n in range(draws)]
        sizes.append(len(json.dumps(observed({"domain": domains, "key": keys}, limit=256).state_dict())))
    assert max(sizes) < 256 * 25


def test_an_estimated_number_of_volumes_is_not_more_than_there_are_but_a_counted_one_may_be():
    batch = {"domain": ["ct"] * 100, "key": [f"case-{n}" for n in range(100)]}
    for limit, seen in ((16, 5), (100, 100)):
        ledger = observed(batch, volumes={"ct": 5}, limit=limit)
        assert ledger.summary()["domains"]["ct"]["volumes_seen"] == seen


def test_ledgers_that_are_not_of_one_run_are_refused():
    with pytest.raises(
        InvalidArgument, match=r"ledgers of Mixture\(ct: 0.7.* and of Mixture\(ct: 1; .* are not of one run"
    ):
        Ledger.merged([Ledger(MIXTURE), Ledger(Mixture({"ct": 1.0}))])
    resumed = Ledger(MIXTURE)
    resumed.load_state_dict(observed(planned(0, 8)).state_dict())
    with pytest.raises(InvalidArgument, match="went on from different states; load the same one on every rank"):
        Ledger.merged([resumed, Ledger(MIXTURE)])
    with pytest.raises(InvalidArgument, match="at least one ledger, got none"):
        Ledger.merged([])
    with pytest.raises(InvalidArgument, match="ledger state has schema_version 9, expected 1"):
        resumed.load_state_dict({"schema_version": 9})
    with pytest.raises(InvalidArgument, match="limit must be at least 1, got 0"):
        Ledger(MIXTURE, limit=0)


def test_it_counts_draws_passes_volumes_and_padding():
    ledger = Ledger(Mixture({"ct": 0.75, "pet": 0.25}), volumes={"ct": 2, "pet": 10})
    ledger.observe(batch(["ct", "pet"], ["one", "one"], [WHOLE, HALF]))
    ledger.observe(batch(["ct", "ct"], ["one", "two"], [WHOLE, WHOLE]))
    summary = ledger.summary()
    assert summary["draws"] == 4
    assert summary["padded"] == pytest.approx(32 / 256)
    assert summary["domains"] == {
        "ct": {"draws": 3, "share": 0.75, "intended": 0.75, "bound": 12.5, "passes": 1.5}
        | {"volumes_seen": 2, "most_repeats": 2, "replaced": 0, "padded": 0.0},
        "pet": {"draws": 1, "share": 0.25, "intended": 0.25, "bound": 12.5, "passes": 0.1}
        | {"volumes_seen": 1, "most_repeats": 1, "replaced": 0, "padded": 0.5},
    }
    assert summary["damaged"] == []
    assert json.loads(json.dumps(summary)) == summary


def test_over_whole_windows_it_finds_what_the_mixture_promised():
    mixture = Mixture({"ct": 0.7, "mr": 0.2, "pet": 0.1})
    ledger = Ledger(mixture)
    for start in range(0, 640, 8):
        ledger.observe({"domain": [mixture.locate(g)[0] for g in range(start, start + 8)]})
    assert {domain: counts["draws"] for domain, counts in ledger.summary()["domains"].items()} == {
        "ct": 448,
        "mr": 128,
        "pet": 64,
    }


def test_a_domain_outside_the_mixture_shows_up():
    ledger = Ledger(Mixture({"ct": 1.0}))
    ledger.observe({"domain": ["ct", "stray"]})
    assert ledger.summary()["domains"]["stray"]["intended"] == 0
    assert ledger.summary()["domains"]["stray"]["draws"] == 1


def test_its_line_tells_the_shares_of_the_part_that_it_saw():
    mixture = Mixture([(0, {"a": 1.0}), (640, {"b": 1.0})])
    ledger = Ledger(mixture)
    ledger.observe({"domain": ["b"] * 640, "draw": list(range(640, 1280))})
    ledger.check(1280, first=640)
    assert "b 100.00% of 100.00%" in ledger.line()


def test_its_line_is_one_line():
    ledger = Ledger(Mixture({"ct": 0.5, "mr": 0.5}), volumes={"ct": 2})
    assert ledger.line() == "0 draws, 0.0% padding | ct 0.00% of 50.00% x0 | mr 0.00% of 50.00%"
    ledger.observe({"domain": ["ct", "ct", "ct", "mr"]})
    assert ledger.line() == "4 draws, 0.0% padding | ct 75.00% of 50.00% x1.5 | mr 25.00% of 50.00%"
    ledger.observe({"domain": ["ct"] * 397})
    assert ledger.line().startswith("401 draws, 0.0% padding | ct 99.75% of 50.00% x200 |")


def test_replaced_draws_are_counted_by_domain_and_the_damaged_volumes_named():
    ledger = Ledger(Mixture({"ct": 0.5, "mr": 0.5}))
    ledger.observe({"domain": ["ct", "mr", "ct"], "key": ["b", "x", "b"], "fault": ["ct/a", "", "ct/c"]})
    ledger.observe({"domain": ["ct", "mr"], "key": ["b", "y"], "fault": ["ct/a", "mr/x"]})
    summary = ledger.summary()
    assert {domain: counts["replaced"] for domain, counts in summary["domains"].items()} == {"ct": 3, "mr": 1}
    assert summary["damaged"] == ["ct/a", "ct/c", "mr/x"]
    assert summary["domains"]["ct"]["draws"] == 3
    line = "ct 60.00% of 50.00%, 3 replaced | mr 40.00% of 50.00%, 1 replaced | damaged: ct/a, ct/c, mr/x"
    assert ledger.line().endswith(line)


def test_a_line_names_five_damaged_volumes_and_counts_the_rest():
    ledger = Ledger(Mixture({"ct": 1.0}))
    ledger.observe({"domain": ["ct"] * 7, "fault": [f"ct/{n}" for n in range(7)]})
    assert ledger.line().endswith("damaged: ct/0, ct/1, ct/2, ct/3, ct/4 and 2 more")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (({"ct": 1.0},), r"counts against a mixio.Mixture, got {'ct': 1.0}; .* by mixio.Mixture\(shares\)"),
        ((MIXTURE, {"ct": range(5)}), r"got range\(0, 5\) for 'ct'; of a data set: {domain: len\(names\) for"),
        ((MIXTURE, {"ct": float("nan")}), "has the number of volumes of each domain, got nan for 'ct'"),
        ((MIXTURE, {"ct": -1}), "has the number of volumes of each domain, got -1 for 'ct'"),
        ((MIXTURE, [3]), r"volumes is a dictionary of the number of volumes of each domain, got \[3\]"),
    ],
)
def test_a_ledger_of_something_else_is_refused(arguments, message):
    with pytest.raises(InvalidArgument, match=message):
        Ledger(*arguments)


def test_wrong_arguments_of_a_ledger_are_named():
    ledger = Ledger(MIXTURE)
    with pytest.raises(InvalidArgument, match="n must be a whole number, got None"):
        ledger.check(None)
    with pytest.raises(InvalidArgument, match=r"a ledger's state is a dictionary, got None; what its state_dict\(\)"):
        ledger.load_state_dict(None)
    with pytest.raises(InvalidArgument, match=r"no ledger's state \(KeyError: 'domains'\); load what its state_dict"):
        ledger.load_state_dict({"schema_version": 1})
    with pytest.raises(InvalidArgument, match="limit must be a whole number, got 1.5"):
        Ledger(MIXTURE, limit=1.5)
    with pytest.raises(InvalidArgument, match="merged takes a list of ledgers, got <mixio"):
        Ledger.merged(ledger)
    with pytest.raises(InvalidArgument, match="merged takes ledgers, got {'schema_version'"):
        Ledger.merged([ledger.state_dict()])
    with pytest.raises(RunLogError, match="cannot read None as a ledger"):
        read_ledger(None)
