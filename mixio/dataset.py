"""The PyTorch face: `dataset[g]` is draw g of the run, and the sampler only counts.

A sample is a function of g, the seeds and what is stored: not of rank, worker, batch size, or what was read before.
`MixtureSampler` is found here too.
"""

import operator
from collections.abc import Callable, Mapping, Sequence, Sized
from functools import partial
from os import PathLike
from typing import Any, Literal, NoReturn

import numpy as np
import numpy.typing as npt

from mixio.allocation import fingerprint
from mixio.asked import Asked, MaxRepeats, OnCap, checked_on_cap, limits_of, patches_of
from mixio.corners import Align, CornerRule
from mixio.crops import Crop, Crops, PatchStore, checked_windows
from mixio.damaged import DamagedVolumes
from mixio.draws import Draw, augmentation_seed, flip_of
from mixio.errors import InvalidArgument, brief, expect, require, whole_number
from mixio.late import Block, Stored
from mixio.mixture import Mixture
from mixio.normalize import Window
from mixio.pools import Pools, domains_of, members_of
from mixio.sampler import MixtureSampler as MixtureSampler
from mixio.taken import Before
from mixio.units import Unit, amounts_of
from mixio.volume import Shape

try:
    import torch
    import torch.utils.data
    from torch.utils.data import Dataset
except ImportError as error:
    raise require("torch", "torch") from error

ORDERS = 2
"""Of the ways in which draws have been put in order, which one this is."""
_NUMBERS = {"corner", "valid", "flip", "draw", "seed"}  # the columns of a batch that are tensors
_ARRAYS = {"corner", "valid", "flip"}  # those that are tensors in a sample too


