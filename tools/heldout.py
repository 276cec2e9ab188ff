"""The held-out loss of every domain, on the same crops under the same masks whatever the run.

The crops are the first draws of each domain's `val` volumes under a fixed seed, and the visible tokens a
function of each draw: neither depends on the run's seed, shares, batch size or device. So losses of any two
runs of one crop and token size on one store can be compared, and the noise of the choice of crops is common
to them. All crops are kept in memory: 64 of 96³ voxels are 0.2 GiB a domain.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import default_collate

from mixio.dataset import MixtureDataset
from mixio.errors import InvalidArgument
from mixio.mixture import Mixture
from mixio.store import Store
from models.mae_dense import Autoencoder

SEED = 20_260_101
FOREGROUND = 0.2
BATCH = 16


@dataclass(frozen=True)
class HeldOut:
    """Per domain, batches of crops: `image` (B, 1, X, Y, Z), `valid` (B, 2, 3), `seed` (B,)."""

    batches: dict[str, list[dict[str, Tensor]]]

    @classmethod
    def read(cls, store: Store, *, patch_size: int, crops: int = 64) -> "HeldOut":
        """Read `crops` crops of each domain of the store, each of which must have `val` volumes."""
        require_held_out(store)
        return cls({domain: _batches(store, domain, patch_size, crops) for domain in store.domains})

    @torch.no_grad()
    def losses(self, mae: Autoencoder) -> dict[str, float]:
        """The mean loss of each domain's crops, in float32, on the device of `mae`; leaves `mae` as it
        was.
        """
        device = mae.mask_token.device
        result = {}
        for domain, batches in self.batches.items():
            losses = [
                mae(
                    batch["image"].to(device),
                    visible_tokens(mae, batch["seed"].tolist()).to(device),
                    batch["valid"].to(device),
                )[0]
                for batch in batches
            ]
            result[domain] = torch.cat(losses).double().mean().item()
        return result


def require_held_out(store: Store) -> None:
    """Refuse a store of which a domain has no `val` volumes."""
    if bare := [domain for domain in store.domains if not store.names(domain, "val")]:
        raise InvalidArgument(
            f"no held-out volumes (split val) in {', '.join(bare)}: convert again with another "
            "--val-fraction or --split-seed, or name the splits in a `split` column of the sources"
        )


def visible_tokens(mae: Autoencoder, seeds: Sequence[int]) -> Tensor:
    """The tokens that are visible in the draws with these seeds, (B, K), on the CPU."""
    generator = torch.Generator()
    return torch.cat([mae.draw_visible(1, generator.manual_seed(seed)) for seed in seeds])


def _batches(store: Store, domain: str, patch_size: int, crops: int) -> list[dict[str, Tensor]]:
    dataset = MixtureDataset(
        store,
        Mixture({domain: 1.0}, seed=SEED),
        patch_size=patch_size,
        seed=SEED,
        split="val",
        foreground=FOREGROUND,
    )
    numbers = range(crops)
    return [default_collate([dataset[g] for g in numbers[first : first + BATCH]]) for first in range(0, crops, BATCH)]
