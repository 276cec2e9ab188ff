"""How the page of a store looks: its style sheet, and the policy that keeps a browser from loading anything."""

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

CSS = """
:root { color-scheme: light dark; --ink: #1c2127; --soft: #59636e; --paper: #fbfbfa; --card: #ffffff;
  --line: #dcdfe3; --accent: #0b63a5; --bar: #7f9db9; --mark: #b3470b; --warn: #fff4e0; --warn-line: #e0a030; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e7ea; --soft: #9aa5b1; --paper: #111417; --card: #191d22; --line: #2e353d;
    --accent: #6cb6f0; --bar: #5b7f9f; --mark: #f0985a; --warn: #2e2413; --warn-line: #8a6420; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 72rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 1rem; }
h2 { font-size: 1.25rem; margin: 2.8rem 0 .6rem; }
h3 { font-size: 1rem; margin: 1.6rem 0 .4rem; }
a { color: var(--accent); }
p { margin: .5rem 0; max-width: 46rem; }
.note, .guide, .tags { color: var(--soft); font-size: .92rem; }
.facts { display: flex; flex-wrap: wrap; gap: .6rem 2.2rem; margin: 0; }
.facts div { display: flex; flex-direction: column; }
.facts dd { margin: 0; font-size: 1.45rem; font-weight: 600; line-height: 1.2; font-variant-numeric: tabular-nums; }
.facts dt { color: var(--soft); font-size: .88rem; }
.remarks { border: 1px solid var(--warn-line); background: var(--warn); border-radius: 8px; padding: .7rem 1rem;
  margin: 1.6rem 0 0; }
.remarks.fine { border-color: var(--line); background: var(--card); }
.remarks h2 { font-size: 1rem; margin: 0; }
.remarks ul { margin: .3rem 0 0; padding-left: 1.2rem; }
.remarks p { margin: 0; max-width: none; }
/* a shade at the side where there is more: covers of the paper's color move with the table, the shades do not */
.scroll { overflow-x: auto; background:
  linear-gradient(90deg, var(--paper) 40%, transparent) left / 2.5rem 100% no-repeat local,
  linear-gradient(270deg, var(--paper) 40%, transparent) right / 2.5rem 100% no-repeat local,
  linear-gradient(90deg, var(--line), transparent) left / .8rem 100% no-repeat scroll,
  linear-gradient(270deg, var(--line), transparent) right / .8rem 100% no-repeat scroll; }
table { border-collapse: collapse; font-size: .86rem; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
th, td { padding: .4rem .55rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap;
  vertical-align: top; }
th { color: var(--soft); font-weight: 600; vertical-align: bottom; }
th:first-child, td:first-child { padding-left: 0; }
.w { text-align: left; }
.tags { margin: 0 0 .8rem; }
.legend { display: flex; flex-wrap: wrap; gap: .15rem .9rem; list-style: none; margin: 0 0 .8rem; padding: 0;
  font-size: .88rem; }
.legend i { display: inline-block; width: .8em; height: .8em; margin-right: .35em; border: 3px solid;
  background: #444; }
.gallery { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 242px), 1fr)); gap: 1rem;
  grid-auto-flow: dense; }
figure { margin: 0; background: var(--card); border: 1px solid var(--line); border-radius: 8px; overflow: hidden; }
.three { grid-column: 1 / -1; }
@media (min-width: 800px) { .three { grid-column: span 3; } }
.planes { display: flex; flex-wrap: wrap; gap: 6px; background: #000; justify-content: center; align-items: center;
  min-height: 240px; }
.three .planes { justify-content: space-evenly; }
img { display: block; max-width: 100%; height: auto; }
figcaption { padding: .5rem .7rem .6rem; font-size: .82rem; line-height: 1.4; color: var(--soft); }
figcaption b { color: var(--ink); font-weight: 600; }
.fault { padding: .8rem; font-size: .85rem; color: #ffb38a; align-self: center; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 17rem), 1fr)); gap: 1rem 1.6rem;
  margin: 1.2rem 0 0; }
.charts h3 { margin: 0 0 .2rem; font-size: .88rem; }
.charts p { margin: .1rem 0 0; font-size: .8rem; color: var(--soft); }
.chart { display: block; width: 100%; max-width: 26rem; height: auto; overflow: visible; }
.chart text { font: 10.5px system-ui, sans-serif; fill: var(--soft); }
.bar { fill: var(--bar); }
.line { stroke: var(--line); }
.mark { stroke: var(--mark); stroke-width: 1.5; }
.chart .said { fill: var(--mark); }
dl.settings { display: grid; grid-template-columns: minmax(0, max-content) minmax(6rem, 1fr);
  gap: .25rem 1.4rem; margin: 0; font-size: .92rem; }
.settings dt { color: var(--soft); }
.settings dd { margin: 0; }
details, .kind { border-bottom: 1px solid var(--line); padding: .45rem 0; margin: 0; max-width: none; }
summary { cursor: pointer; }
summary b { font-variant-numeric: tabular-nums; }
details ul { margin: .4rem 0 .2rem; padding-left: 1.4rem; font-size: .88rem; color: var(--soft); }
details li b { color: var(--ink); font-weight: 600; }
@media print { details > ul { display: block; } figure { break-inside: avoid; } }
"""
