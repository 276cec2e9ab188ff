"""An inspection as tables for a terminal: two of them, each narrow enough for 80 columns.

How much there is comes first; then what it is like, with one line per axis x, y, z. A pipe gets the same text,
80 columns wide.
"""

from collections.abc import Iterator

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mixio.inspection.inspect import Inspection
from mixio.inspection.tally import Domain, Flagged, Intensity, Spread

_KINDS = 5
_UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def print_inspection(inspection: Inspection, console: Console) -> None:
    """Print the tables, then what there is to look at."""
    volumes = count(inspection.volumes, "volume")
    console.print(Text(f"{inspection.store}: {volumes} of {count(inspection.subjects, 'subject')}"), soft_wrap=True)
    console.print(_amounts(inspection))
    console.print(_kinds(inspection))
    for line in remarks(inspection):
        console.print(Text(line), soft_wrap=not console.is_terminal)


def remarks(inspection: Inspection) -> Iterator[str]:
    """A line for each thing that somebody should look at."""
    quarantine = inspection.quarantine
    if quarantine.count:
        yield f"quarantined: {count(quarantine.count, 'source')}"
        for kind in quarantine.kinds[:_KINDS]:
            yield f"  {kind.count} × {kind.reason[:160]}"
        if len(quarantine.kinds) > _KINDS:
            yield f"  and {len(quarantine.kinds) - _KINDS} more kinds of reason"
    if quarantine.unreadable:
        yield f"quarantine: {count(quarantine.unreadable, 'line')} cannot be read"
    for domain in inspection.domains:
        yield from (f"{domain.domain}: {line}" for line in flags(domain))


def flags(domain: Domain) -> Iterator[str]:
    """Which volumes of a domain are oblique, are in no known unit, or held NaN or infinities."""
    if domain.oblique.count:
        volumes = count(domain.oblique.count, "volume")
        yield f"{volumes} oblique to the body axes, by up to {number(domain.oblique.worst)}° ({named(domain.oblique)})"
    if domain.unitless.count:
        volumes = count(domain.unitless.count, "volume")
        yield f"{volumes} in no known unit, so without a window of the modality ({named(domain.unitless)})"
    if domain.flat.count:
        volumes = count(domain.flat.count, "volume")
        yield f"{volumes} blank to training, the ends of the window are equal ({named(domain.flat)})"
    if domain.nonfinite.count:
        voxels = count(int(domain.nonfinite.total), "NaN or infinite voxel")
        yield f"{voxels} replaced in {count(domain.nonfinite.count, 'volume')} ({named(domain.nonfinite)})"


def named(flagged: Flagged) -> str:
    """The first few of the volumes, without their domain."""
    keys = [name.partition("/")[2] for name in flagged.names[:3]]
    return ", ".join(keys) + (", …" if flagged.count > len(keys) else "")


def _amounts(inspection: Inspection) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_footer=len(inspection.domains) > 1)
    raw, stored = _sum(inspection, "raw_bytes"), _sum(inspection, "stored_bytes")
    totals = ["all", f"{inspection.volumes:,}", f"{inspection.subjects:,}", "", f"{_sum(inspection, 'labelled'):,}"]
    totals += [short(_sum(inspection, "voxels")), size(stored), f"{raw / stored if stored else 0:.1f}"]
    heads = ("domain", "volumes", "subjects", "train/\nval/test", "labelled", "voxels", "stored", "ratio")
    for head, total in zip(heads, totals, strict=True):
        is_name = head == "domain"
        table.add_column(
            head,
            footer=total,
            justify="left" if is_name else "right",
            overflow="fold",
            no_wrap=not is_name,
            vertical="top",
        )
    for domain in inspection.domains:
        table.add_row(Text(domain.domain), *amounts(domain))
    return table


def amounts(domain: Domain) -> list[str]:
    """Volumes, subjects, splits, labelled, voxels, stored bytes and compression ratio of a domain."""
    splits = "/".join(f"{domain.splits[split]:,}" for split in ("train", "val", "test"))
    counts = [f"{domain.volumes:,}", f"{domain.subjects:,}", splits, f"{domain.labelled:,}"]
    return [*counts, short(domain.voxels), size(domain.stored_bytes), f"{domain.compression_ratio:.1f}"]


def _kinds(inspection: Inspection) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for head in ("domain", "modality", "spacing mm", "shape", "intensity"):
        table.add_column(head, overflow="fold", no_wrap=head in ("spacing mm", "shape"))
    for domain in inspection.domains:
        spacing, shape = "\n".join(axes(domain.spacing_mm)), "\n".join(axes(domain.shape))
        ranges = "\n".join(intensity(one) for one in domain.intensity)
        table.add_row(*map(Text, (domain.domain, "/".join(domain.modalities), spacing, shape, ranges)))
    return table


def axes(spread: Spread) -> list[str]:
    """A line for each axis: its median, and in brackets its range where it has one."""
    lines = []
    for axis, median, low, high in zip("xyz", spread.median, spread.low, spread.high, strict=True):
        reach = f" ({number(low)}–{number(high)})" if number(low) != number(high) else ""
        lines.append(f"{axis} {number(median)}{reach}")
    return lines


def intensity(one: Intensity) -> str:
    """The range of real values with its unit."""
    unit = one.unit or "(no\u00a0unit)"
    return f"{number(one.low)} to {number(one.high)} {unit}"


def number(value: float) -> str:
    """Three digits, and all those of a whole number below a million."""
    if value == int(value) and abs(value) < 1e6:
        return f"{int(value)}".replace("-", "−")
    digits = f"{value:.3g}" if abs(value) < 1000 or abs(value) >= 1e6 else f"{value:.0f}"
    return digits.replace("-", "−")


def count(amount: int, noun: str) -> str:
    """`1 volume`, `2,000 volumes`."""
    return f"{amount:,} {noun}{'' if amount == 1 else 's'}"


def short(amount: float) -> str:
    """`1.2 M`."""
    for factor, prefix in _UNITS:
        if amount >= factor:
            return f"{amount / factor:.3g} {prefix}"
    return f"{amount:.0f}"


def size(nbytes: float) -> str:
    """`1.2 MB`."""
    return f"{short(nbytes)}B" if nbytes >= 1000 else f"{nbytes:.0f} B"


def _sum(inspection: Inspection, what: str) -> int:
    return sum(getattr(domain, what) for domain in inspection.domains)