class MixtureDataset(Dataset[Any]):
    """Draws from a store, or from a dictionary of map-style data sets, in the proportions of a mixture.

    Of a store, a sample is a dictionary: `image` (1, X, Y, Z) float32 in [0, 1], RAS+; `domain`, `key`;
    `draw`, which is g; `corner` (3,), the voxel of the volume at which the patch begins, negative where it is
    padded; `valid` (2, 3), the first and one past the last voxel of the patch that lie in the volume; `seed`,
    32 bits for augmentations. Of a dictionary of data sets it is the member's item, with `domain`, `draw` and
    `seed` added if that is a dictionary itself. `transform` is applied last.

    `foreground` in (0, 1] asks for patches with that share of foreground (see `corner_of`). `windows` maps a
    domain, or a modality, to the (low, high) real values that become 0 and 1, in place of `window_of`.

    `align` lets patches begin only at multiples of so many voxels (one number or three), or with "chunk" at the edges
    of stored chunks; and at the far end of the volume, for else voxels behind the last multiple would never be seen.
    It saves reading and costs variety: patches of 96 from a volume of 320 x 320 x 256 in chunks of 32 have 8,150,625
    corners and touch 62 chunks on average; 17,661 corners and 52 chunks with `align=8`; 384 corners and 27 chunks with
    "chunk". Chunks of 48 leave 180 corners; without the far ends 100, and 24 % of the voxels would never be seen.

    `flip` names the axes along which patches are flipped, each with probability 1/2: some of 0 (left and right), 1
    (back and front), 2 (feet and head), or True for all. Each sample has `flip` (3,), along which axes it was;
    `corner` is the place in the volume as before, `valid` that in the flipped patch.

    `on_fault="replace"` takes in place of a patch whose stored bytes are damaged or gone one of the next volume in
    that pass over the domain, so that the mixture stays what it is; `key` and `corner` are then those of the other
    volume, and each sample has `fault`, the name of the damaged one or "". What can be read of a damaged volume is:
    a patch depends on g, the seeds and the stored bytes still. The first time for each volume there is a
    `MixioWarning`; after `max_faults` damaged volumes, counted by each process for itself, or where a domain has
    nothing left, `TooManyFaults`. `Ledger` reports what was replaced.

    `unit` says what the mixture's shares are of: patches; "volumes" that are visited; or "voxels" that are no padding,
    for which the shape of every volume is looked at once. `patches_per_volume`, one number or one for each domain, is
    how many patches of a volume a pass reads, within a window of the domain's draws, so that what is fetched of it from
    afar serves all of them. `subsets` has the number of volumes that a domain draws from, the first ones in an order of
    the seed's: {"head-pet": 40} are among {"head-pet": 80}. `max_repeats`, one number or one for each domain, is how
    often a volume's patches may be read over; what happens then is `on_cap`: "raise" when the sampler is asked for more
    draws, "stop" there, or "redistribute" the domain's share among the others. `mixture` is what results.

    Any g of at least 0 can be drawn; `len` is the number of volumes in the domains that are drawn from.
    """

    def __init__(
        self,
        source: PatchStore | Mapping[str, Any],
        mixture: Mixture,
        *,
        patch_size: int | Sequence[int] = 96,
        seed: int = 0,
        transform: Callable[[Any], Any] | None = None,
        split: str = "train",
        unit: Unit = "patches",
        patches_per_volume: int | Mapping[str, int] = 1,
        subsets: Mapping[str, int] | None = None,
        max_repeats: MaxRepeats = None,
        on_cap: OnCap = "raise",
        foreground: float = 0.0,
        align: Align = None,
        flip: bool | Sequence[int] = False,
        windows: Mapping[str, Window] | None = None,
        on_fault: Literal["raise", "replace"] = "raise",
        max_faults: int = 100,
    ) -> None:
        _refuse_unopened(source, mixture)
        self.source = source
        self.patch_size = _patch_size(patch_size)
        self.seed = whole_number(seed, "seed")
        if transform is not None and not callable(transform):
            raise InvalidArgument(f"transform is a function of a sample, got {brief(transform)}; join several in one")
        self.transform = transform
        expect(split, str, "split is the name of one split")
        self.split = split
        domains = domains_of(source)
        members = members_of(source, mixture.drawn, split, subsets=subsets or {}, seed=self.seed)
        self.pools = Pools(members, self.seed, patches_of(patches_per_volume, members, domains), mixture.window)
        limits = limits_of(max_repeats, self.pools, domains)
        self._asked = Asked(mixture, self._amounts(unit), limits, checked_on_cap(on_cap))
        self.mixture = self._asked.mixture()
        self.has_begun = False
        """Whether a sampler has been iterated over: workers may have a copy."""
        self.corners = CornerRule(self.patch_size, align, foreground)
        self.flip = _flip_axes(flip)
        self.replaces = _replaces(on_fault)
        self.crops: Crops | None = None
        if not isinstance(source, Mapping):
            faults = DamagedVolumes(max_faults) if self.replaces else None
            windows = checked_windows(windows or {}, source.domains)
            self.crops = Crops(source, self.pools, self.corners, windows, faults)
        elif foreground or windows or align is not None or self.flip or self.replaces or patches_per_volume != 1:
            raise InvalidArgument(
                "foreground, align, flip, windows, patches_per_volume and on_fault need a store; "
                "members of a dictionary give whole items"
            )
        elif split != "train":
            raise InvalidArgument(f"split={split!r} needs a store; give a dictionary of the data sets of that split")

    def __len__(self) -> int:
        return len(self.pools)

    @property
    def allocation(self) -> str:
        """The fingerprint of the allocation that was asked for."""
        return self._asked.given.allocation

    @property
    def volumes(self) -> Mapping[str, Sequence[Any]]:
        """What each domain draws from: names in the store, or indices into the member of that name."""
        return self.pools.members

    def available(self, num_samples: int) -> int:
        """How many of so many draws there are, as `max_repeats` and `on_cap` have it."""
        return self._asked.available(self.mixture, num_samples)

    def go_on_after(self, before: Before) -> None:
        """Draw the rest of a run of which other mixtures have drawn what `before` says (`Mixture.taken`).

        Copies of this data set that worker processes hold do not learn of it.
        """
        self.mixture = self._asked.mixture(before)

    def plan(self, g: int) -> Draw:
        """What draw g is, from g, the seeds and the manifest; also the occupancy where foreground is asked for.

        No voxel is read, so a loader can know any number of draws ahead. What replaces a damaged volume is known only
        when that is read.
        """
        draw = self._draw(g)
        return draw if self.crops is None else self.crops.placed(draw)

    def __getitem__(self, g: int) -> Any:
        return self.__getitems__([g])[0]

    def __iter__(self) -> NoReturn:
        """Refused: Python would ask for draw 0, 1, 2 and so on, and there is always a next one."""
        raise InvalidArgument(
            "the draws of a data set have no end; iterate over a DataLoader with sampler=MixtureSampler(dataset, "
            "num_samples=..., batch_size=...), over a MixtureLoader, or ask for one draw by dataset[g]"
        )

    def __getitems__(self, draws: Sequence[int]) -> list[Any]:
        """The samples of one batch, read together; `DataLoader` asks for them this way."""
        return self.transformed(self.untransformed(draws))

    def untransformed(self, draws: Sequence[int]) -> list[Any]:
        """The samples of one batch before `transform`."""
        planned = [self._draw(g) for g in draws]
        if isinstance(self.source, Mapping):
            return [_tagged(self.source[draw.domain][draw.volume], _tags(draw)) for draw in planned]
        return self._samples(planned)

    def transformed(self, samples: list[Any]) -> list[Any]:
        """The same after it."""
        return samples if self.transform is None else [self.transform(sample) for sample in samples]

    def read_batch(
        self, draws: Sequence[int], *, out: npt.NDArray[np.float32] | None = None, raw: bool = False
    ) -> dict[str, Any]:
        """The collated batch of these draws: bit for bit what `default_collate` makes of the samples.

        `image` is `out` (B, 1, X, Y, Z) if that is given. With `raw` it is a list of B arrays (X, Y, Z) of stored
        numbers, and `linear` (B, 2) float32 has their scale and offset, for who normalizes on the device.
        """
        if self.crops is None or self.transform is not None:
            raise InvalidArgument("read_batch needs a store and no transform; collate the samples instead")
        if raw and out is not None:
            raise InvalidArgument("raw patches have the stored types and go into no float32 array; give one of them")
        expect(draws, Sized, "read_batch takes a list of draws")
        if not len(draws):
            raise InvalidArgument("a batch has at least one draw, got none")
        planned = [self._draw(g) for g in draws]
        if raw:
            crops = self.crops.read(planned)
            linear = np.array([crop.linear for crop in crops], np.float32)
            batch = {"image": [crop.voxels for crop in crops], "linear": torch.from_numpy(linear)}
        else:
            image = self._image(len(planned), out)
            crops = self.crops.read(planned, out=list(image[:, 0]))
            batch = {"image": torch.from_numpy(image)}
        rows = [self._columns(draw, crop) for draw, crop in zip(planned, crops, strict=True)]
        for name in rows[0]:
            values = [row[name] for row in rows]
            batch[name] = torch.from_numpy(np.array(values)) if name in _NUMBERS else values  # faster than tensor()
        return batch

    def _draw(self, g: int) -> Draw:
        g = whole_number(g, "a draw")
        domain, n = self.mixture.locate(g)
        volume = self.pools.volume(domain, n)
        flip = flip_of(self.seed, domain, n, self.flip)
        return Draw(g, domain, n, volume, None, augmentation_seed(self.seed, domain, n), flip)

    def _image(self, count: int, out: npt.NDArray[np.float32] | None) -> npt.NDArray[np.float32]:
        shape = (count, 1, *self.patch_size)
        if out is None:
            return np.empty(shape, np.float32)
        expect(out, np.ndarray, f"out must be a float32 array of {shape}", "of a tensor on the CPU: tensor.numpy()")
        if out.shape != shape or out.dtype != np.float32:
            raise InvalidArgument(f"out must be a float32 array of {shape}, got {out.dtype} of {out.shape}")
        return out

    def _samples(self, planned: Sequence[Draw]) -> list[dict[str, Any]]:
        assert self.crops is not None
        images: list[torch.Tensor]
        if self.transform is None and torch.utils.data.get_worker_info() is not None:
            # A sample that is asked for alone may be kept, and each block holds a file open.
            block = Block() if len(planned) > 1 else None
            crops = self.crops.read(planned, place=None if block is None else block.place)
            images = [Stored(crop.voxels, crop.linear, block) for crop in crops]
        else:
            # An array of its own for each: a kept sample does not keep its batch.
            crops = self.crops.read(planned, out=[np.empty(self.patch_size, np.float32) for _ in planned])
            images = [torch.from_numpy(crop.voxels)[None] for crop in crops]
        samples = []
        for draw, crop, image in zip(planned, crops, images, strict=True):
            columns = self._columns(draw, crop)
            tensors = {name: torch.tensor(columns[name]) for name in _ARRAYS & columns.keys()}
            samples.append({"image": image, **columns, **tensors})
        return samples

    def _columns(self, draw: Draw, crop: Crop) -> dict[str, Any]:
        """A sample but for its image, in plain values."""
        columns = {"key": crop.row.key, "corner": crop.corner, "valid": crop.valid, **_tags(draw)}
        if self.flip:
            columns["flip"] = crop.flip
        if self.replaces:
            columns["fault"] = crop.fault
        return columns

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What decides which patch draw g is, part by part, so that a difference can be named."""
        return {
            "mixture": self._asked.given.fingerprint,
            "orders": ORDERS,
            "seed": self.seed,
            "patch size": list(self.patch_size),
            "foreground": self.corners.foreground,
            "align": self.corners.recorded,
            "flip": list(self.flip) or None,
            "patches per volume": fingerprint(self.pools.patches) if set(self.pools.patches.values()) != {1} else None,
            "unit or caps": self._asked.fingerprint,
            "volumes": self.pools.digest,
        }

    def _amounts(self, unit: Unit) -> dict[str, float]:
        source, pools = self.source, self.pools
        if isinstance(source, Mapping):
            if unit != "patches":
                raise InvalidArgument("shares of volumes or voxels need a store; items of a dictionary are all alike")
            return {}
        return amounts_of(unit, pools.patches, size=self.patch_size, shapes_of=partial(pools.shapes, source))


def _refuse_unopened(source: object, mixture: object) -> None:
    if isinstance(source, str | PathLike):
        raise InvalidArgument(f"source must be a store, got the path {source!r}; open it first: mixio.open_store(path)")
    if not isinstance(source, Mapping) and not hasattr(source, "read_patches"):
        raise InvalidArgument(
            f"source must be a store or a dictionary of data sets by domain, got {type(source).__name__}"
        )
    if not isinstance(mixture, Mixture):
        raise InvalidArgument(
            f"mixture must be a mixio.Mixture, got {type(mixture).__name__}; shares become one by mixio.Mixture(shares)"
        )


def _patch_size(size: int | Sequence[int]) -> Shape:
    try:
        x, y, z = (operator.index(s) for s in (size if isinstance(size, Sequence) else (size,) * 3))
    except (TypeError, ValueError):
        x = y = z = 0
    if min(x, y, z) < 1:
        raise InvalidArgument(f"patch_size must be one or three numbers of voxels, at least 1, got {size!r}")
    return x, y, z


def _flip_axes(flip: bool | Sequence[int]) -> tuple[int, ...]:
    if isinstance(flip, bool):
        return (0, 1, 2) if flip else ()
    try:
        axes = sorted(-1 if isinstance(axis, bool) else operator.index(axis) for axis in flip)
    except TypeError:
        axes = [-1]
    if len(set(axes)) < len(axes) or not set(axes) <= {0, 1, 2}:
        raise InvalidArgument(f"flip must be True, False or some of the axes 0, 1 and 2, got {flip!r}")
    return tuple(axes)


def _replaces(on_fault: str) -> bool:
    if on_fault not in ("raise", "replace"):
        raise InvalidArgument(f'on_fault must be "raise" or "replace", got {on_fault!r}')
    return on_fault == "replace"


def _tags(draw: Draw) -> dict[str, Any]:
    return {"domain": draw.domain, "draw": draw.g, "seed": draw.seed}


def _tagged(item: Any, tags: dict[str, Any]) -> Any:
    if not isinstance(item, Mapping):
        return item
    for taken in sorted(tags.keys() & item.keys()):
        raise InvalidArgument(f"items of {tags['domain']!r} have a key {taken!r} already; rename it there")
    return {**item, **tags}
