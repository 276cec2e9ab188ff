"""The ranks of a run that torchrun started: they meet, find their devices, and agree; or one process alone.

    torchrun --nproc-per-node 8 -m -- tools.train store --mixture uniform --run large

Without the two dashes torchrun takes `--run` for an option of its own. One process alone needs no torch.distributed.
Over several machines the store and the folder of runs must be seen by all of them under the same name.
"""

import os
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeVar

import torch
import torch.distributed
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from mixio.errors import InvalidArgument, MixioError

_Made = TypeVar("_Made")


def is_parallel() -> bool:
    """Whether there are ranks, which have met."""
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def world_size() -> int:
    """How many ranks there are."""
    return torch.distributed.get_world_size() if is_parallel() else 1


def rank() -> int:
    """Which one this is; rank 0 writes the files."""
    return torch.distributed.get_rank() if is_parallel() else 0


@contextmanager
def ranks(device: torch.device) -> Iterator[None]:
    """Meet the other ranks, by NCCL between GPUs and by gloo else, and part from them; alone, do nothing."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or not torch.distributed.is_available():
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    try:
        torch.distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    except ValueError as error:
        raise InvalidArgument(f"the processes cannot meet ({error}); start them with torchrun") from error
    try:
        yield
    except BaseException as error:
        # Its frames hold the model, whose ending waits for ever, now and then, once the ranks have parted.
        traceback.clear_frames(error.__traceback__)
        raise
    finally:
        torch.distributed.destroy_process_group()


def device_of(name: str) -> torch.device:
    """The device of that name; `auto` is a CUDA GPU if there is one, else the CPU; each rank has its own GPU."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and "LOCAL_RANK" in os.environ:
        name = f"cuda:{os.environ['LOCAL_RANK']}"
    try:
        torch.zeros(1, device=name).item()
        return torch.device(name)
    except (RuntimeError, AssertionError) as error:  # torch lists all back ends it was not built with, in a long line
        reason = str(error).splitlines()[0].split(". ")[0].rstrip(".")
        raise InvalidArgument(
            f"--device {name} cannot be used here ({reason}); use --device cpu, or leave it out"
        ) from error


def parallel(model: nn.Module, device: torch.device) -> nn.Module:
    """The model with its gradients averaged over the ranks; alone, the model itself."""
    if not is_parallel():
        return model
    return DistributedDataParallel(model, device_ids=[device] if device.type == "cuda" else None)


def averaging(model: nn.Module, *, now: bool) -> AbstractContextManager[Any]:
    """A context in which a backward pass averages the gradients of `parallel`, or leaves that to a later one."""
    return nullcontext() if now or not isinstance(model, DistributedDataParallel) else model.no_sync()


def total(*values: float, device: torch.device) -> list[float]:
    """The sum of each value over all ranks."""
    if not is_parallel():
        return list(values)
    sums = torch.tensor(values, dtype=torch.float64, device=device)
    torch.distributed.all_reduce(sums)
    result: list[float] = sums.tolist()
    return result


def on_first_rank(make: Callable[[], _Made], *, share: bool = True) -> _Made | None:
    """What rank 0 alone makes, on every rank; without `share` the others get None.

    What a user is told of in one line, a `MixioError` or a failing file system, is raised on every rank, so that none
    waits for the others.
    """
    if not is_parallel():
        return make()
    made, error = None, None
    if rank() == 0:
        try:
            made = make()
        except (MixioError, OSError) as raised:
            error = raised
    told = [error, made if share else None]
    torch.distributed.broadcast_object_list(told)
    if told[0] is not None:
        raise told[0]
    return made if rank() == 0 else told[1]
