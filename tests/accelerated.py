"""One process of a run under Accelerate: the draws that each arrangement gives it.

    python -m torch.distributed.run --nproc-per-node 2 -m tests.accelerated STORE FOLDER

It writes FOLDER/<rank>.json: from the name of an arrangement to the draws of its batches.
"""

import json
import sys
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.utils import DataLoaderConfiguration
from torch.utils.data import DataLoader

from mixio.dataset import MixtureDataset, MixtureSampler
from mixio.loader import MixtureLoader
from mixio.mixture import Mixture
from mixio.store import open_store
from tests.adopted import SHARES

BATCH = 3
TOTAL = 29
"""Four steps of two processes, and five draws more."""
STOP = 2
"""Steps before a run is interrupted."""

Draws = list[list[int]]


class Arrangements:
    """Loaders made in the ways that the page tells, and in those that it warns of."""

    def __init__(self, store: str) -> None:
        self.accelerator = Accelerator(cpu=True)
        self.dataset = MixtureDataset(open_store(store), Mixture(SHARES), patch_size=16)

    def sampler(self, **ranks: int) -> MixtureSampler:
        return MixtureSampler(self.dataset, num_samples=TOTAL, batch_size=BATCH, **ranks)

    def of_all(self) -> MixtureSampler:
        return self.sampler(rank=0, num_replicas=1)

    def loader(self, sampler: MixtureSampler, *, drop_last: bool = True) -> DataLoader[Any]:
        return DataLoader(self.dataset, BATCH, sampler=sampler, drop_last=drop_last, num_workers=2)

    def left_alone(self) -> Draws:
        return draws_of(self.loader(self.sampler()))

    def prepared(self) -> Draws:
        return draws_of(self.accelerator.prepare(self.loader(self.of_all())))

    def threads(self) -> Draws:
        threads = MixtureLoader(self.dataset, num_samples=TOTAL, batch_size=BATCH, threads=1)
        return draws_of(self.accelerator.prepare(threads))

    def divided_twice(self) -> Draws:
        return draws_of(self.accelerator.prepare(self.loader(self.sampler())))

    def filled_up(self) -> Draws:
        return draws_of(self.accelerator.prepare(self.loader(self.of_all(), drop_last=False)))

    def resumed(self) -> Draws:
        """A run that stops after some steps, and one that goes on from the position that was saved."""
        before, sampler = self.prepared()[:STOP], self.of_all()
        consumed = STOP * BATCH * self.accelerator.num_processes
        sampler.load_state_dict(json.loads(json.dumps(sampler.state_dict(consumed=consumed))))
        return before + draws_of(self.accelerator.prepare(self.loader(sampler)))

    def stateful(self) -> Draws:
        """The same by the state that Accelerate has torchdata keep."""
        configuration = DataLoaderConfiguration(use_stateful_dataloader=True)
        accelerator = Accelerator(cpu=True, dataloader_config=configuration)
        loader, other = (accelerator.prepare(self.loader(self.of_all())) for _ in range(2))
        before = [batch["draw"].tolist() for _, batch in zip(range(STOP), loader, strict=False)]
        other.load_state_dict(loader.state_dict())
        return before + draws_of(other)


def draws_of(loader: Any) -> Draws:
    return [batch["draw"].tolist() for batch in loader]


def main(store: str, folder: str) -> None:
    made = Arrangements(store)
    names = ["left_alone", "prepared", "threads", "divided_twice", "filled_up", "resumed", "stateful"]
    found = {name: getattr(made, name)() for name in names}
    Path(folder, f"{made.accelerator.process_index}.json").write_text(json.dumps(found))
    made.accelerator.end_training()


if __name__ == "__main__":
    main(*sys.argv[1:])
