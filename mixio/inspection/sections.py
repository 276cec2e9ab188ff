"""The parts of a store's page as HTML: a domain with its pictures and histograms, remarks, settings, quarantine.

Every function escapes the texts that it is given; `table` alone takes cells that are HTML already.
"""

import base64
from collections.abc import Collection, Mapping, Sequence
from html import escape
from math import log
from typing import Any

from mixio.inspection.charts import Ticks, by_axis, histogram
from mixio.inspection.faults import Kind, Quarantine
from mixio.inspection.gallery import Gallery, Shown, position
from mixio.inspection.inspect import Inspection
from mixio.inspection.overview import count, flags, number
from mixio.inspection.pictures import COLORS, Picture
from mixio.inspection.slices import Slice
from mixio.inspection.tally import Domain, Spread

_KINDS = 50
_TEXT = 300
_LEGEND = 24


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, words: Collection[int] = (0,)) -> str:
    """A table of HTML cells in a box that scrolls; the columns `words` are set to the left, numbers to the right."""
    classes = [' class="w"' if column in words else "" for column in range(len(heads))]
    head = "".join(f"<th{kind}>{escape(text)}</th>" for kind, text in zip(classes, heads, strict=True))
    body = "".join(
        f"<tr>{''.join(f'<td{kind}>{cell}</td>' for kind, cell in zip(classes, row, strict=True))}</tr>" for row in rows
    )
    return f'<div class="scroll" tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def remarks_section(inspection: Inspection, unreadable: Sequence[str]) -> str:
    """What somebody should look at, or that there is nothing."""
    lines = list(unreadable)
    quarantine = inspection.quarantine
    if quarantine.count:
        lines.append(f"{count(quarantine.count, 'source')} in quarantine, not in the store; the reasons are below")
    if quarantine.unreadable:
        lines.append(f"{count(quarantine.unreadable, 'line')} of the quarantine list cannot be read")
    lines += [f"{domain.domain}: {line}" for domain in inspection.domains for line in flags(domain)]
    if not lines:
        fine = "Nothing stands out: no source in quarantine, no oblique volume, no NaN or infinite voxel."
        return f'<section class="remarks fine"><p>{fine}</p></section>'
    items = "".join(f"<li>{escape(_clip(line))}</li>" for line in lines)
    return f'<section class="remarks"><h2>To look at</h2><ul>{items}</ul></section>'


def domain_section(domain: Domain, gallery: Gallery, *, anchor: str) -> str:
    """A domain: what it is in a line, its pictures, its histograms."""
    window = f"window {_window(domain.window, domain.intensity[0].unit)}" if domain.window else "a window each"
    tags = ["/".join(domain.modalities), count(domain.volumes, "volume"), window]
    tags += [f"foreground {domain.foreground_fraction:.0%}", f"stored as {', '.join(domain.dtypes)}"]
    figures = "".join(_figure(shown, each=domain.window is None) for shown in gallery.shown)
    return (
        f'<section id="{anchor}"><h2>{escape(domain.domain)}</h2><p class="tags">{escape(" · ".join(tags))}</p>'
        f'{_legend(gallery)}<div class="gallery">{figures}</div><div class="charts">{_charts(domain, gallery)}</div>'
        "</section>"
    )


def _figure(shown: Shown, *, each: bool) -> str:
    row = shown.row
    pictures = "".join(_image(*pair, row.name) for pair in zip(shown.slices, shown.pictures, strict=True))
    if shown.fault:
        pictures = f'<p class="fault">cannot be shown: {escape(_clip(shown.fault))}</p>'
    spacing = " × ".join(number(mm) for mm in row.spacing)
    facts = [", ".join(position(one) for one in shown.slices), f"{' × '.join(map(str, row.shape))} voxels"]
    facts += [f"{spacing} mm", row.split + (f", window {_window(shown.window, row.unit)}" if each else "")]
    facts += [f"{name}: not in this plane" for name in row.labels if shown.slices and not _shows(shown, name)]
    lines = "<br>".join(escape(fact) for fact in facts if fact)
    kind = "volume three" if len(shown.slices) > 1 else "volume"
    caption = f"<figcaption><b>{escape(row.key)}</b><br>{lines}</figcaption>"
    return f'<figure class="{kind}"><div class="planes">{pictures}</div>{caption}</figure>'


def _shows(shown: Shown, label: str) -> bool:
    return any(name == label for one in shown.slices for name, _ in one.values)


def _image(plane: Slice, picture: Picture, name: str) -> str:
    drawn = f", {count(len(plane.values), 'label')} outlined" if plane.values else ""
    alt = escape(f"{position(plane)} of {name}{drawn}")
    data = base64.b64encode(picture.png).decode()
    return f'<img alt="{alt}" width="{picture.width}" height="{picture.height}" src="data:image/png;base64,{data}">'


