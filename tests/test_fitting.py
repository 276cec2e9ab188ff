import csv
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from mixio.errors import FitError
from tests.conftest import RUNS
from tests.truths import DOMAINS, planted, runs_under
from tools.fitting import fingerprint, fit_laws
from tools.laws import TargetLaw
from tools.runlog import Run, draws_matrix

REGMIX = RUNS / "regmix"


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_the_law_that_made_noise_free_runs_is_found_again(seed):
    truth = planted(seed)
    found = fit_laws(runs_under(truth, seed=seed))
    np.testing.assert_allclose(found.transfer(), truth.transfer(), atol=1e-3)
    for name in DOMAINS:
        mine, planted_one = (laws.targets[name].parameters for laws in (found, truth))
        assert mine["beta"] == pytest.approx(planted_one["beta"], rel=0.01)
        assert mine["d0"] == pytest.approx(planted_one["d0"], rel=0.05)


@pytest.mark.parametrize("seed", range(4))
def test_noise_of_three_percent_leaves_transfer_known_to_a_tenth(seed):
    truth = planted(seed)
    found = fit_laws(runs_under(truth, noise=0.03, seed=seed))
    assert np.sqrt(np.mean((found.transfer() - truth.transfer()) ** 2)) < 0.1
    assert all(law.diagnostics["mre"] < 0.04 for law in found.targets.values())


def test_a_law_with_transfer_explains_what_the_nulls_cannot():
    runs = runs_under(planted(0), noise=0.02)
    law, own, total = (fit_laws(runs, form=form) for form in ("transfer", "own", "total"))
    for target in DOMAINS:
        errors = [form.targets[target].diagnostics["mre"] for form in (law, own, total)]
        assert errors[0] < 0.02
        assert min(errors[1:]) > 2 * errors[0]
    assert set(own.targets["brain-t1"].parameters["tau"].values()) == {0.0}
    assert set(total.targets["brain-t1"].parameters["tau"].values()) == {1.0}


def test_the_total_draws_null_predicts_the_same_for_every_mixture_of_a_budget():
    total = fit_laws(runs_under(planted(1), noise=0.02), form="total")
    mixtures = np.random.default_rng(0).dirichlet([0.3] * 6, 20) * 1000
    assert np.ptp(total.predict(mixtures), axis=0) == pytest.approx(0, abs=1e-12)


def test_a_run_gone_astray_hardly_bends_the_law():
    truth, runs = planted(2), runs_under(planted(2), noise=0.01)
    spoiled = [replace(runs[30], loss={name: 3 * loss for name, loss in runs[30].loss.items()})]
    found = fit_laws([*runs[:30], *spoiled, *runs[31:]])
    assert np.abs(found.transfer() - truth.transfer()).max() < 0.1


def test_a_loss_that_was_not_measured_costs_only_its_own_target():
    runs = runs_under(planted(3), noise=0.01)
    partial = [replace(run, loss={k: v for k, v in run.loss.items() if k != "brain-t1"}) for run in runs[:9]]
    found, full = fit_laws([*partial, *runs[9:]]), fit_laws(runs)
    assert [law.diagnostics["n"] for law in found.targets.values()] == [54, 54, 45, 54, 54, 54]
    assert found.targets["brain-t2"] == full.targets["brain-t2"]


def test_diagnostics_say_how_far_to_trust_a_fit():
    told = fit_laws(runs_under(planted(4), noise=0.02)).targets["headneck-pet"].diagnostics
    assert told["n"] == 54
    assert 0.95 < told["r2_log"] < 1
    assert 0.005 < told["mre"] < 0.03
    assert told["condition"] > 1
    assert told["spread"] < 1e-3


def test_a_parameter_without_evidence_is_named_as_being_on_its_bound():
    runs = [Run(f"r{n}", 0, {"ct": n}, None, {"ct": 3 * n**-0.5}, {"ct": 1.0}) for n in (2**k for k in range(12))]
    told = fit_laws(runs).targets["ct"].diagnostics
    assert "d0" in told["bounds_hit"]
    assert told["mre"] < 1e-3


