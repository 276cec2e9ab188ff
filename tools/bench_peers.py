"""Other readers of the same store, on the same patches, one thread each: zarr-python and tensorstore if installed."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixio.errors import StoreError
from mixio.stores.zarr import array_path
from tools.bench_turns import Spread, in_turns, rate_of, spread_of
from tools.bench_work import Request, Work

_LISTED = 32
Reader = Callable[[Request], NDArray[Any]]


@dataclass(frozen=True)
class Peer:
    """A reader, its patches a second, and how many times as fast as it mixio is."""

    name: str
    patches: Spread
    ratio: float


def measure_peers(work: Work, *, seconds: float) -> tuple[list[Peer], list[str]]:
    """The readers, mixio first, in turns in this process; and why others are left out."""
    if not work.is_local or work.store.attributes["settings"]["container"] != "zarr":
        return [], ["peers are left out: they read Zarr stores on a local disk only"]
    requests = [request for request in work.requests(0, 8 * _LISTED) if _is_inside(work, request)][:_LISTED]
    if not requests:
        return [], ["peers are left out: no patch lies inside its volume; choose a smaller --patch-size"]
    size, left_out = work.dataset.patch_size, []
    readers: dict[str, Reader] = {"mixio": lambda request: work.store.read_patches([request], size=size)[0]}
    for name, module, make in (("zarr-python", "zarr", _zarr), ("tensorstore", "tensorstore", _tensorstore)):
        if find_spec(module) is None:
            left_out.append(f"{name} is left out: not installed")
        else:
            readers[name] = make(work)
    for name, read in readers.items():
        for request in requests:
            if not np.array_equal(read(request), readers["mixio"](request)):
                raise StoreError(f"{name} reads other voxels of {request[0]} at {request[1]}; run `mixio verify`")
    turns = in_turns({name: _rate(read, requests) for name, read in readers.items()}, seconds=seconds)
    spreads = {name: spread_of(rates) for name, rates in turns.items()}
    ours = spreads["mixio"].median
    return [Peer(name, spread, ours / spread.median) for name, spread in spreads.items()], left_out


def _is_inside(work: Work, request: Request) -> bool:
    name, corner = request
    ends = zip(corner, work.dataset.patch_size, work.store.row(name).shape, strict=True)
    return all(c >= 0 and c + s <= n for c, s, n in ends)


def _rate(read: Reader, requests: list[Request]) -> Callable[[float], float]:
    def turn(limit: float) -> float:
        place = iter(())

        def one() -> float:
            nonlocal place
            for request in place:
                read(request)
                return 1.0
            place = iter(requests)
            return 0.0

        return rate_of(one, limit)

    return turn


def _slices(corner: tuple[int, ...], work: Work) -> tuple[slice, ...]:
    return tuple(slice(c, c + s) for c, s in zip(corner, work.dataset.patch_size, strict=True))


def _zarr(work: Work) -> Reader:
    import zarr  # only who asks for peers pays for them

    arrays: dict[str, Any] = {}

    def read(request: Request) -> NDArray[Any]:
        name, corner = request
        if name not in arrays:
            arrays[name] = zarr.open_array(f"{work.store.path}/{array_path(work.store.row(name).path)}", mode="r")
        return np.asarray(arrays[name][_slices(corner, work)])

    return read


def _tensorstore(work: Work) -> Reader:
    import tensorstore

    context = tensorstore.Context({"data_copy_concurrency": {"limit": 1}, "file_io_concurrency": {"limit": 1}})
    arrays: dict[str, Any] = {}

    def read(request: Request) -> NDArray[Any]:
        name, corner = request
        if name not in arrays:
            path = f"{work.store.path}/{array_path(work.store.row(name).path)}"
            spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": path}}
            arrays[name] = tensorstore.open(spec, context=context).result()
        return np.asarray(arrays[name][_slices(corner, work)].read().result())

    return read
