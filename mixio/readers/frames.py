"""The voxels that a `Layout` describes, as parts: one volume, or what was chosen of the frames of a 4D file.

A frame is read straight into the one buffer that becomes its voxels, and the stream is always read to its end before
a part is given away, so that nothing of a damaged file gets into a store.
"""

from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixio.errors import SourceError
from mixio.readers.layout import Layout, check_claim, check_room, checked_dtype, checked_shape, room_for
from mixio.readers.parts import Part, ReadOptions
from mixio.readers.streams import open_stream
from mixio.readers.voxels import to_float32, volume_of
from mixio.volume import Volume


def parts_of(layout: Layout, options: ReadOptions) -> Iterator[Part]:
    """The parts of a file: itself if it is 3D, else the frames that `options` choose.

    Raises `SourceError` for what is not one number a voxel on a 3D grid, `SourceTooLarge` before anything over
    `options.max_bytes` is allocated.
    """
    checked_dtype(layout.dtype, layout.name)
    layout = replace(layout, shape=checked_shape(layout.shape, layout.name))
    check_claim(layout)
    chosen = _chosen(layout, options)
    if len(layout.shape) > 3 and options.item is None and options.frames == "mean":
        return _mean(layout, options)
    check_room(layout.frame_bytes, options.max_bytes, layout.name)
    return _one(layout, chosen[0]) if len(chosen) == 1 else _each(layout, chosen)


def _chosen(layout: Layout, options: ReadOptions) -> range:
    if options.item is not None:
        return _item(layout, options.item)
    if len(layout.shape) == 3 or options.frames == "first":
        return range(1)
    if options.frames is None:
        raise SourceError(
            f"{layout.name}: shape {layout.shape} is not one 3D volume but {layout.frames} frames; "
            "choose with --frames first, mean or each"
        )
    return range(layout.frames)


def _item(layout: Layout, item: str) -> range:
    if len(layout.shape) == 3:
        raise SourceError(f"{layout.name}: holds one volume, so there is no item {item!r}; leave the item empty")
    if not (item.isascii() and item.isdigit() and int(item) < layout.frames):
        raise SourceError(f"{layout.name}: no item {item!r}; the frames are numbered 0 to {layout.frames - 1}")
    return range(int(item), int(item) + 1)


def _one(layout: Layout, number: int) -> Iterator[Part]:
    (stored,) = _frames(layout, {number})
    notes = {} if len(layout.shape) == 3 else {"frames": f"{number} of {layout.frames}"}
    yield Part("", volume_of(stored, layout), {**layout.notes, **notes})


def _each(layout: Layout, chosen: range) -> Iterator[Part]:
    if layout.data.encoding != "raw":
        # The checksum stands behind the last frame, and the first is given away long before that is read.
        for _ in _frames(layout, ()):
            pass
    digits = max(4, len(str(layout.frames - 1)))
    for number, stored in zip(chosen, _frames(layout, chosen), strict=True):
        notes = {"frames": f"{number} of {layout.frames}"}
        yield Part(f"t{number:0{digits}}", volume_of(stored, layout), {**layout.notes, **notes})


def _mean(layout: Layout, options: ReadOptions) -> Iterator[Part]:
    count = layout.frame_bytes // layout.dtype.itemsize
    needed = layout.frame_bytes + 8 * count
    check_room(needed, options.max_bytes, layout.name)
    with room_for(needed, layout.name):
        total = np.zeros(count, np.float64)
    with np.errstate(all="ignore"):
        for stored in _frames(layout, range(layout.frames), reuse=True):
            total += stored
        total /= layout.frames
    real = to_float32(total, layout.slope, layout.inter, layout.name).reshape(layout.grid, order="F")
    yield Part("", Volume(real, layout.affine), {**layout.notes, "frames": f"mean of {layout.frames}"})


def _frames(layout: Layout, chosen: Collection[int], *, reuse: bool = False) -> Iterator[NDArray[Any]]:
    """The `chosen` frames (n,) in order, then the end of the stream; with `reuse` all in the same memory."""
    stored: NDArray[Any] | None = None
    with open_stream(layout.data, layout.name) as stream:
        stream.skip(layout.skip)
        for number in range(layout.frames):
            if number not in chosen:
                stream.skip(layout.frame_bytes)
                continue
            if stored is None or not reuse:
                with room_for(layout.frame_bytes, layout.name):
                    stored = np.empty(layout.frame_bytes // layout.dtype.itemsize, layout.dtype)
            stream.fill(stored.view(np.uint8).data)
            yield stored
        stream.finish()
