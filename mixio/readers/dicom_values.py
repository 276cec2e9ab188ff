"""Values of DICOM attributes as plain Python, None where they are absent or empty, `SourceError` where they are broken.

A message names the attribute and never quotes its value, unless that is a number.
"""

import math
import re
from datetime import datetime
from typing import Any

from mixio.errors import SourceError

_EPOCH = datetime(1970, 1, 1)


def number(group: Any, keyword: str) -> float | None:
    """A number of a header, None where it is absent or empty."""
    value = group.get(keyword)
    if value is None or value == "":
        return None
    try:
        result = float(value)
    except (TypeError, ValueError) as error:
        raise SourceError(f"{keyword} is not one number; repair the header") from error
    if not math.isfinite(result):
        raise SourceError(f"{keyword} is not finite; repair the header")
    return result


def numbers(group: Any, keyword: str, count: int) -> tuple[float, ...]:
    """`count` numbers of a header that says where its voxels are."""
    value = group.get(keyword)
    if value is None or isinstance(value, str) or len(value) == 0:
        raise SourceError(f"{keyword} is missing, so the place of its voxels is unknown; repair the header")
    values = tuple(float(one) for one in value)
    if len(values) != count or not all(map(math.isfinite, values)):
        raise SourceError(f"{keyword} holds {len(values)} numbers, expected {count} finite ones; repair the header")
    return values


def whole(header: Any, keyword: str, default: int | None = None) -> int:
    """A whole number of a header; without a `default` it has to be there."""
    value = number(header, keyword)
    if value is None:
        if default is None:
            raise SourceError(f"{keyword} is missing; repair the header or fetch the file again")
        return default
    return int(value)


def texts(group: Any, keyword: str) -> list[str]:
    """The values of an attribute of one or many texts."""
    value = group.get(keyword) or []
    return [value] if isinstance(value, str) else [str(text) for text in value]


def seconds(group: Any, keyword: str) -> float | None:
    """The time that a DateTime attribute tells, as by `moment`."""
    value = group.get(keyword)
    return moment(str(value)) if value else None


def moment(text: str) -> float | None:
    """Seconds from 1970 to the YYYYMMDDHHMMSS.F of DICOM, minutes and seconds optional; None if it is no time."""
    found = re.match(r"(\d{8})(\d{2})(\d{2})?(\d{2})?(\.\d{1,6})?", text.replace(":", ""))
    if found is None:
        return None
    day, hour, minute, second, fraction = found.groups()
    try:
        whole = datetime.strptime(f"{day}{hour}{minute or '00'}{second or '00'}", "%Y%m%d%H%M%S")
    except ValueError:
        return None
    return (whole - _EPOCH).total_seconds() + float(fraction or 0)


def positive(value: Any) -> float | None:
    """A value as a number if it is one above 0."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if 0 < number < float("inf") else None
