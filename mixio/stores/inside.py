"""That a file of a store is in the store: no link leads out of it, and no device or pipe stands in its place.

A store that was sent by somebody else may hold links to `/etc/passwd` or `/dev/zero`. In a bucket there are none.
"""

import os
import stat
from pathlib import Path

from mixio.errors import StoreError
from mixio.stores.storage import Storage


def refuse_outside(storage: Storage, name: str) -> None:
    """Raise `StoreError` unless the file of this name lies in the store; one that is missing is left to the reader."""
    root = Path(storage.url)
    if not root.is_dir():
        return
    path = root / name
    real, home = os.path.realpath(path), os.path.realpath(root)
    if os.path.commonpath([real, home]) != home:
        raise StoreError(f"{path}: leads out of the store, to {real}; it is not read")
    try:
        mode = os.stat(real).st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({error.strerror}); run `mixio verify`") from error
    if not stat.S_ISREG(mode):
        raise StoreError(f"{path}: is not a file; remove it and run `mixio convert` again")
