"""What all ranks of a run hold, on each of them."""

from typing import TypeVar

from mixio.errors import require

try:
    import torch.distributed
except ImportError as error:
    raise require("torch", "torch") from error

_Held = TypeVar("_Held")


def of_all_ranks(value: _Held) -> list[_Held]:
    """This value of every rank, in their order; of this process alone where torch.distributed does not run.

    Every rank must call it, and waits for the others. With NCCL the current CUDA device must be the rank's own.
    """
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return [value]
    values: list[_Held | None] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(values, value)
    return values  # type: ignore[return-value]  # all are filled now
