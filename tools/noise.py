"""How much losses differ between runs that differ in their seed alone: what no law can explain."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tools.runlog import Run


@dataclass(frozen=True)
class Noise:
    """The deviation of log losses between replicates, pooled over `groups` of them, and the degrees of freedom."""

    deviation: float
    groups: int
    degrees: int


def noise_of(runs: Sequence[Run]) -> Noise | None:
    """Told from runs that drew the same of every domain, to within one in a thousand; None if there are none."""
    alike: dict[tuple[tuple[str, float], ...], list[Run]] = defaultdict(list)
    for run in runs:
        alike[tuple(sorted((name, float(f"{draws:.3g}")) for name, draws in run.draws.items() if draws))].append(run)
    squares, degrees, groups = 0.0, 0, 0
    for group in alike.values():
        groups += len(group) > 1
        for target in {target for run in group for target in run.loss}:
            losses = np.log([run.loss[target] for run in group if target in run.loss])
            squares += float(((losses - losses.mean()) ** 2).sum())
            degrees += len(losses) - 1
    return Noise((squares / degrees) ** 0.5, groups, degrees) if degrees else None
