import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixio.errors import AllocationError
from tools.baselines import proportional, uniform

counts = st.dictionaries(st.text("abc", min_size=1), st.integers(0, 10**9), min_size=1).filter(
    lambda counts: sum(counts.values()) > 0
)


@given(counts)
def test_proportional_shares_sum_to_one_and_keep_every_ratio(counts):
    shares = proportional(counts)
    assert sum(shares.values()) == pytest.approx(1, abs=1e-12)
    total = sum(counts.values())
    assert all(shares[name] * total == pytest.approx(count) for name, count in counts.items())


def test_three_quarters_of_the_volumes_get_three_quarters_of_the_draws():
    assert proportional({"ct": 30, "mr": 10}) == {"ct": 0.75, "mr": 0.25}
    assert uniform(["ct", "mr", "pet", "us"]) == dict.fromkeys(["ct", "mr", "pet", "us"], 0.25)


@pytest.mark.parametrize("counts", [{}, {"ct": 0}, {"ct": 3, "mr": -1}, {"ct": float("inf")}, {"ct": float("nan")}])
def test_counts_that_no_share_follows_from_are_refused(counts):
    with pytest.raises(AllocationError, match="counts must be finite, not negative and not all zero"):
        proportional(counts)
