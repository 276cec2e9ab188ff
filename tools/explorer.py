"""The part of a report that solves in the page: sliders for budget and floor over the fitted laws.

The laws go into the page as JSON (see `tools.portable`), with `solver.js`, which finds what tools.solve does, and
`explorer.js`, which shows it. Both lie beside this module and are written into the page, so that it still is one file.
"""

import json
from collections.abc import Mapping
from math import log2
from pathlib import Path
from typing import Any

from tools.evidence import Evidence
from tools.page import Section, paragraph
from tools.portable import portable
from tools.problem import RANGE, Problem

SCRIPTS = ("solver.js", "explorer.js")
STOPS = 120
"""Steps of a slider from one end to the other; that of the budget goes by its logarithm."""
TITLE = "The best mixture at other budgets and floors"

_PANEL = """<noscript><p>The sliders need JavaScript; everything else on this page does not.</p></noscript>
<div id="explorer-panel" hidden>
<p class="slide"><label for="explorer-budget">Budget</label>
<input type="range" id="explorer-budget" min="0" max="{stops}" step="1">
<output id="explorer-budget-value" for="explorer-budget"></output></p>
<p class="slide"><label for="explorer-floor">Floor</label>
<input type="range" id="explorer-floor" min="0" max="{stops}" step="1">
<output id="explorer-floor-value" for="explorer-floor"></output></p>
<p id="explorer-note" class="note" role="status"></p>
<h3>Shares</h3>
<ul id="explorer-shares" class="bars"></ul>
<h3>Predicted losses, ×10⁻³</h3>
<div class="scroll" tabindex="0" role="region" aria-label="predicted losses"><table>
<thead><tr><th scope="col">domain</th><th scope="col">best</th><th scope="col">uniform</th>
<th scope="col">change</th></tr></thead>
<tbody id="explorer-losses"></tbody></table></div>
<p><button type="button" id="explorer-reset">Back to the plan</button></p>
</div>
"""


def explorer(evidence: Evidence, problem: Problem) -> Section:
    """Sliders, shares and losses; a sentence where the form cannot be solved in the page."""
    laws = portable(evidence.laws)
    if laws is None:
        text = f"Not shown: laws of the form {evidence.laws.form} are solved by tools.allocate alone."
        return Section("explorer", TITLE, paragraph(text))
    if problem.terms.minimax or problem.robust:
        made = "the largest loss small" if problem.terms.minimax else "the mean over the bootstrap’s laws small"
        text = f"Not shown: the plan makes {made}, and the page solves for means under the fitted laws."
        return Section("explorer", TITLE, paragraph(text))
    lead = paragraph(
        "Move a slider and the mixture is solved again, here in the page, from the fitted laws. The tick on a bar is "
        "the uniform mixture’s share; the floor is the least that any domain gets. The last row is the mean that is "
        "made as low as can be, with the plan’s weights and caps (those at the plan’s budget) where it has any."
    )
    low, high = min(evidence.laws.data["budgets"]), max(evidence.laws.data["budgets"])
    caps = [float(cap) if cap < 1 else None for cap in problem.terms.high]
    asked = log2(problem.budget / high)
    model = {
        **laws,
        "weights": problem.terms.weight.tolist(),
        "caps": caps,
        "budget": problem.budget,
        "floor": problem.floor,
        "highest": problem.highest,
        "smallest": low,
        "largest": high,
        "range": {"least": min(log2(RANGE[0]), asked), "most": max(log2(RANGE[1]), asked)},
    }
    return Section("explorer", TITLE, lead + _PANEL.format(stops=STOPS) + _scripts(model))


def as_script(content: Mapping[str, Any]) -> str:
    """JSON that may stand inside a script element whatever texts it holds: no `<` and so no end tag or comment."""
    return json.dumps(content, allow_nan=False).replace("<", "\\u003c")


def _scripts(model: Mapping[str, Any]) -> str:
    code = "\n".join(Path(__file__).with_name(name).read_text(encoding="utf-8") for name in SCRIPTS)
    return (
        f'<script type="application/json" id="explorer-laws">{as_script(model)}</script>\n<script>\n{code}</script>\n'
    )
