"""Too little memory, told with the settings that need less of it."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial

import torch

from mixio.errors import MixioError
from tools.options import TrainOptions

_SAID = ("allocate memory", "not enough memory", "out of memory")
"""How torch says on Linux, on Windows and on Apple's GPUs that memory is full, where it has no error of its own."""


class OutOfMemory(MixioError):
    """A run that needs more memory than its device has."""


@contextmanager
def telling(advice: Callable[[BaseException], str]) -> Iterator[None]:
    """Turn what torch and NumPy raise where memory is full into an `OutOfMemory` with this advice."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise OutOfMemory(advice(error)) from error
    except RuntimeError as error:
        if not any(words in str(error) for words in _SAID):
            raise
        raise OutOfMemory(advice(error)) from error


def explained(options: TrainOptions) -> AbstractContextManager[None]:
    """A context that says which settings of a training run to lower."""
    return telling(partial(_advice, options))


def _advice(options: TrainOptions, error: BaseException) -> str:
    """What to lower, first what changes nothing that is learned."""
    ways = []
    if options.batch_size > 1:
        parts = 2 if options.batch_size % 2 == 0 else options.batch_size
        ways.append(f"--batch-size {options.batch_size // parts} --accumulate {options.accumulate * parts}")
    if not options.recompute:
        ways.append("--recompute")
    smaller = f"a smaller --patch-size than {options.model.patch_size}, or a smaller model"
    same = f"{' and '.join(ways)} (the same steps with less memory), or " if ways else ""
    return f"out of memory; use {same}{smaller}; torch says: {reason(error)}"


def reason(error: BaseException) -> str:
    """The first line of what torch or NumPy said."""
    return str(error).splitlines()[0] if str(error) else "memory is full"
