"""Small labelled volumes as NIfTI, and checkpoints that fit them."""

import csv
from pathlib import Path

import numpy as np

from models.checkpoint import save_checkpoint
from models.mae import MAEConfig, MaskedAutoencoder
from models.vit import ViTConfig
from tests.conftest import write_nifti

ENCODER = ViTConfig(img_size=32, patch_size=16, hidden_size=12, num_layers=4, num_heads=2, mlp_dim=24)
SHAPE = (30, 36, 28)


def shell_and_core(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A bright core in a grey shell on a dark, noisy ground, (X, Y, Z) float32, and its label map."""
    rng = np.random.default_rng(seed)
    grid = np.indices(SHAPE).transpose(1, 2, 3, 0) - np.array(SHAPE) / 2 - rng.uniform(-3, 3, 3)
    radius = np.sqrt((grid**2).sum(-1))
    label = (radius < 11).astype(np.uint8) + (radius < 6)
    image = np.array([100, 500, 900])[label] + rng.normal(0, 20, SHAPE)
    return image.astype(np.float32), label.astype(np.uint8)


def write_pairs(folder: Path, count: int = 8) -> Path:
    """A folder with images/ and labels/."""
    for number in range(count):
        image, label = shell_and_core(number)
        write_nifti(folder / "images" / f"case_{number}.nii.gz", image)
        write_nifti(folder / "labels" / f"case_{number}.nii.gz", label)
    return folder


def write_table(path: Path, rows: list[dict[str, str]]) -> Path:
    """A CSV with a column for every key."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, sorted({key for row in rows for key in row}))
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_classes(folder: Path, count: int = 12) -> Path:
    """A table of volumes that are rough in one class and smooth in the other."""
    rows = []
    for number in range(count):
        rough = number % 2
        voxels = np.random.default_rng(number).normal(500, 200 if rough else 20, (24, 20, 22)).astype(np.float32)
        write_nifti(folder / f"{number}.nii.gz", voxels)
        split = "val" if number >= count // 2 else "train"
        rows.append({"image": f"{number}.nii.gz", "class": ("smooth", "rough")[rough], "split": split})
    return write_table(folder / "cases.csv", rows)


def write_checkpoint(path: Path, encoder: ViTConfig = ENCODER) -> Path:
    """An untrained autoencoder, as `tools.train` saves it."""
    save_checkpoint(path, MaskedAutoencoder(MAEConfig(encoder, decoder_width=12, decoder_layers=1, decoder_heads=2)))
    return path
