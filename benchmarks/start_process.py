"""What `bench_start.py` measures in a process of its own; whatever it does not use is not loaded, here or in a worker.

python -m benchmarks.start_process WHAT STORE WORKERS ALONE
"""

import json
import pickle
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

DOMAINS = ("abdomen-ct", "brain-t1")
LOOKUPS = 20_000
PATCH = 96


def _loader(root: str, workers: int, *, alone: bool) -> Any:
    from torch.utils.data import DataLoader

    options = {"num_workers": workers, "multiprocessing_context": "spawn" if workers else None}
    if alone:
        return DataLoader(Nothing(), batch_size=4, sampler=range(10**6), **options)
    from mixio.dataset import MixtureDataset
    from mixio.mixture import Mixture
    from mixio.sampler import MixtureSampler
    from mixio.store import open_store

    dataset = MixtureDataset(open_store(root), Mixture(dict.fromkeys(DOMAINS, 0.5)), patch_size=PATCH)
    sampler = MixtureSampler(dataset, num_samples=10**6, batch_size=4, rank=0, num_replicas=1)
    return DataLoader(dataset, batch_size=4, sampler=sampler, **options)


class Nothing:
    """What a sample of a store looks like, of zeros."""

    def __len__(self) -> int:
        return 10**6

    def __getitem__(self, g: int) -> dict[str, Any]:
        import torch

        return {"image": torch.zeros(1, PATCH, PATCH, PATCH), "domain": DOMAINS[0], "key": f"case-{g:012x}", "draw": g}


def start(root: str, workers: int, *, alone: bool) -> dict[str, float]:
    """Open, make the data set, deliver a batch; then eight more, and count memory while the workers live."""
    import_module("torch.utils.data" if alone else "mixio.dataset")
    began = time.perf_counter()
    batches = iter(_loader(root, workers, alone=alone))
    next(batches)
    told = {"seconds": time.perf_counter() - began, "peak_mb": _peak_mb()}
    for _ in range(8):
        next(batches)
    return {**told, "pss_mb": _pss_mb("self")}


def rows(root: str, _: int, *, alone: bool) -> dict[str, float]:
    """Random rows, and random patches, a second."""
    import numpy as np

    from mixio.store import open_store

    store = open_store(root)
    names = store.volumes()
    chosen = np.random.default_rng(time.time_ns()).integers(len(names), size=LOOKUPS).tolist()
    began, cpu = time.perf_counter(), time.process_time()
    for number in chosen:
        store.row(names[number])
    told = {
        "rows_per_second": LOOKUPS / (time.perf_counter() - began),
        "rows_per_cpu_second": LOOKUPS / (time.process_time() - cpu),
    }
    dataset = _loader(root, 0, alone=False).dataset
    began = time.perf_counter()
    for g in range(400):
        dataset[g]
    return {**told, "patches_per_second": 400 / (time.perf_counter() - began)}


def fingerprint(root: str, _: int, *, alone: bool) -> dict[str, float]:
    """Seconds of the fingerprints that a saved position carries, the first time, and bytes of a pickled data set."""
    from mixio.store import open_store

    dataset = _loader(root, 0, alone=False).dataset
    began = time.perf_counter()
    assert dataset.fingerprint["volumes"]
    assert open_store(root).fingerprint
    return {"seconds": time.perf_counter() - began, "pickled_bytes": float(len(pickle.dumps(dataset)))}


MEASURED: dict[str, Callable[..., dict[str, float]]] = {"start": start, "rows": rows, "fingerprint": fingerprint}


def _peak_mb() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    (kilobytes,) = (int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    return kilobytes * 1024 / 1e6


def _pss_mb(process: str) -> float:
    """Of a process and all below it."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    (kilobytes,) = (int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    children = [c for task in Path(f"/proc/{process}/task").iterdir() for c in (task / "children").read_text().split()]
    return kilobytes * 1024 / 1e6 + sum(map(_pss_mb, children))


if __name__ == "__main__":
    what, root, workers, alone = sys.argv[1:]
    print(json.dumps(MEASURED[what](root, int(workers), alone=alone == "1")))
