"""The figures of a run for TensorBoard, if that is installed.

    python -m tools.train store --mixture uniform --tensorboard boards
    tensorboard --logdir boards

Curves are over draws, so that runs of other batch sizes lie on one axis.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mixio.errors import require


class Board:
    """Writes the events of one run into a folder; nothing is shown of a run that goes on after the draw `start`."""

    def __init__(self, folder: Path, *, start: int = 0) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter  # here, for it is optional and slow to load
        except ImportError as error:
            raise require("tensorboard", "train") from error
        self._writer = SummaryWriter(str(folder), purge_step=start + 1 if start else None)

    def told(self, event: Mapping[str, Any], summary: Mapping[str, Any]) -> None:
        """Add a step event and the summary of the ledger at that step."""
        figures = {name: event[name] for name in ("loss", "lr")}
        figures |= {f"held-out loss/{domain}": loss for domain, loss in event.get("held_out", {}).items()}
        figures["patches per second"] = event["draw"] / event["seconds"]
        figures["waiting for data"] = event["waiting"] / event["seconds"]
        for domain, of in summary["domains"].items():
            figures |= {f"share/{domain}": of["share"], f"planned share/{domain}": of["intended"]}
        self._add(figures, event["draw"])

    def result(self, loss: Mapping[str, float], draw: int) -> None:
        """Add the held-out losses at the end."""
        self._add({f"held-out loss/{domain}": value for domain, value in loss.items()}, draw)

    def _add(self, figures: Mapping[str, float], draw: int) -> None:
        for name, value in figures.items():
            self._writer.add_scalar(name, value, draw)
        self._writer.flush()

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()
