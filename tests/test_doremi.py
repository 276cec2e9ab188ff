import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mixio.errors import InvalidArgument
from tests.test_train import SHORT
from tools.doremi import Weights, doremi, updated
from tools.heldout import HeldOut
from tools.loop import build, losses_of
from tools.train import train

OPTIONS = replace(SHORT, draws=160, learning_rate=1e-2)


@given(st.lists(st.floats(0, 50), min_size=1, max_size=9), st.floats(0.01, 10))
def test_weights_sum_to_one_keep_their_floor_and_are_ordered_as_the_excess(excess, eta):
    count = len(excess)
    weights = updated(np.full(count, 1 / count), np.array(excess), eta=eta)
    assert weights.sum() == pytest.approx(1)
    assert weights.min() >= 1e-3 / count * (1 - 1e-9)
    order = np.argsort(excess, kind="stable")
    assert (np.diff(weights[order]) >= -1e-15).all()


def test_one_step_by_hand():
    # 1/2 and 1/2 with excess ln 3 and 0: 3 to 1, of which a thousandth becomes uniform
    assert updated(np.array([0.5, 0.5]), np.array([math.log(3), 0.0])) == pytest.approx([0.74975, 0.25025])


@pytest.fixture(scope="module")
def proxy(small_store):
    return doremi(small_store, OPTIONS)


def test_the_domain_where_the_proxy_lags_furthest_behind_gains_most(proxy):
    assert sum(proxy.shares.values()) == pytest.approx(1, abs=1e-12)
    furthest = max(proxy.excess, key=proxy.excess.get)
    assert max(proxy.shares, key=proxy.shares.get) == furthest
    assert proxy.shares[furthest] > 1 / 3 + 0.02
    assert proxy.path.shape == (10, 3)
    assert proxy.path.mean(0) == pytest.approx([*proxy.shares.values()])


def test_a_step_down_the_weighted_losses_is_another_than_one_down_their_mean(proxy, small_store):
    reference = train(small_store, dict.fromkeys(small_store.domains, 1 / 3), OPTIONS)
    assert proxy.reference_loss == reference.loss
    assert proxy.proxy_loss != reference.loss


def test_the_same_settings_give_the_same_shares(proxy, small_store):
    assert doremi(small_store, OPTIONS).shares == proxy.shares


def test_a_real_batch_of_one_domain_raises_its_weight_by_its_clipped_excess(small_store):
    untrained, other = build(OPTIONS), build(replace(OPTIONS, seed=1))
    batch = HeldOut.read(small_store, patch_size=8, crops=4).batches["pet"][0]
    weights = Weights(("brain-t1", "pet"), other, eta=3.0)
    with torch.no_grad():
        losses, expected = losses_of(untrained, batch), losses_of(other, batch)
        descended = weights.objective(losses, batch).item()
    over = [max(one - two, 0.0) for one, two in zip(losses.tolist(), expected.tolist(), strict=True)]
    risen = math.exp(3.0 * sum(over) / sum(expected.tolist()))
    pet = 0.999 * risen / (1 + risen) + 0.0005
    assert any(over)
    assert weights.path[0] == pytest.approx([1 - pet, pet], rel=1e-5)
    assert descended == pytest.approx(pet * losses.mean().item(), rel=1e-5)
    assert weights.excess[0][0] == 0


def test_what_cannot_be_trained_is_refused(small_store):
    with pytest.raises(InvalidArgument, match="eta must be finite and positive, got 0"):
        doremi(small_store, OPTIONS, eta=0)
    with pytest.raises(InvalidArgument, match="room for all 3 domains, got batch_size 2"):
        doremi(small_store, replace(OPTIONS, batch_size=2))