def test_laws_record_the_runs_they_were_fitted_to():
    runs = runs_under(planted(5))
    data = fit_laws(runs).data
    assert data == {
        "runs": 54,
        "budgets": [512.0, 1024.0, 2048.0, 4096.0],
        "fingerprint": fingerprint(runs[::-1]),
    }
    assert fingerprint(runs[1:]) != fingerprint(runs)
    assert fingerprint([replace(runs[0], draws={"ct": 8})]) == fingerprint([replace(runs[0], draws={"ct": 8.0})])
    assert fit_laws(runs).d_ref == pytest.approx(np.exp(np.mean([np.log(run.total) for run in runs])))


def test_a_single_domain_is_a_plain_scaling_law():
    runs = [
        Run(f"r{n}", 0, {"ct": n}, None, {"ct": 0.1 + 2 * (n + 5) ** -0.5}, {"ct": 1.0})
        for n in (2**k for k in range(12))
    ]
    found = fit_laws(runs).targets["ct"].parameters
    assert found == {
        "E": pytest.approx(0.1, rel=1e-3),
        "a": pytest.approx(2 * fit_laws(runs).d_ref ** -0.5, rel=1e-3),
        "beta": pytest.approx(0.5, rel=1e-3),
        "d0": pytest.approx(5, rel=1e-3),
        "tau": {},
    }


def test_too_few_observations_are_refused_with_the_way_out():
    with pytest.raises(FitError, match="'abdomen-ct' has 13 observations for 9 parameters and needs 14; score more"):
        fit_laws(runs_under(planted(0))[::4][:13])


def test_a_domain_that_was_never_drawn_is_refused():
    runs = [replace(run, draws=run.draws | {"pet": 0.0}) for run in runs_under(planted(0))]
    with pytest.raises(FitError, match=r"no run scored on 'abdomen-ct' draws from \['pet'\]"):
        fit_laws(runs)


def test_a_target_that_is_no_domain_and_runs_without_losses_are_refused():
    runs = runs_under(planted(0))
    with pytest.raises(FitError, match="target 'spine' is not one of the domains"):
        fit_laws([replace(run, loss={"spine": 1.0}) for run in runs])
    with pytest.raises(FitError, match="no run has a loss"):
        fit_laws([replace(run, loss={}) for run in runs])


def rows_of(name: str) -> list[dict[str, str]]:
    with open(REGMIX / name, newline="") as file:
        return list(csv.DictReader(file))


def regmix(split: str, size: str) -> list[Run]:
    """The public RegMix runs, scored on Pile-CC, with a budget of 1e9 draws each."""
    losses = {row["index"]: row for row in rows_of(f"{split}_pile_loss_{size}.csv")}
    runs = []
    for row in rows_of(f"{split}_mixture_{size}.csv"):
        index = row.pop("index")
        draws = {name.removeprefix("train_the_pile_"): 1e9 * float(share) for name, share in row.items()}
        loss = {"pile_cc": float(losses[index]["metric/the_pile_pile_cc_val_loss"])}
        runs.append(Run(index, 0, draws, None, loss, {}))
    return runs


@pytest.mark.skipif(not REGMIX.exists(), reason="the public run tables are not beside this repository")
@pytest.mark.parametrize(("size", "reference"), [("1m", 97.0), ("60m", 96.6), ("1B", 98.9)])
def test_real_language_model_runs_are_ranked_as_in_the_reference_study(size, reference):
    seen, unseen = regmix("train", "1m"), regmix("test", size)
    laws = fit_laws(seen)
    measured = [run.loss["pile_cc"] for run in unseen]
    drawn = draws_matrix(unseen, laws.domains)
    plain = np.linalg.lstsq(draws_matrix(seen, laws.domains), [run.loss["pile_cc"] for run in seen], rcond=None)[0]
    ours, linear = (100 * spearmanr(p, measured)[0] for p in (laws.predict(drawn)[:, 0], drawn @ plain))
    assert ours == pytest.approx(reference, abs=0.3)
    assert ours > linear + 5


