"""How much of a GPU the sparse autoencoder uses: its matrix products a second beside the card's own rate.

The model is ViT-B on 96³ crops in patches of 16³, under bfloat16 autocast, compiled. The card's rate is that of a plain
bfloat16 product of two square matrices, measured in turn with the steps. Counted are the products that the model needs,
forward and backward, and nothing else: no norms, no GELU, no softmax, no optimizer, no product done twice.
"""

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import click
import torch

from benchmarks.model_steps import Task, batch_of
from models.mae import MAEConfig, MaskedAutoencoder

SIDE, PRODUCTS, STEPS = 8192, 20, 10
BATCHES = (64, 256)


def forward_flops(config: MAEConfig) -> int:
    """Floating-point operations of the matrix products for one image, two for a multiplication and its addition.

    A linear layer from m to n has 2mn a token; attention among N tokens of width E has 4N²E, for scores and for sums.
    """
    encoder, visible, every = config.encoder, config.num_visible, config.encoder.num_patches
    width, decoder = encoder.hidden_size, config.decoder_width
    return (
        embedding_flops(config)
        + encoder.num_layers * _block_flops(visible, width, encoder.mlp_dim)
        + 2 * visible * width * decoder
        + config.decoder_layers * _block_flops(every, decoder, 4 * decoder)
        + 2 * every * decoder * encoder.patch_voxels
    )


def embedding_flops(config: MAEConfig) -> int:
    """Those of the patch embedding."""
    return 2 * config.num_visible * config.encoder.patch_voxels * config.encoder.hidden_size


def step_flops(config: MAEConfig) -> int:
    """Forward and backward, which needs twice as many, but for the gradient of the image, which nobody needs."""
    return 3 * forward_flops(config) - embedding_flops(config)


def _block_flops(tokens: int, width: int, mlp_dim: int) -> int:
    return 2 * tokens * (4 * width**2 + 2 * width * mlp_dim) + 4 * tokens**2 * width


def gpu_rows(rounds: int) -> list[dict[str, Any]]:
    """Every batch size measured and told; none without a GPU, which is told too."""
    if not torch.cuda.is_available():
        click.echo("left out, no GPU")
        return []
    found = []
    for batch in BATCHES:
        task = Task("mae", crop=96, patch=16, scale_factor=1, batch=batch, device="cuda")
        found.append(_measured(task, rounds))
        one = found[-1]
        click.echo(f"{task!s:<40} {one['patches']:>9.0f} {one['rate'] / 1e12:>8.0f} {one['share']:>15.0%}")
    return found


def _measured(task: Task, rounds: int) -> dict[str, Any]:
    """Medians over the rounds: patches a second, operations a second, the card's, and the share of it."""
    config = MAEConfig(task.encoder, decoder_width=task.decoder_width)
    step, product = _step(task, config), _product()
    turns = []
    for _ in range(rounds):
        card = 2 * SIDE**3 * PRODUCTS / _seconds(product, PRODUCTS)
        patches = task.batch * STEPS / _seconds(step, STEPS)
        turns.append((patches, patches * step_flops(config), card))
    patches, rate, card = (median(values) for values in zip(*turns, strict=True))
    share = median(rate / card for _, rate, card in turns)
    figures = {"batch": task.batch, "patches": patches, "rate": rate, "card": card, "share": share}
    return {**figures, "name": torch.cuda.get_device_name(), "megabytes": torch.cuda.max_memory_allocated() / 1e6}


def _step(task: Task, config: MAEConfig) -> Callable[[], None]:
    torch.manual_seed(0)
    mae = MaskedAutoencoder(config).to(task.device)
    compiled = torch.compile(mae)
    optimizer = torch.optim.AdamW([one for one in mae.parameters() if one.requires_grad], lr=1e-4, fused=True)
    generator, images = torch.Generator(task.device).manual_seed(0), batch_of(task)

    def step() -> None:
        visible = mae.draw_visible(task.batch, generator)
        with torch.autocast(task.device, dtype=torch.bfloat16):
            loss = compiled(images, visible)[0].mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    for _ in range(3):
        step()
    return step


def _product() -> Callable[[], None]:
    left, right = (torch.randn(SIDE, SIDE, device="cuda", dtype=torch.bfloat16) for _ in range(2))

    def product() -> None:
        torch.mm(left, right)

    product()
    return product


def _seconds(run: Callable[[], None], times: int) -> float:
    """Of so many runs, once the GPU is done with all."""
    torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(times):
        run()
    torch.cuda.synchronize()
    return time.perf_counter() - began
