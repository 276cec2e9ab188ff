"""A run under PyTorch Lightning in processes that Lightning starts: which batches each step got.

    python -m tests.lightning_run STORE FOLDER LOADER DIE_AT PROCESSES

Every process appends to FOLDER/<rank>.jsonl a line a step, and there is a checkpoint every third step. At the step
DIE_AT all end without a word; a run in a folder with a checkpoint goes on from it.

LOADER is `threads`, a MixtureLoader, or `stateful`, torchdata's, whose state Lightning keeps; or `plain`, a DataLoader,
or `told`, a MixtureLoader, whose position the module keeps.
"""

import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any
from zlib import crc32

import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader

from mixio.dataset import MixtureDataset, MixtureSampler
from mixio.loader import MixtureLoader
from mixio.mixture import Mixture
from mixio.store import open_store
from tests.adopted import SHARES

BATCH, TOTAL, EVERY = 2, 48, 3
DIED = 9
"""The exit code of a process that ended without a word."""


class Model(LightningModule):
    """One weight, and a record of what it is fed."""

    def __init__(self, store: str, folder: Path, kind: str, die_at: int) -> None:
        super().__init__()
        self.store, self.folder, self.kind, self.die_at = store, folder, kind, die_at
        self.weight = torch.nn.Parameter(torch.ones(()))
        self.position: dict[str, Any] | None = None

    def train_dataloader(self) -> Any:
        dataset = MixtureDataset(open_store(self.store), Mixture(SHARES), patch_size=16)
        if self.kind in ("threads", "told"):
            loader = MixtureLoader(dataset, num_samples=TOTAL, batch_size=BATCH, threads=1)
            if self.position:
                loader.load_state_dict(self.position)
            return loader
        self.sampler = MixtureSampler(dataset, num_samples=TOTAL, batch_size=BATCH)
        if self.position:
            self.sampler.load_state_dict(self.position)
        if self.kind == "plain":
            return DataLoader(dataset, BATCH, sampler=self.sampler, num_workers=1)
        from torchdata.stateful_dataloader import StatefulDataLoader

        return StatefulDataLoader(dataset, BATCH, sampler=self.sampler, num_workers=1)

    def training_step(self, batch: dict[str, Any], index: int) -> torch.Tensor:
        if index == self.die_at:
            os._exit(DIED)
        images = [crc32(image.numpy().tobytes()) for image in batch["image"]]
        sampler = type(self.trainer.train_dataloader.sampler).__name__
        line = {"step": index, "draws": batch["draw"].tolist(), "images": images, "sampler": sampler}
        with (self.folder / f"{self.global_rank}.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")
        return self.weight * batch["image"].mean()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if self.kind == "plain":
            consumed = self.trainer.global_step * BATCH * self.trainer.world_size
            checkpoint["position"] = self.sampler.state_dict(consumed=consumed)
        elif self.kind == "told":
            checkpoint["position"] = self.trainer.train_dataloader.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.position = checkpoint.get("position")

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.01)


def main(store: str, folder: Path, kind: str, die_at: int, processes: int) -> None:
    warnings.simplefilter("ignore")
    trainer = Trainer(
        accelerator="cpu",
        devices=processes,
        strategy="ddp",
        max_epochs=1,
        callbacks=[ModelCheckpoint(folder, every_n_train_steps=EVERY, save_top_k=-1, filename="{step}")],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    checkpoints = sorted(folder.glob("*.ckpt"), key=lambda path: path.stat().st_mtime)
    model = Model(store, folder, kind, die_at)
    trainer.fit(model, ckpt_path=str(checkpoints[-1]) if checkpoints else None)


if __name__ == "__main__":
    store, folder, kind, *numbers = sys.argv[1:]
    main(store, Path(folder), kind, *map(int, numbers))
