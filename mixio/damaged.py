"""Which volumes a process found damaged while it read draws: told once each, and no more than a limit of them.

Damage does not change what an undamaged patch of the same volume is. So nothing here decides what is read: a draw is
replaced when its own patch cannot be read, whatever this process met before, and all workers come to the same patches.
"""

import warnings

from mixio.errors import DamagedChunkError, MixioWarning, TooManyFaults, at_least


class DamagedVolumes:
    """The damaged volumes of one process, at most `limit`; a worker begins with those its parent knew."""

    def __init__(self, limit: int) -> None:
        self.limit = at_least(0, limit, "max_faults")
        self.found: dict[str, str] = {}
        """What is wrong, by the name of the volume."""

    def add(self, volume: str, error: DamagedChunkError) -> None:
        """Take note of a volume: `MixioWarning` when it is new, `TooManyFaults` once there are too many, ever after."""
        said = str(error)
        is_new = self.found.setdefault(volume, said) is said  # in one step: of several threads that meet it, one tells
        if len(self.found) > self.limit:
            raise TooManyFaults(
                f"{len(self.found)} damaged volumes are more than max_faults={self.limit}: {', '.join(self.found)}; "
                f"the last one: {error}; convert them again, or allow more"
            ) from error
        if is_new:
            warnings.warn(f"{error}; its draws that cannot be read are replaced", MixioWarning, stacklevel=2)
