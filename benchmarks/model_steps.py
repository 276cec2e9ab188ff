"""The steps that `bench_model.py` times: ours and MONAI's of the same sizes, on the same batch.

    python -m benchmarks.model_steps TASK WHO        # TASK is JSON; prints the memory of a process that does this alone

Both autoencoders take the same crops, hide three quarters of the patches, have four decoder blocks of half the
encoder's width and perceptrons of four widths, and descend the mean squared error of hidden voxels. MONAI's class has
no loss, so it is given ours.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import monai.networks.nets
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.mae import MAEConfig, MaskedAutoencoder
from models.unetr import UNETR
from models.vit import ViTConfig, patchify

WHO = ("mixio", "mixio, recompute", "MONAI")
DECODER = {"decoder_layers": 4, "decoder_heads": 12}


@dataclass(frozen=True)
class Task:
    """What is trained: `mae` or `unetr`, on `batch` cubes of `crop` voxels in patches of `patch`, on `device`."""

    net: str
    crop: int
    patch: int
    scale_factor: float
    batch: int
    layers: int = 12
    device: str = "cpu"

    @property
    def encoder(self) -> ViTConfig:
        """The encoder of both."""
        return ViTConfig.scaled(self.scale_factor, self.layers, img_size=self.crop, patch_size=self.patch)

    @property
    def decoder_width(self) -> int:
        """Half the encoder's, which for ViT-B are the 384 that MONAI and SelfMedMAE have."""
        return self.encoder.hidden_size // 2

    def __str__(self) -> str:
        encoder = self.encoder
        what = f"{self.net} {self.crop}³ / {self.patch}³, {encoder.hidden_size} x {encoder.num_layers}"
        return f"{what}, batch {self.batch}"


@dataclass(frozen=True)
class Step:
    """A model and what a step does with the batch; `run` returns the loss before it."""

    model: nn.Module
    run: Callable[[], Tensor]


def batch_of(task: Task) -> Tensor:
    """The crops (B, 1, X, Y, Z), in [0, 1]."""
    return torch.rand(task.batch, 1, *(task.crop,) * 3, generator=torch.Generator().manual_seed(0)).to(task.device)


def step_of(task: Task, who: str, images: Tensor) -> Step:
    """The step of one of `WHO`; weights are those of seed 0, and of UNETR the same for all."""
    torch.manual_seed(0)
    made: Step = (_mae if task.net == "mae" else _unetr)(task, who, images)
    return made


def _mae(task: Task, who: str, images: Tensor) -> Step:
    model, loss = _monai_mae(task, images) if who == "MONAI" else _our_mae(task, images, recompute="recompute" in who)
    optimizer = torch.optim.AdamW([one for one in model.parameters() if one.requires_grad], lr=1e-4, fused=True)

    def run() -> Tensor:
        value = loss()
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        return value.detach()

    return Step(model, run)


def _our_mae(task: Task, images: Tensor, *, recompute: bool) -> tuple[nn.Module, Callable[[], Tensor]]:
    mae = MaskedAutoencoder(MAEConfig(task.encoder, decoder_width=task.decoder_width, **DECODER)).to(task.device)
    mae.recompute = recompute
    generator = torch.Generator(task.device).manual_seed(0)
    return mae, lambda: mae(images, mae.draw_visible(len(images), generator))[0].mean()


def _monai_mae(task: Task, images: Tensor) -> tuple[nn.Module, Callable[[], Tensor]]:
    encoder = task.encoder
    mae = monai.networks.nets.MaskedAutoEncoderViT(
        1,
        encoder.img_size,
        encoder.patch_size,
        hidden_size=encoder.hidden_size,
        mlp_dim=encoder.mlp_dim,
        num_layers=encoder.num_layers,
        num_heads=encoder.num_heads,
        decoder_hidden_size=task.decoder_width,
        decoder_mlp_dim=4 * task.decoder_width,
        decoder_num_layers=DECODER["decoder_layers"],
        decoder_num_heads=DECODER["decoder_heads"],
    ).to(task.device)

    def loss() -> Tensor:
        prediction, hidden = mae(images)  # (B, N, P), (B, N)
        error = F.mse_loss(prediction, patchify(images, encoder.patch_size), reduction="none").mean(2)
        return ((error * hidden).sum(1) / hidden.sum(1)).mean()

    return mae, loss


def _unetr(task: Task, who: str, images: Tensor) -> Step:
    encoder = task.encoder
    sizes = {"hidden_size": encoder.hidden_size, "mlp_dim": encoder.mlp_dim, "num_heads": encoder.num_heads}
    ours = UNETR(encoder, out_channels=2)
    if who == "MONAI":
        model: nn.Module = monai.networks.nets.UNETR(1, 2, encoder.img_size, **sizes)
        model.load_state_dict(ours.state_dict(), strict=True)
    else:
        model = ours
        model.recompute = "recompute" in who
    model.to(task.device)

    def run() -> Tensor:
        value = model(images).square().mean()
        model.zero_grad()
        value.backward()
        return value.detach()

    return Step(model, run)


def peak() -> float:
    """The largest resident memory of this process so far, MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1000 for line in lines if line.startswith("VmHWM"))


def memory(task: Task, who: str) -> dict[str, Any]:
    """MB of this process before the model and its batch are there, and at most during two steps."""
    torch.set_num_threads(1)
    before = peak()
    step = step_of(task, who, batch_of(task))
    for _ in range(2):
        step.run()
    return {"before": before, "peak": peak()}


if __name__ == "__main__":
    print(json.dumps(memory(Task(**json.loads(sys.argv[1])), sys.argv[2])))
