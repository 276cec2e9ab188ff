"""What a trial of several allocations says about the laws that foretold it, beyond what `tools.trial` prints.

    python -m benchmarks.study runs laws.json allocation.json trial/strategies.json

How far the last strategy is below each of the others, seed by seed; gains that count every domain alike; how predicted
and measured losses correlate across strategies, domain by domain; the same beside laws that know less; and what part of
the measured losses the laws' intervals hold.
"""

from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from tools.calibration import LEVELS, coverage, outcomes, places
from tools.command import command
from tools.evidence import BASELINE, Evidence, Strategy, Trial, gains, read_evidence
from tools.paired import interval
from tools.table import table


def alike(one: Strategy, other: Strategy) -> NDArray[np.float64]:
    """By what part the losses of `one` are below those of `other`, mean over targets, for every seed (S,)."""
    ratios = [
        [mine[target] / theirs[target] for target in mine]
        for mine, theirs in zip(one.measured, other.measured, strict=True)
    ]
    return 1 - np.array(ratios).mean(1)


def correlation(predicted: Sequence[float], measured: Sequence[float]) -> float:
    """Pearson's r of log losses."""
    return float(np.corrcoef(np.log(predicted), np.log(measured))[0, 1])


def strategies_table(trial: Trial) -> str:
    """For every strategy how far the last one is below it, and its gain over the baseline with all targets alike."""
    *others, last = trial.strategies
    baseline = next(each for each in trial.strategies if each.name == BASELINE)
    rows = [[each.name, _told(gains(last, each)), _told(alike(each, baseline))] for each in others]
    rows.append([last.name, "-", _told(alike(last, baseline))])
    return table(["strategy", f"{last.name} is below it by %", "mean of the domains' own gains %"], rows)


def targets_table(evidence: Evidence, trial: Trial) -> str:
    """For every target how predictions and measurements correlate across strategies, and by how much they are off."""
    found = outcomes(evidence.laws, trial.runs())
    rows = []
    for column, target in enumerate(evidence.laws.targets):
        expected = [each.predicted[target] for each in trial.strategies]
        means = [each.measured_loss(target) for each in trial.strategies]
        predicted, measured = found.predicted[:, column], found.measured[:, column]
        high = 100 * float(np.mean(predicted / measured - 1))
        rows.append([target, correlation(expected, means), correlation(predicted, measured), f"{high:.1f}"])
    whole = correlation([each.expected for each in trial.strategies], [each.loss for each in trial.strategies])
    rows.append(["mean loss", whole, "-", "-"])
    return table(["domain", "r over strategies", "r over runs", "too high by %"], rows)


def laws_table(evidence: Evidence) -> str:
    """The laws beside those that know less."""
    rows = [
        [each.name, "-" if each.correlation is None else each.correlation, f"{100 * each.error:.1f}"]
        for each in evidence.verdicts
    ]
    return table(["law", "r over runs, mean of domains", "mean error %"], rows)


def _told(parts: NDArray[np.float64]) -> str:
    """Mean and 95 % interval over the seeds, in percent."""
    mean, ends = f"{100 * parts.mean():.1f}", interval(parts)
    return mean if ends is None else f"{mean} ({100 * ends[0]:.1f} to {100 * ends[1]:.1f})"


@command()
@click.argument("runs", type=click.Path(exists=True, path_type=Path))
@click.argument("laws", type=click.Path(exists=True, path_type=Path))
@click.argument("allocation", type=click.Path(exists=True, path_type=Path))
@click.argument("strategies", type=click.Path(exists=True, path_type=Path))
def main(runs: Path, laws: Path, allocation: Path, strategies: Path) -> None:
    """Judge LAWS, fitted to RUNS, by the STRATEGIES that were trained."""
    evidence = read_evidence(runs, laws=laws, allocation=allocation, strategies=strategies)
    trial = evidence.trial
    assert trial is not None
    click.echo(strategies_table(trial) + "\n\n" + targets_table(evidence, trial) + "\n\n" + laws_table(evidence))
    pooled = outcomes(evidence.laws, trial.runs()).correlation
    click.echo(f"\npooled over domains and strategies: r {'none' if pooled is None else f'{pooled:.4f}'}")
    place = places(evidence.laws, trial.runs())
    if place is not None:
        held = ", ".join(
            f"{100 * level:.0f} % hold {100 * part:.0f} %" for level, part in zip(LEVELS, coverage(place), strict=True)
        )
        click.echo(f"intervals: {held}")


if __name__ == "__main__":
    main()
