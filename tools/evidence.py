"""What a report rests on, read from files: runs, laws, an allocation, and strategies measured at a new budget.

strategies.json holds what was predicted for each strategy and what training then measured, one object a seed:

    {"schema_version": 1, "budget": B, "strategies": [
        {"name": "proportional", "shares": {domain: share}, "predicted": {target: loss},
         "measured": [{target: loss}, ...]}, ...]}

`Evidence.verdicts` sets the laws beside the two nulls of `tools.fit_laws`, on those measurements, which no fit
has seen.
"""

import json
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixio.allocation import Allocation, check_shares
from mixio.errors import FitError, RunLogError
from tools.fitting import fingerprint, fit_laws
from tools.forms import NULLS
from tools.laws import Laws, load_laws
from tools.paired import Interval, interval
from tools.runlog import Run, incomplete_runs, logs_in, read_events, read_runs
from tools.scoring import score

SCHEMA_VERSION = 1
BASELINE = "proportional"


@dataclass(frozen=True)
class Strategy:
    """One way to share out the budget: predicted loss per target, measured losses per seed and target."""

    name: str
    shares: dict[str, float]
    predicted: dict[str, float]
    measured: list[dict[str, float]]

    @property
    def expected(self) -> float:
        """The predicted loss, mean over targets."""
        return fmean(self.predicted.values())

    @property
    def means(self) -> list[float]:
        """The measured loss, mean over targets, of each seed."""
        return [fmean(losses.values()) for losses in self.measured]

    @property
    def loss(self) -> float:
        """The measured loss, mean over targets and seeds."""
        return fmean(self.means)

    @property
    def spread(self) -> float | None:
        """Standard deviation of `means` between seeds; None for a single seed."""
        return stdev(self.means) if len(self.means) > 1 else None

    def measured_loss(self, target: str) -> float:
        """The measured loss of one target, mean over seeds."""
        return fmean(losses[target] for losses in self.measured)


def gains(strategy: Strategy, over: Strategy) -> NDArray[np.float64]:
    """By what part its mean loss is below that of another, for every seed (S,), which both have in one order."""
    return 1 - np.array(strategy.means) / np.array(over.means)


@dataclass(frozen=True)
class Trial:
    """Every strategy, trained at one budget (draws)."""

    budget: float
    strategies: list[Strategy]

    def gain(self, strategy: Strategy) -> float | None:
        """How much lower the measured mean loss is than the baseline's, as a part of it; None for itself.

        Where both have as many seeds, they are the same in the same order, and gains are taken seed by seed.
        """
        gains = self._gains(strategy)
        return None if gains is None else float(gains.mean())

    def interval(self, strategy: Strategy) -> Interval | None:
        """Student's 95 % interval of the gain over the seeds; None for fewer than two, or of other numbers."""
        gains = self._gains(strategy)
        return None if gains is None else interval(gains)

    def is_noise(self, strategy: Strategy) -> bool | None:
        """Whether the interval of its gain holds 0; None if there is none."""
        ends = self.interval(strategy)
        return None if ends is None else ends[0] <= 0 <= ends[1]

    def _gains(self, strategy: Strategy) -> NDArray[np.float64] | None:
        """The gain of every seed, or one of the means where the seeds are not alike."""
        baseline = next((other for other in self.strategies if other.name == BASELINE), None)
        if baseline is None or baseline == strategy:
            return None
        if len(strategy.means) != len(baseline.means):
            return np.array([1 - strategy.loss / baseline.loss])
        return gains(strategy, baseline)

    def runs(self) -> list[Run]:
        """Every measurement as a run of its own."""
        return [
            Run(
                run=f"{strategy.name}-{seed}",
                seed=seed,
                unique=None,
                loss=losses,
                shares=strategy.shares,
                draws={name: share * self.budget for name, share in strategy.shares.items()},
                strategy=strategy.name,
            )
            for strategy in self.strategies
            for seed, losses in enumerate(strategy.measured)
        ]


@dataclass(frozen=True)
class Verdict:
    """How well one law foretold a trial: means over targets of the correlation across mixtures and of the error,
    and the least and largest of these correlations.
    """

    name: str
    correlation: float | None
    error: float
    least: float | None = None
    largest: float | None = None


