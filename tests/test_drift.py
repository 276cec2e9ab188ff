import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixio.consumed import Consumed
from mixio.drift import bounds, intended, likely_cause, named_differences, stretch
from mixio.mixture import Mixture

PLAN = Consumed.row(0, 640)


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=9).filter(any), st.integers(1, 70), st.integers(0, 3000))
def test_no_domain_is_farther_from_its_share_than_its_bound_whatever_the_number_of_draws(weights, window, n):
    mixture = Mixture({f"d{i}": weight / sum(weights) for i, weight in enumerate(weights)}, window=window)
    for domain, count in mixture.counts(n).items():
        assert abs(count - n * mixture.shares[domain]) <= bounds(mixture)[domain] + 1e-9


def test_a_bound_is_half_a_draw_a_level_and_the_variance_of_a_window():
    assert bounds(Mixture({"a": 0.5, "b": 0.25, "c": 0.25, "d": 0.0})) == {"a": 17.0, "b": 13.0, "c": 13.0, "d": 0.0}
    assert bounds(Mixture({"a": 1.0})) == {"a": 0.0}


@given(st.integers(1, 200), st.integers(1, 70), st.integers(0, 600))
def test_where_shares_change_every_segment_adds_its_bound(start, window, n):
    mixture = Mixture([(0, {"a": 0.7, "b": 0.3}), (start, {"a": 0.1, "c": 0.9})], window=window)
    first, later = min(n, start), max(n - start, 0)
    due = {"a": 0.7 * first + 0.1 * later, "b": 0.3 * first, "c": 0.9 * later}
    for domain, count in mixture.counts(n).items():
        assert abs(count - due[domain]) <= bounds(mixture)[domain] + 1e-9


def test_what_is_intended_is_the_plan_where_shares_change_and_else_the_shares():
    mixture = Mixture([(0, {"a": 1.0}), (64, {"b": 1.0})])
    assert intended(mixture, 128) == {"a": 0.5, "b": 0.5}
    assert intended(Mixture({"a": 0.3, "b": 0.7}), 5) == {"a": 0.3, "b": 0.7}
    assert intended(Mixture({"a": 1.0}, before={"b": 60}), 80) == {"a": 0.25, "b": 0.75}
    assert intended(Mixture({"a": 1.0}, end=20, before={"b": 10}), 80) == {"a": 0.5, "b": 0.5}


def test_the_domains_farthest_off_are_named_first():
    planned = {f"d{i}": 10 for i in range(8)}
    assert named_differences(planned, planned) == ""
    assert named_differences({**planned, "d3": 12, "d5": 7}, planned) == (
        "'d5' 7 draws of 10 planned, 'd3' 12 draws of 10 planned"
    )
    assert named_differences({"stray": 1}, {"ct": 1}) == "'ct' 0 draws of 1 planned, 'stray' 1 draws of 0 planned"
    assert named_differences({}, planned).endswith("'d4' 0 draws of 10 planned and 3 more domains")


@pytest.mark.parametrize(
    ("seen", "cause"),
    [
        (PLAN - Consumed.row(40, 4), "draws 40 to 43 were never counted: a loader that drops a batch"),
        (PLAN - Consumed.of([9]), "draw 9 was never counted"),
        (PLAN + Consumed.row(40, 4), "draws 40 to 43 were counted once too often: a loader that repeats a batch"),
        (PLAN + Consumed.row(640, 8), "draws 640 to 647 were counted once too often"),
        (
            PLAN - Consumed.of(range(1, 640, 4)),
            "160 draws, 1/4 of the plan's, were never counted: a rank that is missing",
        ),
        (PLAN + Consumed.of(range(1, 640, 4)), "160 draws, 1/4 of the plan's, were one too many times: a rank counted"),
        (PLAN - Consumed.of([1, 5, 9]), "3 draws were never counted"),
        (PLAN - Consumed.of([7]) + Consumed.of([8]), "as many draws as planned, but others: another sampler"),
        (PLAN, "the draws are the planned ones: the batches come from another mixture"),
        (Consumed(), "draws 0 to 639 were never counted"),
    ],
)
def test_the_likely_cause_is_told(seen, cause):
    assert likely_cause(seen, PLAN).startswith(cause)


def test_what_is_intended_of_a_part_of_a_run_is_the_plan_of_that_part():
    mixture = Mixture([(0, {"a": 1.0}), (640, {"b": 1.0})])
    assert intended(mixture, 1280, 640) == {"a": 0.0, "b": 1.0}
    changed = Mixture({"a": 0.5, "b": 0.5}, before={"a": 640})
    assert intended(changed, 768, 640) == {"a": 0.5, "b": 0.5}


def test_a_stretch_is_exact_for_draws_in_a_row_and_near_for_one_rank():
    assert stretch(Consumed.row(640, 100), 100) == (640, 740)
    every_fourth = Consumed.of([g for g in range(4000) if g % 16 < 4])
    first, end = stretch(every_fourth, 1000)
    assert first == 0
    assert end == pytest.approx(4000, rel=0.01)
    assert stretch(Consumed(), 7) == (0, 7)
