"""One HTML page that needs nothing else: pictures as data, no script, font or address from outside.

Plain semantic HTML that a phone, a printer and a screen reader can use. It follows the reader's light or dark
setting, wide tables scroll inside their own box, and every text that came from a file is escaped. A browser that
heeds `POLICY` loads nothing else, whatever stands in the page.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"

CSS = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #57606a; --paper: #ffffff; --line: #d8dee4;
        --accent: #0072b2; --warn: #9a4a00; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ec; --soft: #9aa4af; --paper: #14181d; --line: #343b44; --accent: #5fb3e4; --warn: #f0a860; }
}
* { box-sizing: border-box; }
h1, h2 { text-wrap: balance; }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 46rem; background: var(--paper); color: var(--ink);
       font: 1rem/1.55 system-ui, sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .5rem; }
h2 { font-size: 1.2rem; margin: 2.5rem 0 .5rem; }
h3 { font-size: 1rem; margin: 1.4rem 0 .4rem; }
figure { margin: 0; }
img { display: block; width: 100%; height: auto; background: #fff; border: 1px solid var(--line);
      border-radius: 6px; }
figcaption, footer { color: var(--soft); font-size: .92rem; }
figcaption { margin-top: .6rem; }
.scroll { overflow-x: auto; margin: .8rem 0; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .7rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
thead th { color: var(--soft); font-weight: 600; white-space: normal; vertical-align: bottom; }
.slide, .bars li { display: grid; gap: .8rem; align-items: center; }
.slide { grid-template-columns: 4rem minmax(0, 1fr) 7.5rem; margin: .4rem 0; }
.slide input { width: 100%; accent-color: var(--accent); }
output { font-variant-numeric: tabular-nums; text-align: right; }
.note { color: var(--soft); }
.note.far { color: var(--warn); }
.bars { list-style: none; margin: 0; padding: 0; }
.bars li { grid-template-columns: minmax(0, 8.5rem) minmax(0, 1fr) 4rem; }
.bars li > :last-child { text-align: right; font-variant-numeric: tabular-nums; }
.track { position: relative; height: .9rem; background: var(--line); border-radius: 3px; }
.track i { display: block; height: 100%; background: var(--accent); border-radius: 3px; }
.track b { position: absolute; top: -.15rem; bottom: -.15rem; width: 2px; background: var(--ink); }
button { font: inherit; padding: .3rem .8rem; }
a { color: var(--accent); }
nav ul { columns: 16rem; padding-left: 1.2rem; }
footer { margin-top: 3rem; border-top: 1px solid var(--line); padding-top: 1rem; }
"""


@dataclass(frozen=True)
class Section:
    """A headed part of the page; `body` is HTML."""

    anchor: str
    title: str
    body: str


def paragraph(text: str) -> str:
    """Text as one paragraph."""
    return f"<p>{escape(text)}</p>"


def picture(png: bytes, *, alt: str, caption: str) -> str:
    """A PNG with a caption; `alt` says what a reader who cannot see it should know."""
    data = base64.b64encode(png).decode()
    return (
        f'<figure><img alt="{escape(alt)}" src="data:image/png;base64,{data}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table that scrolls sideways in a box of its own; the first column names the row."""
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in header)
    lines = (
        f'<tr><th scope="row">{escape(row[0])}</th>' + "".join(f"<td>{escape(cell)}</td>" for cell in row[1:]) + "</tr>"
        for row in rows
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="table"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def page(title: str, lead: str, sections: Sequence[Section], footer: str) -> str:
    """The whole page; `title`, `lead` and `footer` are text."""
    parts = "\n".join(
        f'<section id="{each.anchor}">\n<h2>{escape(each.title)}</h2>\n{each.body}\n</section>' for each in sections
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{CSS}</style>
</head>
<body>
<main>
<h1>{escape(title)}</h1>
{paragraph(lead)}
{_contents(sections)}
{parts}
</main>
<footer>{paragraph(footer)}</footer>
</body>
</html>
"""


def _contents(sections: Sequence[Section]) -> str:
    """Links to the sections."""
    links = "".join(f'<li><a href="#{each.anchor}">{escape(each.title)}</a></li>' for each in sections)
    return f"<nav><details><summary>Contents</summary><ul>{links}</ul></details></nav>"


def percent(part: float | None, digits: int = 1) -> str:
    """A part as percent, a dash for None."""
    return "–" if part is None else f"{100 * part:.{digits}f} %"
