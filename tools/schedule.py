"""The learning rate of each step: a linear warm-up, then half a cosine down to zero.

>>> [round(learning_rate(step, 8, peak=1.0, warmup=0.25), 3) for step in range(8)]
[0.5, 1.0, 1.0, 0.933, 0.75, 0.5, 0.25, 0.067]
"""

from math import cos, pi


def learning_rate(step: int, steps: int, *, peak: float, warmup: float) -> float:
    """The rate of step `step` of `steps`, the first `warmup` (a share of all) of them rising to `peak`."""
    rising = round(warmup * steps)
    if step < rising:
        return peak * (step + 1) / rising
    return peak * (1 + cos(pi * (step - rising) / (steps - rising))) / 2
