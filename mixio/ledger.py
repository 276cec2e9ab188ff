"""What was really delivered: draws, passes, padding and faults per domain, counted where batches are consumed.

The mixture is exact by construction; the ledger is the check by somebody who only sees the batches. It
counts what it is shown: with several ranks, one rank's part, whose shares stray a little from the whole's.
It duck-types its batches, so it needs neither torch nor the data set.
"""

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from mixio.mixture import Mixture

_NAMED = 5
"""Damaged volumes that a line names."""


class Ledger:
    """Counts consumed batches against a mixture.

    `volumes` is the number of volumes per domain, where known; it turns draws into passes over them.
    """

    def __init__(self, mixture: Mixture, volumes: Mapping[str, int] | None = None) -> None:
        self.mixture = mixture
        self.volumes = dict(volumes or {})
        self.draws: Counter[str] = Counter()
        self.voxels = 0
        self.padded = 0
        self.replaced: Counter[str] = Counter()
        """Draws of each domain whose own volume was damaged."""
        self.damaged: set[str] = set()
        """Names of those volumes."""
        self._seen: dict[str, set[str]] = {}

    def observe(self, batch: Mapping[str, Any]) -> None:
        """Count a collated batch: `domain` and, where it has them, `key`, `fault`, `image` and `valid` (B, 2, 3)."""
        domains = list(batch["domain"])
        self.draws.update(domains)
        for domain, key in zip(domains, batch.get("key", ()), strict=False):
            self._seen.setdefault(domain, set()).add(key)
        for domain, fault in zip(domains, batch.get("fault", ()), strict=False):
            if fault:
                self.replaced[domain] += 1
                self.damaged.add(fault)
        if "valid" in batch and "image" in batch:
            valid = np.array(batch["valid"].tolist())
            inside = int((valid[:, 1] - valid[:, 0]).clip(0).prod(axis=1).sum())  # (B, 3) -> voxels
            total = len(domains) * math.prod(batch["image"].shape[-3:])
            self.voxels += total
            self.padded += total - inside

    def summary(self) -> dict[str, Any]:
        """All counts as plain values; `padded` is the share of voxels outside their volumes.

        `damaged` names the volumes that draws were meant for and could not be read from; `replaced` counts those
        draws, which are among the `draws` of their domain.
        """
        total = self.draws.total()
        return {
            "draws": total,
            "padded": self.padded / max(self.voxels, 1),
            "damaged": sorted(self.damaged),
            "domains": {
                domain: {
                    "draws": self.draws[domain],
                    "share": self.draws[domain] / max(total, 1),
                    "intended": self.mixture.shares.get(domain, 0.0),
                    "passes": self._passes(domain),
                    "volumes_seen": len(self._seen.get(domain, ())),
                    "replaced": self.replaced[domain],
                }
                for domain in sorted({*self.mixture.domains, *self.draws})
            },
        }

    def line(self) -> str:
        """One line for a log: draws, padding; per domain the share, what it should be, and the passes.

        Where draws were replaced, also how many of each domain, and the damaged volumes.
        """
        summary = self.summary()
        parts = [f"{summary['draws']} draws, {summary['padded']:.1%} padding"]
        for domain, counts in summary["domains"].items():
            passes = "" if counts["passes"] is None else f" x{counts['passes']:.2g}"
            replaced = f", {counts['replaced']} replaced" if counts["replaced"] else ""
            parts.append(f"{domain} {counts['share']:.2%} of {counts['intended']:.2%}{passes}{replaced}")
        if names := summary["damaged"]:
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            parts.append(f"damaged: {', '.join(names[:_NAMED])}{more}")
        return " | ".join(parts)

    def _passes(self, domain: str) -> float | None:
        volumes = self.volumes.get(domain)
        return self.draws[domain] / volumes if volumes else None
