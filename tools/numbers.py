"""Numbers as a command line has them: `a=1,b=2` by name, lists of budgets, and budgets that no run was like.

>>> numbers_of("ct=2,mr=0.5", "--weights")
{'ct': 2.0, 'mr': 0.5}
>>> budgets_of("1000,4000")
[1000, 4000]
"""

import math
from collections.abc import Sequence

from mixio.errors import InvalidArgument

FAR = 4
"""Beyond this many times the largest budget of a run, a prediction is called far: E and beta are poorly known."""


def numbers_of(text: str | None, option: str) -> dict[str, float] | None:
    """Finite numbers by name; None for None."""
    if text is None:
        return None
    try:
        pairs = [pair.split("=") for pair in text.split(",")]
        numbers = {name.strip(): float(value) for name, value in pairs}
    except ValueError as error:
        raise InvalidArgument(f"{option} must look like brain-t1=2,abdomen-ct=1, got {text!r}") from error
    if len(numbers) < len(pairs):
        raise InvalidArgument(f"{option} names a domain twice: {text!r}")
    if not all(math.isfinite(number) for number in numbers.values()):
        raise InvalidArgument(f"{option} must be finite numbers, got {text!r}")
    return numbers


def whole_numbers(text: str, option: str) -> list[int]:
    """Whole numbers with commas between."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise InvalidArgument(f"{option} must look like 256,512,1024, got {text!r}") from error


def budgets_of(text: str) -> list[int]:
    """Budgets in draws, ascending; 1e5 is one too."""
    try:
        budgets = sorted(float(part) for part in text.split(","))
    except ValueError as error:
        raise InvalidArgument(f"--budget must be a number of draws, or several: 10000,100000; got {text!r}") from error
    if not all(budget >= 1 and math.isfinite(budget) and budget == int(budget) for budget in budgets):
        raise InvalidArgument(f"--budget must be whole numbers of draws, at least 1, got {text!r}")
    return [int(budget) for budget in budgets]


def far_budgets(seen: Sequence[float], asked: Sequence[float]) -> list[str]:
    """What to beware of where budgets asked for are far from those that runs had."""
    if not seen:
        return []
    least, most, low, high = min(asked), max(asked), min(seen), max(seen)
    found = []
    if most > FAR * high:
        found.append(
            f"no run had a budget above {high:g} draws; {most:g} is {most / high:.3g} times that, far beyond what they "
            "tell"
        )
    if least < low / FAR:
        found.append(
            f"no run had a budget below {low:g} draws; {least:g} is a {low / least:.3g}th of that, far from what they "
            "tell"
        )
    return found
