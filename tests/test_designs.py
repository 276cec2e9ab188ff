import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixio.errors import InvalidArgument, RunLogError
from tools.designs import Design, read_table, singles_and_mixtures, write_table

SIX = ["abdomen-ct", "abdomen-mr", "brain-t1", "brain-t2", "headneck-ct", "headneck-pet"]


several_budgets = st.lists(st.integers(1, 10**9), min_size=1, max_size=5, unique=True)


@given(st.integers(1, 12), several_budgets, st.integers(0, 40), st.integers(0))
def test_every_run_has_valid_shares_and_a_name_and_seed_of_its_own(domains, budgets, mixtures, seed):
    names = sorted(f"d{index}" for index in range(domains))
    designs = singles_and_mixtures(names, budgets, mixtures, seed=seed)
    assert len(designs) == domains * len(budgets) + mixtures
    assert all(sum(design.shares.values()) == pytest.approx(1, abs=1e-12) for design in designs)
    assert all(min(design.shares.values()) >= 0 and list(design.shares) == names for design in designs)
    assert len({design.run for design in designs}) == len({design.seed for design in designs}) == len(designs)


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
