"""Spreads and turns."""

import pytest

from tools.bench_figure import apart
from tools.bench_run import powers
from tools.bench_turns import TURNS, Spread, in_turns, percentile, rate_of, spread_of


def test_quartiles_are_those_of_numpy() -> None:
    # numpy.percentile([1, 2, 4, 8, 16], [25, 50, 75])
    assert spread_of([16.0, 1.0, 4.0, 2.0, 8.0]) == Spread(4.0, 2.0, 8.0)
    assert spread_of([3.0]) == Spread(3.0, 3.0, 3.0)


def test_quartiles_more_than_a_quarter_apart_are_noisy() -> None:
    assert Spread(100.0, 87.0, 113.0).is_noisy
    assert not Spread(100.0, 88.0, 112.0).is_noisy


def test_a_percentile_is_one_of_the_values() -> None:
    values = [float(n) for n in range(1, 101)]
    assert [percentile(values, share) for share in (0.0, 0.5, 0.99, 1.0)] == [1.0, 50.0, 99.0, 100.0]


def test_contestants_take_turns() -> None:
    order: list[str] = []
    results = in_turns({name: lambda limit, name=name: order.append(name) for name in "abc"}, seconds=1)
    assert {name: len(turns) for name, turns in results.items()} == dict.fromkeys("abc", TURNS)
    for turn in range(TURNS):
        assert sorted(order[3 * turn : 3 * turn + 3]) == ["a", "b", "c"]
    assert order[:3] != order[3:6] or order[3:6] != order[6:9]


def test_a_rate_is_work_over_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 1.0, 2.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    assert rate_of(lambda: 3.0, 2.0) == 3.0


@pytest.mark.parametrize(
    ("cores", "tried"), [(1, (1,)), (2, (1, 2)), (12, (1, 2, 4, 8, 12)), (96, (1, 2, 4, 8, 16, 32))]
)
def test_numbers_to_try_are_powers_of_two_and_all_cores(cores: int, tried: tuple[int, ...]) -> None:
    assert powers(cores) == tried


def test_names_of_near_lines_are_kept_apart() -> None:
    assert apart([0.25, 0.25, 0.75], 0.25) == [0.25, 0.5, 0.75]
