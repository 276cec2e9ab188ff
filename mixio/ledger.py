"""What was really delivered: draws, passes and padding per domain, counted where batches are consumed.

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
        self._seen: dict[str, set[str]] = {}

    def observe(self, batch: Mapping[str, Any]) -> None:
        """Count a collated batch: `domain` and, where it has them, `key`, `image` and `valid` (B, 2, 3)."""
        domains = list(batch["domain"])
        self.draws.update(domains)
        for domain, key in zip(domains, batch.get("key", ()), strict=False):
            self._seen.setdefault(domain, set()).add(key)
        if "valid" in batch and "image" in batch:
            valid = np.array(batch["valid"].tolist())
            inside = int((valid[:, 1] - valid[:, 0]).clip(0).prod(axis=1).sum())  # (B, 3) -> voxels
            total = len(domains) * math.prod(batch["image"].shape[-3:])
            self.voxels += total
            self.padded += total - inside

    def summary(self) -> dict[str, Any]:
        """All counts as plain values; `padded` is the share of voxels outside their volumes."""
        total = self.draws.total()
        return {
            "draws": total,
            "padded": self.padded / max(self.voxels, 1),
            "domains": {
                domain: {
                    "draws": self.draws[domain],
                    "share": self.draws[domain] / max(total, 1),
                    "intended": self.mixture.shares.get(domain, 0.0),
                    "passes": self._passes(domain),
                    "volumes_seen": len(self._seen.get(domain, ())),
                }
                for domain in sorted({*self.mixture.domains, *self.draws})
            },
        }

    def line(self) -> str:
        """One line for a log: draws, padding; per domain the share, what it should be, and the passes."""
        summary = self.summary()
        parts = [f"{summary['draws']} draws, {summary['padded']:.1%} padding"]
        for domain, counts in summary["domains"].items():
            passes = "" if counts["passes"] is None else f" x{counts['passes']:.2g}"
            parts.append(f"{domain} {counts['share']:.2%} of {counts['intended']:.2%}{passes}")
        return " | ".join(parts)

    def _passes(self, domain: str) -> float | None:
        volumes = self.volumes.get(domain)
        return self.draws[domain] / volumes if volumes else None
