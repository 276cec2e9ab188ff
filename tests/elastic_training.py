"""Training that may be killed at any moment and goes on with other ranks, workers and batches; a program to start from.

    torchrun --nproc-per-node 2 tests/elastic_training.py STORE FOLDER --batch 6 --workers 2

It trains a small autoencoder on patches of a store and keeps `checkpoint.pt` in FOLDER. Started again, with any number
of ranks, it goes on from there. All that a checkpoint needs of the data is the sampler's state, an integer and a
fingerprint. What was trained between the last checkpoint and the kill is forgotten with its weights, and trained again.

Each rank writes down what it received before it trains on it, in `from-<first draw>-rank-<rank>.jsonl`. The gradients
of a step are summed over all ranks, so what a checkpoint counts stands in the logs of all of them.
"""

import argparse
import json
import os
from collections.abc import Sequence
from datetime import timedelta
from hashlib import blake2b
from pathlib import Path
from typing import Any

import torch
import torch.distributed
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

import mixio

SHARES = {"abdomen-ct": 0.5, "brain-t1": 0.3, "pet": 0.2}
EDGE = 16


def main(words: Sequence[str] | None = None) -> None:
    options = arguments(words)
    torch.distributed.init_process_group("gloo", timeout=timedelta(seconds=options.timeout))
    train(options)
    # The model has ended before: if it holds the group last, it waits for gloo's thread, which waits for Python's lock.
    torch.distributed.destroy_process_group()


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--draws", type=int, default=10**9, help="draws of the whole run, over all ranks")
    parser.add_argument("--batch", type=int, default=4, help="draws a step on each rank")
    parser.add_argument("--workers", type=int, default=0, help="processes that read, of a DataLoader")
    parser.add_argument("--method", choices=["fork", "spawn"], default="fork", help="how they are started")
    parser.add_argument("--threads", type=int, default=0, help="threads that read, of a MixtureLoader, in their place")
    parser.add_argument("--every", type=int, default=2, help="steps from one checkpoint to the next")
    parser.add_argument("--timeout", type=float, default=120, help="seconds that a rank waits for the others")
    return parser.parse_args(words)


def train(options: argparse.Namespace) -> None:
    model = model_of()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    loader, sampler = data_of(options)
    path, begin = options.folder / "checkpoint.pt", 0
    if path.exists():
        saved = torch.load(path, weights_only=True)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        (loader if options.threads else sampler).load_state_dict(saved["data"])
        begin = saved["data"]["consumed"]
    rank, global_batch = torch.distributed.get_rank(), options.batch * torch.distributed.get_world_size()
    with open(options.folder / f"from-{begin}-rank-{rank}.jsonl", "w") as log:
        for number, batch in enumerate(loader, 1):
            print(json.dumps(received(batch)), file=log, flush=True)
            image = batch["image"].double()  # (B, 1, 16, 16, 16)
            optimizer.zero_grad()
            nn.functional.mse_loss(model(image), image).backward()
            optimizer.step()
            consumed = begin + number * global_batch
            if rank == 0 and (number % options.every == 0 or consumed + global_batch > options.draws):
                # Workers read ahead, so a sampler cannot know how much was trained on; a MixtureLoader does.
                data = loader.state_dict() if options.threads else sampler.state_dict(consumed=consumed)
                save(path, {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "data": data})


def model_of() -> nn.Module:
    """An autoencoder of patches (B, 1, 16, 16, 16), the same on every rank."""
    torch.manual_seed(0)
    layers = nn.Flatten(), nn.Linear(EDGE**3, 8), nn.Linear(8, EDGE**3), nn.Unflatten(1, (1, EDGE, EDGE, EDGE))
    # In double precision: ranks sum in an order of their own, and the weights can still be compared.
    return DistributedDataParallel(nn.Sequential(*layers).double())


def data_of(options: argparse.Namespace) -> tuple[Any, Any]:
    """The loader, and its sampler."""
    mixture = mixio.Mixture(SHARES, seed=3)
    store = mixio.open_store(options.store)
    dataset = mixio.MixtureDataset(store, mixture, patch_size=EDGE, seed=7, foreground=0.3, flip=True)
    run = {"num_samples": options.draws, "batch_size": options.batch}
    if options.threads:
        loader = mixio.MixtureLoader(dataset, **run, threads=options.threads)
        return loader, loader.sampler
    sampler = mixio.MixtureSampler(dataset, **run)
    workers = {"num_workers": options.workers, "multiprocessing_context": options.method if options.workers else None}
    return DataLoader(dataset, options.batch, sampler=sampler, **workers), sampler


def save(path: Path, content: dict[str, Any]) -> None:
    """Whole or not at all: under another name first, then renamed."""
    part = path.with_name(path.name + ".part")
    torch.save(content, part)
    os.replace(part, path)


def received(batch: dict[str, Any]) -> list[list[Any]]:
    """Each sample's draw, domain, key, corner and flip, and a digest of the bytes of its image."""
    digests = [blake2b(image.numpy().tobytes(), digest_size=8).hexdigest() for image in batch["image"]]
    plain = [batch[name].tolist() for name in ("draw", "corner", "flip")]
    return [list(sample) for sample in zip(*plain, batch["domain"], batch["key"], digests, strict=True)]


if __name__ == "__main__":
    main()
