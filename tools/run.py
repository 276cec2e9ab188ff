"""The state of a training run: all that changes as it goes, in one object that a checkpoint holds."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from mixio.ledger import Ledger
from mixio.ranks import of_all_ranks
from mixio.sampler import MixtureSampler
from models.checkpoint import save_checkpoint
from models.mae_dense import Autoencoder
from tools.distributed import rank
from tools.loop import Learner


@dataclass
class Run:
    """How far a run has come: its last step, the losses since the last line of the log, seconds so far and the part
    of them that were spent waiting for data.
    """

    learner: Learner
    sampler: MixtureSampler
    ledger: Ledger
    settings: dict[str, Any]
    step: int = 0
    losses: list[float] = field(default_factory=list)
    seconds: float = 0.0
    waiting: float = 0.0

    def event(self) -> dict[str, Any]:
        """The line of the log for the steps since the last one."""
        rate = self.learner.optimizer.param_groups[0]["lr"]
        event = {"event": "step", "draw": self.draw, "loss": sum(self.losses) / len(self.losses), "lr": rate}
        return {**event, "seconds": self.seconds, "waiting": self.waiting}

    @property
    def draw(self) -> int:
        """Draws of the steps that were made, over all ranks."""
        return self.step * self.learner.options.global_batch(self.sampler.num_replicas)

    def save(self, path: Path) -> None:
        """Write a checkpoint; every rank must call it, and the first one writes."""
        training = {
            "settings": self.settings,
            "step": self.step,
            "losses": self.losses,
            "seconds": self.seconds,
            "waiting": self.waiting,
            "ledger": self.ledger.gathered().state_dict(),
            "random": of_all_ranks(_random_state()),
            "optimizer": self.learner.optimizer.state_dict(),
        }
        if self.learner.averaged is not None:
            training["model"] = self.learner.mae.state_dict()
            training["averaged"] = int(self.learner.averaged.n_averaged)
        if rank() == 0:
            data = self.sampler.state_dict(consumed=self.draw)
            about = {name: self.settings[name] for name in ("run", "shares", "draws", "seed")}
            save_checkpoint(path, self.learner.result, metadata=about, data=data, training=training)

    def restore(self, checkpoint: dict[str, Any]) -> None:
        """Go on where this checkpoint was saved, which `saved_for` found to be of these settings; empties it."""
        training = checkpoint["training"]
        self.sampler.load_state_dict(checkpoint["data"])
        self.learner.mae.load_state_dict(training.get("model", checkpoint["mae_state_dict"]))
        if self.learner.averaged is not None:
            self.learner.averaged.module.load_state_dict(checkpoint["mae_state_dict"])
            self.learner.averaged.n_averaged.fill_(training["averaged"])
        self.learner.optimizer.load_state_dict(training["optimizer"])
        self.ledger.load_state_dict(training["ledger"])
        self.step, self.losses = training["step"], list(training["losses"])
        self.seconds, self.waiting = training["seconds"], training["waiting"]
        _set_random_state(training["random"])
        checkpoint.clear()  # or its tensors would take memory for as long as the run lasts


@dataclass(frozen=True)
class Trained:
    """What came of a run: the model, the held-out loss of each domain, what was delivered, the loader's state, and
    how many of the seconds the training waited for data. With `options.ema` the model is the average.
    """

    mae: Autoencoder
    loss: dict[str, float]
    ledger: Ledger
    seconds: float
    waiting: float
    data: dict[str, Any]


def _random_state() -> dict[str, Any]:
    """Torch's global random states. No step of ours draws from them; an objective of somebody's own may."""
    cuda = torch.cuda.get_rng_state() if torch.cuda.is_available() else None
    return {"cpu": torch.get_rng_state(), "cuda": cuda}


def _set_random_state(of_ranks: list[dict[str, Any]]) -> None:
    """Give each rank its state; one that was not there before keeps its own."""
    if rank() >= len(of_ranks):
        return
    torch.set_rng_state(of_ranks[rank()]["cpu"])
    if of_ranks[rank()]["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(of_ranks[rank()]["cuda"])
