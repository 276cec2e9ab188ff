"""Conversions that are cut short at a chosen moment: sources to convert, and a child process that ends there.

The moments of a run are those before, within and after every write, creation, deletion and append of its storage, in
their order; the child ends at one of them as a kill would end it, without a word.
"""

import os
import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mixio.stores.log import open_log
from mixio.stores.storage import storage_of
from tests.conftest import write_nifti

ENDED = 77
"""Exit code of a child that reached its moment."""


def files_of(root: Path) -> dict[str, bytes]:
    """Every file of a store but those that a conversion keeps for itself."""
    return {
        str(p.relative_to(root)): p.read_bytes()
        for p in sorted(root.rglob("*"))
        if p.is_file() and ".mixio" not in p.relative_to(root).parts
    }


def write_few(folder: Path) -> Path:
    """Two domains: CT with a label map, MR of two frames, MR, and a file that is none; the table of them."""
    rng = np.random.default_rng(0)
    for name, shape in (("ct/a", (9, 8, 7)), ("ct/b", (8, 8, 8)), ("mr/c", (6, 6, 5, 2)), ("mr/d", (5, 9, 4))):
        write_nifti(folder / f"{name}.nii", rng.integers(0, 900, shape).astype(np.int16))
    write_nifti(folder / "labels" / "a.nii", rng.integers(0, 3, (9, 8, 7)).astype(np.uint8))
    (folder / "mr" / "bad.nii").write_bytes(b"not a volume")
    lines = ["ct/a.nii,ct,labels/a.nii", "ct/b.nii,ct,", "mr/bad.nii,mr,", "mr/c.nii,mr,", "mr/d.nii,mr,"]
    table = folder / "table.csv"
    table.write_text("\n".join(["path,domain,label", *lines]))
    return table


def write_many(folder: Path) -> Path:
    """62 volumes of 60 sources: CT with label maps, MR, two of them of two frames, PET; and two bad sources."""
    rng, lines = np.random.default_rng(2), ["path,domain,label"]
    for number in range(60):
        domain, label = ("ct", "mr", "pet")[number % 3], ""
        shape = (20, 18, 16, 2) if number in (1, 4) else (20, 18, 16 + number % 3)
        write_nifti(folder / domain / f"{number}.nii", rng.integers(0, 900, shape).astype(np.int16))
        if domain == "ct":
            label = f"labels/{number}.nii"
            write_nifti(folder / label, rng.integers(0, 3, shape).astype(np.uint8))
        lines.append(f"{domain}/{number}.nii,{domain},{label}")
    for number in (70, 71):
        (folder / "pet" / f"{number}.nii").write_bytes(b"not a volume")
        lines.append(f"pet/{number}.nii,pet,")
    table = folder / "table.csv"
    table.write_text("\n".join(lines))
    return table


def cut_at(moment: int, work: Callable[[], Any], folder: Path) -> int:
    """Do `work` on the store at `folder` in a child that ends at this moment; its exit code, 0 if it came so far."""
    child = os.fork()
    if child == 0:
        try:
            _arm(moment, folder)
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _arm(last: int, folder: Path) -> None:
    """From now on, in this process, storage ends it at its `last` moment."""
    ahead = iter(range(last + 1))

    def pass_moment() -> None:
        if next(ahead) == last:
            os._exit(ENDED)

    storage, log = type(storage_of(folder)), type(open_log(storage_of(folder), ".mixio/journal.jsonl"))
    write, append = storage.write, log.append
    storage.write = lambda self, name, pieces: _around(pass_moment, write, self, name, _halting(pieces, pass_moment))
    storage.create = _wrapped(pass_moment, storage.create)
    storage.delete = _wrapped(pass_moment, storage.delete)

    def torn_append(self: Any, lines: Any) -> Any:
        positions = _around(pass_moment, append, self, lines)
        path = folder / ".mixio" / "journal.jsonl"
        whole = path.read_bytes()
        os.truncate(path, len(whole) - 20)
        pass_moment()
        path.write_bytes(whole)
        return positions

    log.append = torn_append


def _halting(pieces: bytes | Iterable[bytes], pass_moment: Callable[[], None]) -> Iterator[bytes]:
    whole = pieces if isinstance(pieces, bytes) else b"".join(pieces)
    yield whole[: len(whole) // 2]
    pass_moment()
    yield whole[len(whole) // 2 :]


def _wrapped(pass_moment: Callable[[], None], function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args: _around(pass_moment, function, *args)


def _around(pass_moment: Callable[[], None], function: Callable[..., Any], *args: Any) -> Any:
    pass_moment()
    result = function(*args)
    pass_moment()
    return result