@dataclass(frozen=True)
class Evidence:
    """All that a report shows. `config` is what the first run logged about itself, empty for a CSV of runs."""

    runs: list[Run]
    unfinished: list[str]
    config: dict[str, Any]
    laws: Laws
    allocation: Allocation
    trial: Trial | None

    @cached_property
    def fitted(self) -> list[Run]:
        """The runs of the budgets that the laws were fitted on."""
        budgets = self.laws.data["budgets"]
        return [run for run in self.runs if any(math.isclose(run.total, b, rel_tol=1e-5) for b in budgets)]

    @cached_property
    def unseen(self) -> list[Run]:
        """The runs that the laws were not fitted on: of other budgets, and those of the trial."""
        fitted = {run.run for run in self.fitted}
        others = [run for run in self.runs if run.run not in fitted]
        return others + (self.trial.runs() if self.trial else [])

    @property
    def unique(self) -> dict[str, float]:
        """Draws that each domain gives before it repeats itself, where the runs say so."""
        return next((run.unique for run in self.runs if run.unique), {})

    @property
    def same_runs(self) -> bool:
        """Whether `fitted` are exactly the runs that the laws say they were fitted on."""
        return fingerprint(self.fitted) == self.laws.data["fingerprint"]

    @property
    def budget(self) -> float:
        """The budget that shares are meant for: the trial's, else the allocation's, else a typical run's."""
        return self.trial.budget if self.trial else self.allocation.budget or self.laws.d_ref

    @cached_property
    def verdicts(self) -> list[Verdict]:
        """The laws, then the nulls fitted to the same runs, judged by the trial."""
        if self.trial is None:
            return []
        rivals = {"transfer law": self.laws}
        rivals |= {f"{name} draws only": fit_laws(self.fitted, form=name) for name in NULLS}
        return [verdict_of(name, laws, self.trial) for name, laws in rivals.items()]


def read_evidence(runs: Path, *, laws: Path, allocation: Path, strategies: Path | None) -> Evidence:
    """Read and cross-check everything; any fault is a `MixioError` that names the file."""
    logs = logs_in(runs) if runs.is_dir() else []
    complete = read_runs(runs)
    config = next((event for event in read_events(logs[0]) if event["event"] == "config"), {}) if logs else {}
    law = load_laws(laws)
    if not law.data.get("budgets"):
        raise FitError(f"{laws} does not say which budgets it was fitted on; fit it again with tools.fit_laws")
    planned = Allocation.load(allocation)
    trial = read_trial(strategies) if strategies else None
    named = [
        planned.shares,
        *(part for each in (trial.strategies if trial else []) for part in (each.shares, each.predicted)),
    ]
    if unknown := sorted({name for part in named for name in part} - set(law.domains)):
        raise FitError(f"{laws} knows nothing of {unknown}, which the allocation or the strategies name")
    return Evidence(complete, incomplete_runs(runs), config, law, planned, trial)


def read_trial(path: Path) -> Trial:
    """Read strategies.json."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        version = content["schema_version"]
        if version != SCHEMA_VERSION:
            raise RunLogError(f"{path} has schema_version {version!r}, expected {SCHEMA_VERSION}")
        strategies = [_strategy(each) for each in content["strategies"]]
        budget = float(content["budget"])
    except RunLogError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunLogError(f"cannot read {path} as strategies.json: {error!r}") from error
    for strategy in strategies:
        _check(strategy, path)
    return Trial(budget, strategies)


def _strategy(content: dict[str, Any]) -> Strategy:
    """A strategy as the file has it; wrong types raise here and not in the middle of a figure."""
    return Strategy(
        str(content["name"]),
        check_shares(content["shares"]),
        _numbers(content["predicted"]),
        [_numbers(losses) for losses in content["measured"]],
    )


def _numbers(content: dict[str, Any]) -> dict[str, float]:
    return {str(name): float(value) for name, value in content.items()}


def _check(strategy: Strategy, path: Path) -> None:
    """Refuse a strategy that was never measured or whose targets differ between prediction and measurement."""
    if not (strategy.measured and strategy.predicted):
        raise RunLogError(f"{path}: strategy {strategy.name!r} has no measured losses")
    for losses in strategy.measured:
        if set(losses) != set(strategy.predicted):
            raise RunLogError(
                f"{path}: strategy {strategy.name!r} predicts {sorted(strategy.predicted)} "
                f"but measured {sorted(losses)}"
            )


def verdict_of(name: str, laws: Laws, trial: Trial) -> Verdict:
    """How well these laws foretold the trial."""
    scores = score(laws, trial.runs()).values()
    known = [each.r for each in scores if each.r is not None]
    error = fmean(each.mre for each in scores)
    return Verdict(name, fmean(known), error, min(known), max(known)) if known else Verdict(name, None, error)
