"""One HTML page that shows a store to people: pictures, histograms, settings, and what was left out and why.

The page needs nothing else: pictures are data in it, there is no script, and its own content policy forbids the
browser to load anything. It holds no date and no path, so that the same store gives the same bytes, and no names
of sources where the store keeps none. Every text that came from a file is escaped. It follows the reader's light or
dark setting, and is as readable at 400 pixels.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from pathlib import Path

from mixio.inspection.gallery import gallery
from mixio.inspection.inspect import Inspection
from mixio.inspection.overview import amounts, axes, count, intensity, size
from mixio.inspection.sections import domain_section, quarantine_section, remarks_section, settings_section, table
from mixio.inspection.style import CSS, POLICY
from mixio.store import Store

Progress = Callable[[int, int], None]
"""Called after each domain with how many are drawn and how many there are."""

_GUIDE = (
    "Pictures are shown as a radiologist reads them: the patient’s right (R) is on the left of axial and coronal "
    "pictures, the front (A) on the left of sagittal ones. They go through the middle of the foreground, or where "
    "that shows none of a volume’s labels, through a place that does. Black and white are the ends of the window "
    "that training sees. The dashed frame is the foreground box, colored lines are the outlines of labels."
)


@dataclass(frozen=True)
class Unreadable:
    """A volume that could not be shown, and why."""

    volume: str
    reason: str


def write_page(
    store: Store, inspection: Inspection, path: Path, *, progress: Progress | None = None
) -> tuple[Unreadable, ...]:
    """Write the page in one rename; returns the sampled volumes that could not be read, which the page names too."""
    text, faults = page(store, inspection, progress=progress)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(text.encode("utf-8", "replace"))  # file names need not be UTF-8
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error
    return faults


def page(
    store: Store, inspection: Inspection, *, progress: Progress | None = None
) -> tuple[str, tuple[Unreadable, ...]]:
    """The page as text, and the sampled volumes that could not be read."""
    sections, faults = [], []
    for place, domain in enumerate(inspection.domains):
        shown = gallery(store, inspection.sample[domain.domain])
        faults += [Unreadable(one.row.name, one.fault) for one in shown.shown if one.fault]
        sections.append(domain_section(domain, shown, anchor=f"domain-{place + 1}"))
        if progress:
            progress(place + 1, len(inspection.domains))
    unreadable = [f"{fault.volume} cannot be shown: {fault.reason}" for fault in faults]
    body = [
        _header(inspection),
        remarks_section(inspection, unreadable),
        _table(inspection),
        f"<section><h2>Pictures</h2><p class='guide'>{escape(_GUIDE)}</p></section>",
        *sections,
        settings_section(inspection.settings),
        quarantine_section(inspection.quarantine, names=inspection.keeps_names),
    ]
    return _document(inspection.title, "\n".join(body)), tuple(faults)


def _document(title: str, body: str) -> str:
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>{escape(title)}</title>
<style>{CSS}</style>
</head>
<body>
{body}
</body>
</html>
"""


def _header(inspection: Inspection) -> str:
    stored = sum(domain.stored_bytes for domain in inspection.domains)
    facts = (
        (f"{inspection.volumes:,}", "volumes"),
        (f"{inspection.subjects:,}", "subjects"),
        (f"{len(inspection.domains):,}", "domains"),
        (size(stored), "stored"),
        (f"{inspection.quarantine.count:,}", "in quarantine"),
    )
    items = "".join(f"<div><dd>{value}</dd><dt>{name}</dt></div>" for value, name in facts)
    return f"<header><h1>{escape(inspection.title)}</h1><dl class='facts'>{items}</dl></header>"


def _table(inspection: Inspection) -> str:
    heads = ["domain", "volumes", "subjects", "train/val/test", "labelled", "voxels", "stored", "ratio"]
    heads += ["spacing in mm", "shape", "intensity"]
    rows = []
    for place, domain in enumerate(inspection.domains):
        link = f'<a href="#domain-{place + 1}">{escape(domain.domain)}</a>'
        stacked = (axes(domain.spacing_mm), axes(domain.shape), [intensity(one) for one in domain.intensity])
        name = f"{link}<br>{escape('/'.join(domain.modalities))}"
        rows.append([name, *map(escape, amounts(domain)), *("<br>".join(map(escape, lines)) for lines in stacked)])
    note = "Ratio is uncompressed to stored bytes. Spacing and shape are medians along x (to the patient’s right), "
    note += "y (to the front) and z (up), in brackets the least and the most."
    title = count(len(inspection.domains), "domain")
    return f"<section><h2>{title}</h2>{table(heads, rows, words=(0, 8, 9, 10))}<p class='note'>{note}</p></section>"
