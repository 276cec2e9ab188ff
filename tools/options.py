"""What a training run can be told, once: the fields of two dataclasses are also the flags of the commands.

A field with a `help` is a flag of that name, with the field's default. Fields in `EXECUTION` change how a run
is executed, not what it learns, so they are not part of its recorded settings.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import click
import torch

from mixio.errors import InvalidArgument
from models.mae import MAEConfig
from models.mae_dense import DenseMAEConfig, autoencoder
from models.unetr import UNETR_PATCH
from models.vit import BASE_HEADS, BASE_WIDTH, ViTConfig
from tools.flags import flag, is_given, name_of, option_of

EXECUTION = {
    *("device", "workers", "threads", "on_fault", "eval_every", "log_every"),
    *("accumulate", "precision", "compile", "recompute"),
}
PRECISIONS = ("auto", "float32", "bfloat16")


@dataclass(frozen=True)
class ModelOptions:
    """The autoencoder. The defaults are tiny, for two CPU cores; 96, 16, 768, 12, 12 are the sizes of a
    ViT-B.
    """

    patch_size: int = flag(16, "Edge of a crop, in voxels.")
    token_size: int = flag(4, "Edge of a token, in voxels.")
    width: int = flag(96, "Width of the encoder; without learned positions a multiple of 6.")
    layers: int = flag(3, "Blocks of the encoder.")
    heads: int = flag(4, "Attention heads of the encoder.")
    decoder_width: int = flag(96, "Width of the decoder; without learned positions a multiple of 6.")
    decoder_layers: int = flag(1, "Blocks of the decoder.")
    decoder_heads: int = flag(4, "Attention heads of the decoder.")
    mask_ratio: float = flag(0.75, "Share of the tokens that are hidden.")
    norm_target: bool = flag(False, "Predict each token's voxels normalized by their mean and deviation.")
    learned_positions: bool = flag(False, "Train the position embeddings; else they are fixed sines and cosines.")
    dense: bool = flag(False, "Blot hidden tokens out, and fill them in by a whole UNETR; tokens of 16 voxels.")
    features: int = flag(16, "Width of a dense one's convolutions at full resolution.")

    def __post_init__(self) -> None:
        crop, token = self.patch_size, self.token_size
        if self.dense and token != UNETR_PATCH[0]:
            raise InvalidArgument(f"--dense needs --token-size {UNETR_PATCH[0]}, got {token}: UNETR has no others")
        if token > 0 and crop % token:
            nearest = " or ".join(str(token * count) for count in (crop // token, crop // token + 1) if count)
            raise InvalidArgument(f"--patch-size {crop} must be a multiple of --token-size {token}: {nearest}")
        try:
            with torch.device("meta"):  # shapes only: whatever cannot be built is refused here
                autoencoder(self.config)
        except ValueError as error:
            raise InvalidArgument(f"no such model: {error}") from error

    def recorded(self) -> dict[str, Any]:
        """The fields that this kind of model has; what came later is left out where it is not asked for, so that runs
        from before are of the same model.
        """
        unused = {"decoder_width", "decoder_layers", "decoder_heads"} if self.dense else {"dense", "features"}
        if not self.learned_positions:
            unused |= {"learned_positions"}
        return {name: value for name, value in asdict(self).items() if name not in unused}

    @property
    def config(self) -> MAEConfig | DenseMAEConfig:
        """The same, in the words of the models."""
        encoder = ViTConfig(
            img_size=self.patch_size,
            patch_size=self.token_size,
            hidden_size=self.width,
            num_layers=self.layers,
            num_heads=self.heads,
            mlp_dim=4 * self.width,
            learned_positions=self.learned_positions,
        )
        masking = {"mask_ratio": self.mask_ratio, "norm_target": self.norm_target}
        if self.dense:
            return DenseMAEConfig(encoder, self.features, **masking)
        return MAEConfig(
            encoder,
            decoder_width=self.decoder_width,
            decoder_layers=self.decoder_layers,
            decoder_heads=self.decoder_heads,
            **masking,
        )


@dataclass(frozen=True)
class TrainOptions:
    """One training run, apart from its data. `seed` decides the draws, the masks and the initial weights."""

    run: str = "run"
    strategy: str | None = None
    model: ModelOptions = field(default_factory=ModelOptions)
    draws: int = flag(4096, "Patches to train on, a multiple of the batch size.")
    seed: int = flag(0, "Of the draws, the masks and the initial weights.")
    batch_size: int = flag(8, "Patches that are computed together, by each process.")
    accumulate: int = flag(1, "Batches of each process whose gradients are added up for one step.")
    learning_rate: float = flag(2e-3, "Peak learning rate of AdamW.")
    weight_decay: float = flag(0.05, "Weight decay; biases and norms have none.")
    warmup: float = flag(0.1, "Share of the steps in which the learning rate rises.")
    clip: float = flag(1.0, "Largest norm of the gradient.")
    ema: float = flag(0.0, "Decay of the average of the weights that is measured and saved in their place; 0: none.")
    foreground: float = flag(0.2, "Share of foreground asked of a crop.")
    eval_crops: int = flag(64, "Held-out crops of each domain.")
    eval_every: int = flag(0, "Also measure the held-out losses every so many steps; 0: at the end only.")
    log_every: int = flag(20, "Steps between two lines of the log.")
    workers: int = flag(0, "Processes that read patches, through a DataLoader; 0: threads of this one.")
    threads: int = flag(0, "Threads that read patches when there are no workers; 0: one for each processor.")
    on_fault: str = flag("raise", "Damaged bytes: raise stops the run, replace draws another volume of the domain.")
    device: str = flag("auto", "cpu, cuda, cuda:1, mps; auto takes a GPU if there is one.")
    precision: str = flag("auto", "float32 or bfloat16, of the steps; auto: bfloat16 on CUDA, float32 elsewhere.")
    compile: bool = flag(False, "Compile the model: a slow start, then faster steps.")
    recompute: bool = flag(False, "Compute the insides of blocks again in the backward pass: less memory, slower.")

    def __post_init__(self) -> None:
        if self.batch_size < 1 or self.accumulate < 1:
            raise InvalidArgument(
                f"batch_size and accumulate must be at least 1, got {self.batch_size} and {self.accumulate}"
            )
        self.steps_of(1)
        if not 0 <= self.warmup < 1:
            raise InvalidArgument(f"warmup must be at least 0 and below 1, got {self.warmup}")
        if self.on_fault not in ("raise", "replace"):
            raise InvalidArgument(f"on_fault must be raise or replace, got {self.on_fault}")
        if self.precision not in PRECISIONS:
            raise InvalidArgument(f"precision must be one of {', '.join(PRECISIONS)}, got {self.precision}")
        if not 0 <= self.ema < 1:
            raise InvalidArgument(f"ema must be at least 0 and below 1, got {self.ema}")
        for name, lowest in (
            ("eval_crops", 1),
            ("log_every", 1),
            ("eval_every", 0),
            ("workers", 0),
            ("threads", 0),
            ("weight_decay", 0),
        ):
            if not lowest <= getattr(self, name) < math.inf:
                raise InvalidArgument(f"{name} must be at least {lowest}, got {getattr(self, name)}")
        for name in ("learning_rate", "clip"):
            if not 0 < getattr(self, name) < math.inf:
                raise InvalidArgument(f"{name} must be positive, got {getattr(self, name)}")

    def global_batch(self, world_size: int) -> int:
        """Patches of an optimizer step of so many processes."""
        return self.batch_size * self.accumulate * world_size

    def steps_of(self, world_size: int) -> int:
        """Optimizer steps; refuses draws that do not fill the last one."""
        size = self.global_batch(world_size)
        if self.draws < 1 or self.draws % size:
            parts = f"batch_size {self.batch_size}"
            parts += f" x accumulate {self.accumulate}" if self.accumulate > 1 else ""
            parts += f" x {world_size} processes" if world_size > 1 else ""
            raise InvalidArgument(f"draws must be a positive multiple of {parts}, got {self.draws}")
        return self.draws // size

    def recorded(self, world_size: int = 1) -> dict[str, Any]:
        """The settings that decide what is learned, as the config of a run log holds them.

        Its `batch_size` is that of a whole step: how it is split between processes changes nothing.
        """
        training = {**asdict(self), "batch_size": self.global_batch(world_size)}
        identity = {name: training.pop(name) for name in ("run", "strategy", "draws", "seed")}
        identity["model"] = self.model.recorded()
        del training["model"]
        return {**identity, "training": {name: training[name] for name in training if name not in EXECUTION}}


def training_flags(*, without: tuple[str, ...] = ()) -> Callable[[Any], Any]:
    """Decorate a click command with a flag for every field, those in `without` excepted."""

    def decorate(function: Any) -> Any:
        for one in reversed([*fields(TrainOptions), *fields(ModelOptions)]):
            if "help" in one.metadata and one.name not in without:
                function = option_of(one)(function)
        return _scale_factor(function)

    return decorate


_scale_factor = click.option(
    "--scale-factor",
    type=click.FloatRange(min=0, min_open=True),
    help=f"Width as a part of ViT-B's {BASE_WIDTH}, with {BASE_HEADS} heads; in place of --width and --heads.",
)


def _scaled(flags: Mapping[str, Any]) -> dict[str, Any]:
    """The same with the width and heads that a scale factor stands for; both are an `InvalidArgument`."""
    factor, rest = flags.get("scale_factor"), {name: value for name, value in flags.items() if name != "scale_factor"}
    if factor is None:
        return rest
    if both := [name for name in ("width", "heads") if is_given(name)]:
        raise InvalidArgument(f"--scale-factor says the width and the heads, and so does --{both[0]}; give one of them")
    try:
        encoder = ViTConfig.scaled(factor)
    except ValueError as error:
        raise InvalidArgument(str(error)) from error
    return {**rest, "width": encoder.hidden_size, "heads": encoder.num_heads}


def options_from(flags: Mapping[str, Any], *, run: str = "run", strategy: str | None = None) -> TrainOptions:
    """The options that the values of `training_flags` stand for."""
    names = {one.name for one in fields(ModelOptions)}
    flags = _scaled(flags)
    model = ModelOptions(**{name: value for name, value in flags.items() if name in names})
    training = {name: value for name, value in flags.items() if name not in names}
    return TrainOptions(run=run, strategy=strategy, model=model, **training)


def flags_of(options: TrainOptions) -> list[str]:
    """The words of a command line that `options_from` makes these options of, defaults left out."""
    words = []
    for part in (options, options.model):
        for one in fields(part):
            value = getattr(part, one.name)
            if "help" in one.metadata and value != one.default:
                words += [name_of(one)] if isinstance(value, bool) else [name_of(one), str(value)]
    return words
