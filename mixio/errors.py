"""What can go wrong, as a user meets it.

    MixioError
    ├── InvalidArgument      a wrong argument; also a ValueError
    ├── SourceError          a source volume that cannot be read or trusted
    │   ├── SourceTooLarge       one that needs more memory than it may have
    │   ├── PartsRefused         some parts of one, after the others have been read
    │   └── WorkerDied           one whose conversion killed the process that had it
    ├── StoreError           no store there, a half-written one, one of a newer schema
    │   ├── DamagedStoreError    a manifest or root that does not match its checksum
    │   ├── DamagedChunkError    stored bytes that do not match their checksum
    │   │   └── MissingShardError    a file or object with stored bytes that is not there
    │   └── TooManyFaults        more damaged volumes than a run may meet
    ├── AllocationError      shares that cannot be drawn from; also a ValueError
    │   └── MixtureEnded         a draw after the last one
    ├── MixtureDriftError    a run whose draws are not the planned ones
    ├── RunLogError          a run log, run table or ledger that cannot be read; also a ValueError
    ├── FitError             too little data for the law asked for; also a ValueError
    └── MissingExtraError    an optional dependency that is not installed; also an ImportError

    MixioWarning             told once and gone on from; also a UserWarning

Each message says what was expected, what came, and what to do. The command line prints it as one line and exits with 2.
"""

import math
import operator
from collections.abc import Sequence
from numbers import Real
from types import UnionType

NAMED = 20
"""The most names that a message lists."""
SHOWN = 120
"""The most characters of a value that a message shows."""


class MixioError(Exception):
    """The root of everything that mixio raises on purpose."""


class MixioWarning(UserWarning):
    """Something goes on, though not as it was meant to."""


class InvalidArgument(MixioError, ValueError):
    """A wrong argument."""


class SourceError(MixioError):
    """A source volume that cannot be read or trusted; the converter puts it in quarantine."""


class SourceTooLarge(SourceError):
    """A source whose voxels need more memory than it may have; `needed` says how many bytes."""

    def __init__(self, message: str, *, needed: int = 0) -> None:
        super().__init__(message)
        self.needed = needed


class PartsRefused(SourceError):
    """Some parts of a source, told once the others have been read; `reasons` says why, by the name of the part."""

    def __init__(self, message: str, *, reasons: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.reasons = reasons or {}


class WorkerDied(SourceError):
    """A source whose conversion killed the process that had it."""


class StoreError(MixioError):
    """No store at that place, a half-written one, or one of a newer schema."""


class DamagedStoreError(StoreError):
    """A manifest, or the root of a store, that does not match its checksum."""


class DamagedChunkError(StoreError):
    """Stored bytes that do not match their checksum, in `file`, of the volume of this name where that is known."""

    def __init__(self, message: str, *, volume: str = "", file: str = "") -> None:
        super().__init__(message)
        self.volume, self.file = volume, file

    def of(self, volume: str, file: str) -> "DamagedChunkError":
        """The same error, which knows the file, and names the volume if that is known."""
        return type(self)(f"{self} (volume {volume})" if volume else str(self), volume=volume, file=file)


class MissingShardError(DamagedChunkError):
    """A file or object with stored bytes that is not there."""


class TooManyFaults(StoreError):
    """More damaged volumes than a run may meet, or no undamaged one left to draw."""


class AllocationError(MixioError, ValueError):
    """Shares that cannot be drawn from."""


class MixtureEnded(AllocationError):
    """A draw after the last one that a mixture has."""


class MixtureDriftError(MixioError):
    """A run whose draws are not the planned ones."""


class RunLogError(MixioError, ValueError):
    """A run log, a table of runs or a ledger that cannot be read."""


class FitError(MixioError, ValueError):
    """Too little data, or data of the wrong shape, for the law asked for."""


class MissingExtraError(MixioError, ImportError):
    """An optional dependency that is not installed."""


def require(module: str, extra: str) -> MissingExtraError:
    """The error for a missing optional module, naming the extra that brings it."""
    return MissingExtraError(f"{module} is not installed; run: pip install 'mixio[{extra}]'")


def whole_number(value: object, what: str) -> int:
    """As a Python integer, which does not overflow as NumPy's do; `InvalidArgument` for what is none."""
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise InvalidArgument(f"{what} must be a whole number, got {brief(value)}") from None


def at_least(least: int, value: object, what: str) -> int:
    """A whole number from `least` on; `InvalidArgument` for what is none."""
    number = whole_number(value, what)
    if number < least:
        raise InvalidArgument(f"{what} must be at least {least}, got {number}")
    return number


def as_float(value: object) -> float:
    """A real number of any library's; NaN, which no comparison holds for, instead of a truth value or what is none."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return -math.inf if value < 0 else math.inf


def expect(value: object, kind: type | UnionType, what: str, way_out: str = "") -> None:
    """`InvalidArgument` for a value that is not of a kind; `what` says what it should be, `way_out` how to get it."""
    if not isinstance(value, kind):
        raise InvalidArgument(f"{what}, got {brief(value)}" + (f"; {way_out}" if way_out else ""))


def brief(value: object) -> str:
    """A value for a message, which may be long: a tensor, a state, a data set."""
    text = " ".join(repr(value).split())
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}... ({type(value).__name__})"


def listed(names: Sequence[str]) -> str:
    """Names for a message, which says how many more there are."""
    more = len(names) - NAMED
    return f"{list(names[:NAMED])}" + (f" and {more} more" if more > 0 else "")
