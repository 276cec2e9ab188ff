"""Feeds 3D medical foundation models: volumes to stores, stores to exact mixtures of patches.

Names are loaded on first use, so that `import mixio` costs neither torch nor zarr.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

_HOME = {
    "Allocation": "mixio.allocation",
    "Ledger": "mixio.ledger",
    "Mixture": "mixio.mixture",
    "MixtureDataset": "mixio.dataset",
    "MixtureLoader": "mixio.loader",
    "MixtureSampler": "mixio.sampler",
    "Volume": "mixio.volume",
    "open_store": "mixio.store",
    "read_ledger": "mixio.ledger",
    "webdataset_decoder": "mixio.stores.tar",
}

__all__ = sorted(_HOME)

if TYPE_CHECKING:
    from mixio.allocation import Allocation as Allocation
    from mixio.dataset import MixtureDataset as MixtureDataset
    from mixio.ledger import Ledger as Ledger
    from mixio.ledger import read_ledger as read_ledger
    from mixio.loader import MixtureLoader as MixtureLoader
    from mixio.mixture import Mixture as Mixture
    from mixio.sampler import MixtureSampler as MixtureSampler
    from mixio.store import open_store as open_store
    from mixio.stores.tar import webdataset_decoder as webdataset_decoder
    from mixio.volume import Volume as Volume


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'mixio' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
