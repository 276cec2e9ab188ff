"""The area under the ROC curve with DeLong's interval.

The area is the chance that a positive case scores above a negative one, ties counting half (Mann and
Whitney). Its variance is that of DeLong et al. (Biometrics 44, 1988), by midranks as Sun and Xu compute it (IEEE Signal
Processing Letters 21, 2014): in closed form, where a bootstrap would add noise of its own. The interval is normal on
the logit scale, which keeps it in [0, 1]. It takes cases for independent, so several scans of one subject make it too
narrow; and it is not defined where no pair is ordered wrongly, or all are: then there is no variance.

>>> auroc([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])[0]
0.75
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm, rankdata

from mixio.errors import InvalidArgument

Interval = tuple[float, float]


def auroc(scores: ArrayLike, positive: ArrayLike, *, level: float = 0.95) -> tuple[float, Interval | None]:
    """The area for scores (N,) of cases that are `positive` (N,) or not, and its interval, None where not defined.

    Raises `InvalidArgument` if all cases are of one class.
    """
    values, is_positive = np.asarray(scores, float), np.asarray(positive, bool)
    high, low = values[is_positive], values[~is_positive]
    if not (high.size and low.size):
        raise InvalidArgument(
            f"AUROC needs cases of both classes, got {high.size} positive and {low.size} negative; choose another "
            "--split-seed or --val-fraction"
        )
    ranks = rankdata(np.concatenate([high, low]))
    of_high = (ranks[: high.size] - rankdata(high)) / low.size  # for each positive, the share of negatives below it
    of_low = 1 - (ranks[high.size :] - rankdata(low)) / high.size
    area = float(of_high.mean())
    if min(high.size, low.size) < 2 or not 0 < area < 1:
        return area, None
    error = np.sqrt(of_high.var(ddof=1) / high.size + of_low.var(ddof=1) / low.size) / (area * (1 - area))
    middle, reach = np.log(area / (1 - area)), norm.ppf((1 + level) / 2) * error
    ends = 1 / (1 + np.exp(-(middle + reach * np.array([-1, 1]))))
    return area, (float(ends[0]), float(ends[1]))


def one_against_rest(chances: ArrayLike, targets: Sequence[int]) -> list[tuple[float, Interval | None]]:
    """The area of each class against all others, from chances (N, C); of two classes only that of the second."""
    table, numbers = np.asarray(chances, float), np.asarray(targets)
    first = 1 if table.shape[1] == 2 else 0
    return [auroc(table[:, number], numbers == number) for number in range(first, table.shape[1])]
