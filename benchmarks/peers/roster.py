"""Who takes part: the names as the tables give them, and where each contestant's functions are.

Nothing is imported here: a contestant's libraries are loaded in the process in which it runs, and nowhere else.
"""

from dataclasses import dataclass
from importlib import import_module
from typing import Any


@dataclass(frozen=True)
class Contestant:
    """`opens` and `form` are functions of `benchmarks.peers`.

    `aligned` ones read at corners on our chunk grid; readers are asked for one patch a call, unless `together`.
    """

    name: str
    opens: str
    form: str
    aligned: bool = False
    together: bool = False


def function(path: str) -> Any:
    """What `module.function` names in `benchmarks.peers`; raises ImportError if its library is missing."""
    module, _, name = path.partition(".")
    return getattr(import_module(f"benchmarks.peers.{module}"), name)


MIXIO = ("mixio threads", "mixio", "mixio batch", "mixio DataLoader spawn")
"""Others are compared with the first of these that takes part; aligned ones with the one of that name."""

LIMITS = ("in-memory crop", "in-memory threads")
"""What no store can reach."""

READERS = (
    Contestant("in-memory crop", "in_memory.reader", "in_memory.form"),
    Contestant("in-memory crop aligned", "in_memory.reader", "in_memory.form", aligned=True),
    Contestant("npy memmap", "in_memory.mapped_reader", "in_memory.form"),
    Contestant("mixio", "ours.reader", "ours.form"),
    Contestant("mixio aligned", "ours.reader", "ours.form", aligned=True),
    Contestant("mixio batch", "ours.batch_reader", "ours.form", together=True),
    Contestant("mixio batch aligned", "ours.batch_reader", "ours.form", aligned=True, together=True),
    Contestant("blosc2 nnU-Net", "blosc2_array.reader", "blosc2_array.form"),
    Contestant("tensorstore", "tensorstore_array.reader", "tensorstore_array.form"),
    Contestant("zarrs", "zarrs_pipeline.reader", "zarrs_pipeline.form"),
    Contestant("zarr-python", "zarr_python.reader", "zarr_python.form"),
    Contestant("nibabel .nii.gz", "nifti.reader", "nifti.form"),
)

LOADERS = (
    Contestant("in-memory threads", "in_memory.threads", "in_memory.form"),
    Contestant("in-memory 1 thread", "in_memory.one_thread", "in_memory.form"),
    Contestant("mixio threads", "ours.threads", "ours.form"),
    Contestant("mixio threads aligned", "ours.aligned", "ours.form", aligned=True),
    Contestant("mixio DataLoader spawn", "ours.spawn", "ours.form"),
    Contestant("mixio DataLoader fork", "ours.fork", "ours.form"),
    Contestant("tensorstore threads", "tensorstore_array.threads", "tensorstore_array.form"),
    Contestant("LitData patches", "litdata_streaming.loader", "litdata_streaming.form"),
    Contestant("MDS patches", "mosaic_streaming.cut", "mosaic_streaming.patches_form"),
    Contestant("npy memmap", "in_memory.mapped_loader", "in_memory.form"),
    Contestant("blosc2 nnU-Net", "blosc2_array.loader", "blosc2_array.form"),
    Contestant("tensorstore DataLoader", "tensorstore_array.loader", "tensorstore_array.form"),
    Contestant("MONAI CacheDataset", "monai_datasets.cached", "monai_datasets.nifti_form"),
    Contestant("zarrs", "zarrs_pipeline.loader", "zarrs_pipeline.form"),
    Contestant("zarr-python", "zarr_python.loader", "zarr_python.form"),
    Contestant("WebDataset volumes", "webdataset_tars.loader", "webdataset_tars.form"),
    Contestant("WebDataset 4 a volume", "webdataset_tars.four", "webdataset_tars.form"),
    Contestant("MONAI Persistent", "monai_datasets.persistent", "monai_datasets.persistent_form"),
    Contestant("MDS volumes", "mosaic_streaming.volumes", "mosaic_streaming.volumes_form"),
    Contestant("TorchIO Queue", "torchio_queue.loader", "torchio_queue.form"),
    Contestant("MONAI 4 a volume", "monai_datasets.four_from_nifti", "monai_datasets.nifti_form"),
    Contestant("MONAI .nii.gz", "monai_datasets.from_nifti", "monai_datasets.nifti_form"),
)

BENCHES = {"read": READERS, "load": LOADERS}


def contestant(bench: str, name: str) -> Contestant:
    """By its name."""
    return next(one for one in BENCHES[bench] if one.name == name)