def test_a_bootstrap_covers_what_was_planted_about_as_often_as_it_says():
    inside = []
    for seed in range(6):
        truth = planted(seed)
        found = fit_laws(runs_under(truth, noise=0.03, seed=seed), samples=100)
        for name in DOMAINS:
            planted_one = truth.targets[name].parameters
            low, high = found.interval("beta", name)
            inside.append(low <= planted_one["beta"] <= high)
            inside += [
                low <= planted_one["tau"][one] <= high for one, (low, high) in found.interval("tau", name).items()
            ]
    assert 0.8 < np.mean(inside) < 0.97  # of 216, for 90 %


def test_a_bootstrap_is_the_same_for_the_same_seed_and_wider_for_more_noise():
    runs = runs_under(planted(0), noise=0.02)
    one, same, other = (fit_laws(runs, samples=30, seed=seed).samples.local for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    loud = fit_laws(runs_under(planted(0), noise=0.08), samples=30, seed=1).samples.local
    assert loud[..., 2].std(0).min() > one[..., 2].std(0).min()


def test_shared_exponents_that_were_planted_are_found_again():
    truth, gamma = planted(0), dict(zip(DOMAINS, [0.5, 0.9, 1.0, 0.7, 0.6, 0.8], strict=True))
    curved = replace(truth, form="transfer+gamma", shared={"gamma": gamma})
    found = fit_laws(runs_under(curved, noise=0.001), form="transfer+gamma", samples=10)
    assert found.shared["gamma"] == pytest.approx(gamma, abs=0.03)
    low, high = found.interval("gamma")["abdomen-ct"]
    assert low < found.shared["gamma"]["abdomen-ct"] < high


def test_repetition_that_was_planted_is_found_again_from_what_is_unique():
    unique = dict.fromkeys(DOMAINS, 200.0)
    tired = replace(planted(0), form="transfer+repeats", shared={"lambda": 0.3}, unique=unique)
    runs = [replace(run, unique=unique) for run in runs_under(tired, noise=0.001)]
    found = fit_laws(runs, form="transfer+repeats")
    assert found.shared["lambda"] == pytest.approx(0.3, rel=0.1)
    assert found.unique == unique


def test_a_domain_added_later_is_fitted_with_the_old_runs_as_they_are():
    truth = planted(0)
    old = [run for run in runs_under(truth) if not run.draws["headneck-pet"]]
    before = [
        replace(run, draws=without(run.draws, "headneck-pet"), loss=without(run.loss, "headneck-pet")) for run in old
    ]
    new = [run for run in runs_under(truth) if run.draws["headneck-pet"]]
    found = fit_laws([*before, *new])
    np.testing.assert_allclose(found.transfer(), truth.transfer(), atol=0.02)
    assert found.targets["headneck-pet"].diagnostics["n"] == len(new)


def without(values, name):
    return {key: value for key, value in values.items() if key != name}


def test_negative_transfer_is_found_by_the_signed_form_alone():
    truth = planted(0)
    parameters = truth.targets["brain-t1"].parameters
    harmed = {**parameters, "tau": {**parameters["tau"], "headneck-pet": -0.05}, "d0": 400.0}
    harm = replace(truth, form="signed", targets={**truth.targets, "brain-t1": TargetLaw(harmed)})
    runs = runs_under(harm, noise=0.001)
    signed, plain = (fit_laws(runs, form=form).targets["brain-t1"].parameters for form in ("signed", "transfer"))
    assert signed["tau"]["headneck-pet"] == pytest.approx(-0.05, abs=0.01)
    assert plain["tau"]["headneck-pet"] == 0


def test_runs_far_from_the_law_are_named():
    runs = runs_under(planted(2), noise=0.01)
    spoiled = replace(runs[30], loss=runs[30].loss | {"brain-t1": 3 * runs[30].loss["brain-t1"]})
    found = fit_laws([*runs[:30], spoiled, *runs[31:]])
    assert found.targets["brain-t1"].diagnostics["astray"] == [runs[30].run]
    assert 0.007 < found.targets["brain-t1"].diagnostics["noise"] < 0.014


def test_a_form_that_does_not_exist_is_refused():
    with pytest.raises(FitError, match="there is no form 'cubic'; there are total, own"):
        fit_laws(runs_under(planted(0)), form="cubic")
