import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixio.errors import InvalidArgument, RunLogError
from tools.designs import (
    KINDS,
    Design,
    cost,
    mixtures_only,
    read_table,
    singles_and_mixtures,
    singles_and_pairs,
    singles_and_rests,
    within,
    write_table,
)

SIX = ["abdomen-ct", "abdomen-mr", "brain-t1", "brain-t2", "headneck-ct", "headneck-pet"]


several_budgets = st.lists(st.integers(1, 10**9), min_size=1, max_size=5, unique=True)


@given(st.sampled_from(list(KINDS.values())), st.integers(1, 12), several_budgets, st.integers(0, 40), st.integers(0))
def test_every_run_has_valid_shares_and_a_name_and_seed_of_its_own(kind, domains, budgets, mixtures, seed):
    names = sorted(f"d{index}" for index in range(domains))
    designs = kind(names, budgets, mixtures, seed=seed)
    assert all(sum(design.shares.values()) == pytest.approx(1, abs=1e-12) for design in designs)
    assert all(min(design.shares.values()) >= 0 and list(design.shares) == names for design in designs)
    assert len({design.run for design in designs}) == len({design.seed for design in designs}) == len(designs)


@given(st.sampled_from(list(KINDS.values())), st.integers(2, 6), several_budgets, st.integers(0, 10**6))
def test_a_cost_buys_the_longest_beginning_of_a_design_and_a_larger_one_keeps_it(kind, domains, budgets, more):
    names = sorted(f"d{index}" for index in range(domains))
    least = cost(kind(names, budgets, 0) or kind(names, budgets, 1))
    draws = least + more % (50 * min(budgets))
    bought = within(kind, names, budgets, draws)
    longer = kind(names, budgets, len(bought) + 1)
    assert cost(bought) <= draws < cost(longer[: len(bought) + 1])
    assert within(kind, names, budgets, draws + 3 * min(budgets))[: len(bought)] == bought


def test_pairs_come_before_they_come_twice_and_then_at_another_budget():
    pairs = singles_and_pairs(SIX[:3], [64, 128], 7)[6:]
    assert [design.run for design in pairs] == [
        "pair-abdomen-ct+abdomen-mr-64",
        "pair-abdomen-ct+brain-t1-128",
        "pair-abdomen-mr+brain-t1-64",
        "pair-abdomen-ct+abdomen-mr-128",
        "pair-abdomen-ct+brain-t1-64",
        "pair-abdomen-mr+brain-t1-128",
        "pair-abdomen-ct+abdomen-mr-64-1",
    ]
    assert pairs[0].shares == {"abdomen-ct": 0.5, "abdomen-mr": 0.5, "brain-t1": 0.0}


def test_a_rest_is_equal_parts_of_all_but_one():
    rest = singles_and_rests(SIX[:3], [64], 2)[-1]
    assert (rest.run, rest.shares) == (
        "without-abdomen-mr-64",
        {"abdomen-ct": 0.5, "abdomen-mr": 0.0, "brain-t1": 0.5},
    )


def test_mixtures_alone_are_those_that_follow_the_singles():
    shares = [design.shares for design in singles_and_mixtures(SIX, [512, 1024], 5, seed=3)[12:]]
    assert [design.shares for design in mixtures_only(SIX, [512, 1024], 5, seed=3)] == shares


@pytest.mark.parametrize(
    ("kind", "draws", "message"),
    [
        (singles_and_mixtures, 3071, r"3071 draws in all are too few .* \(runs: 4\) takes 3072; give at least 3072"),
        (mixtures_only, 511, r"511 draws in all are too few .* \(runs: 1\) takes 512"),
        (mixtures_only, 10**12, "pay for more than 10000 runs of 512 to 1024"),
        (singles_and_pairs, 10**12, "pay for more than 10000 runs"),
    ],
)
def test_a_cost_that_buys_too_little_or_far_too_much_is_refused(kind, draws, message):
    with pytest.raises(InvalidArgument, match=message):
        within(kind, SIX[:2], [512, 1024], draws)


def test_six_domains_at_four_budgets_and_thirty_mixtures_are_fifty_four_runs():
    designs = singles_and_mixtures(SIX, [512, 1024, 2048, 4096], 30)
    assert len(designs) == 54
    assert designs[1].run == "single-abdomen-ct-1024"
    assert designs[1].shares == {name: float(name == "abdomen-ct") for name in SIX}
    assert designs[24 + 6].run == "mix-006-2048"
    assert designs[24 + 6].draws == 2048


def test_more_mixtures_keep_the_runs_that_were_there_and_another_seed_changes_them():
    few, many = (singles_and_mixtures(SIX, [512, 1024], mixtures, seed=3) for mixtures in (5, 9))
    assert many[: len(few)] == few
    assert singles_and_mixtures(SIX, [512, 1024], 5, seed=4)[-1].shares != few[-1].shares


def test_a_small_concentration_puts_most_of_a_mixture_on_few_domains():
    sharp, flat = (
        singles_and_mixtures(SIX, [512], 200, concentration=concentration)[6:] for concentration in (0.1, 10)
    )
    assert sum(max(design.shares.values()) for design in sharp) > 1.8 * sum(
        max(design.shares.values()) for design in flat
    )


def test_a_table_gives_back_the_designs_that_were_written_to_it(tmp_path):
    designs = singles_and_mixtures(SIX, [512, 1024], 7, seed=11)
    write_table(tmp_path / "designs.csv", designs)
    assert read_table(tmp_path / "designs.csv") == designs
    assert (tmp_path / "designs.csv").read_text().startswith("run,draws,seed,share:abdomen-ct,")
    assert isinstance(designs[0], Design)


@pytest.mark.parametrize(
    ("domains", "budgets", "mixtures", "message"),
    [
        ([], [512], 1, "domains must be distinct and at least one"),
        (["a", "a"], [512], 1, "domains must be distinct"),
        (["a"], [], 1, "need distinct budgets of at least 1 draw"),
        (["a"], [0], 1, "need distinct budgets of at least 1 draw"),
        (["a"], [64, 64], 1, "need distinct budgets"),
        (["a"], [512], -1, "no negative mixtures"),
    ],
)
def test_an_impossible_design_is_refused(domains, budgets, mixtures, message):
    with pytest.raises(InvalidArgument, match=message):
        singles_and_mixtures(domains, budgets, mixtures)


def test_a_table_that_is_not_one_of_designs_is_refused(tmp_path):
    (tmp_path / "designs.csv").write_text("run,seed\nr1,3\n")
    with pytest.raises(RunLogError, match="is not a table of designs"):
        read_table(tmp_path / "designs.csv")
