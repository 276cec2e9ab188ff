"""Numbers as a command line has them: `a=1,b=2` by name, and lists of budgets.

>>> numbers_of("ct=2,mr=0.5", "--weights")
{'ct': 2.0, 'mr': 0.5}
>>> budgets_of("1000,4000")
[1000, 4000]
"""

import math

from mixio.errors import InvalidArgument


def numbers_of(text: str | None, option: str) -> dict[str, float] | None:
    """Finite numbers by name; None for None."""
    if text is None:
        return None
    try:
        pairs = [pair.split("=") for pair in text.split(",")]
        numbers = {name: float(value) for name, value in pairs}
    except ValueError as error:
        raise InvalidArgument(f"{option} must look like brain-t1=2,abdomen-ct=1, got {text!r}") from error
    if len(numbers) < len(pairs):
        raise InvalidArgument(f"{option} names a domain twice: {text!r}")
    if not all(math.isfinite(number) for number in numbers.values()):
        raise InvalidArgument(f"{option} must be finite numbers, got {text!r}")
    return numbers


def budgets_of(text: str) -> list[int]:
    """Budgets in draws, ascending; 1e5 is one too."""
    try:
        budgets = sorted(float(part) for part in text.split(","))
    except ValueError as error:
        raise InvalidArgument(f"--budget must be a number of draws, or several: 10000,100000; got {text!r}") from error
    if not all(budget >= 1 and math.isfinite(budget) and budget == int(budget) for budget in budgets):
        raise InvalidArgument(f"--budget must be whole numbers of draws, at least 1, got {text!r}")
    return [int(budget) for budget in budgets]