def _legend(gallery: Gallery) -> str:
    """The colors of the labels; the first of them where there are many."""
    maps = {name for name, _ in gallery.colors}
    items = []
    for (name, value), color in list(gallery.colors.items())[:_LEGEND]:
        text = f"{name} {value}" if len(maps) == 1 or value != 1 else name
        items.append(f'<li><i style="border-color: {COLORS[color]}"></i>{escape(_clip(text))}</li>')
    if len(gallery.colors) > _LEGEND:
        items.append(f"<li>and {len(gallery.colors) - _LEGEND} more</li>")
    if len(gallery.colors) > len(COLORS):
        items.append(f"<li>(colors repeat after {len(COLORS)})</li>")
    return f'<ul class="legend">{"".join(items)}</ul>' if items else ""


def _charts(domain: Domain, gallery: Gallery) -> str:
    if domain.window:
        low, high = domain.window
        at = (0.0, 0.25, 0.5, 0.75, 1.0)
        ticks = Ticks(at, tuple(number(low + part * (high - low)) for part in at))
    else:
        ticks = Ticks((0.0, 0.5, 1.0), ("low end", "each volume’s window", "high end"))
    unit = f" in {domain.intensity[0].unit}" if domain.window and domain.intensity[0].unit else ""
    title = f"Intensity{unit}, axial slices shown"
    marks = Ticks(domain.marks, ("5 %", "50 %", "95 %"))
    below, *inside, above = gallery.intensities
    note = f"Without background; {below:.1%} lie below the window, {above:.1%} above. Lines: percentiles of the "
    note += f"foreground, median of {'all ' if domain.volumes > 1 else ''}{count(domain.volumes, 'volume')}."
    return "".join(
        (
            _chart(title, histogram(inside, ticks, title=title, marks=marks), note),
            _spread("Spacing in mm", domain.spacing_mm, domain.volumes),
            _spread("Shape in voxels", domain.shape, domain.volumes),
        )
    )


def _spread(title: str, spread: Spread, volumes: int) -> str:
    low, high = spread.edges[0], spread.edges[-1]
    medians = [log(value / low) / log(high / low) for value in spread.median]
    if len(spread.edges) == 2:
        ticks = Ticks((0.5,), (number((low * high) ** 0.5),))
    else:
        at = (0.0, 0.25, 0.5, 0.75, 1.0)
        ticks = Ticks(at, tuple(number(low * (high / low) ** part) for part in at))
    of_all = f"{title}, {count(volumes, 'volume')}"
    return _chart(title, by_axis(spread.counts, medians, ticks, title=of_all), "All volumes. Line: the median.")


def _chart(title: str, svg: str, note: str) -> str:
    return f"<div><h3>{escape(title)}</h3>{svg}<p>{escape(note)}</p></div>"


def settings_section(settings: Mapping[str, Any]) -> str:
    """The settings that the store was made with."""
    items = "".join(
        f"<dt>{escape(_clip(str(name)).replace('_', ' '))}</dt><dd>{escape(_clip(_said(value)))}</dd>"
        for name, value in sorted(settings.items())
    )
    return f'<section><h2>Settings</h2><dl class="settings">{items}</dl></section>'


def _said(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    return ", ".join(map(_said, value)) if isinstance(value, list | tuple) else str(value)


def quarantine_section(quarantine: Quarantine, *, names: bool) -> str:
    """The sources that were left out, by kind of reason; which they are only with `names`."""
    if not quarantine.count:
        return "<section><h2>Quarantine</h2><p>Every source was converted.</p></section>"
    write = _kind if names else _nameless
    kinds = "".join(write(kind) for kind in quarantine.kinds[:_KINDS])
    left = len(quarantine.kinds) - _KINDS
    more = f'<p class="note">and {count(left, "more kind")} of reason, in quarantine.jsonl</p>' if left > 0 else ""
    told = f"Left out, for they could not be trusted: {count(quarantine.count, 'source')}."
    told += "" if names else " The store keeps no names; quarantine.jsonl says which they are."
    return f"<section><h2>Quarantine</h2><p>{told}</p>{kinds}{more}</section>"


def _nameless(kind: Kind) -> str:
    return f'<p class="kind"><b>{kind.count:,}</b> × {escape(_clip(kind.reason))}</p>'


def _kind(kind: Kind) -> str:
    items = "".join(
        f"<li><b>{escape(_clip(example.source))}</b>: {escape(_clip(example.reason))}</li>" for example in kind.examples
    )
    left = kind.count - len(kind.examples)
    more = f"<li>and {left:,} more, in quarantine.jsonl</li>" if left > 0 else ""
    head = f"<summary><b>{kind.count:,}</b> × {escape(_clip(kind.reason))}</summary>"
    return f"<details>{head}<ul>{items}{more}</ul></details>"


def _window(window: tuple[float, float], unit: str | None) -> str:
    return f"{number(window[0])} to {number(window[1])} {unit or ''}".strip()


def _clip(text: str) -> str:
    return text if len(text) <= _TEXT else text[: _TEXT - 1] + "…"
