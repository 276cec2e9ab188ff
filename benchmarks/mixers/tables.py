"""The answers as tables, each with what is aimed at; refusals are told below them in the libraries' own words."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.mixers.deviation import guaranteed
from benchmarks.mixers.trial import FAR, LEAST, POSITIONS, RANKED, RANKS, WAITING, WEIGHTS, WITH_SMALL

Answers = Mapping[str, Mapping[str, Any]]
"""By contestant."""


def tables(found: Mapping[str, Any]) -> str:
    """All of them; `found` has the answers to every question, by contestant, and what was measured of us alone."""
    made: list[Callable[[Answers], list[str]]] = [deviations, gaps, ranks, resumes, starts, elastics]
    names = ("deviation", "gap", "ranks", "resume", "start", "elastic")
    parts = [table(found[name]) for table, name in zip(made, names, strict=True) if found.get(name)]
    parts += [costs(found["costs"])] if found.get("costs") else []
    return "\n".join("\n".join(["", *part]) for part in parts)


def deviations(answers: Answers) -> list[str]:
    """By weights; the number of draws where it is not a million."""
    sets = {"six": "0.563 .337 .025x4", "four": ".013 .137 .25 .6", "64": "64 of Dirichlet(0.3)"}
    bounds = ", ".join(f"{guaranteed(len(WEIGHTS[one])):g}" for one in sets)
    title = f"Largest |count - n w| at window ends of 64; aim < 3 draws, guaranteed {bounds}"
    rows = {
        name: [_number(answer.get(one, answer), "largest", _draws(answer.get(one, {}))) for one in sets]
        for name, answer in answers.items()
    }
    return grid(title, list(sets.values()), rows, answers)


def gaps(answers: Answers) -> list[str]:
    """The smallest domain's longest wait."""
    title = (
        f"Longest wait for the domain of share {WITH_SMALL[0]} in {WAITING:,} draws, in units of 1/w, global batch 4; "
        "aim < 1.6"
    )
    rows = {name: [_number(answer, "ratio")] for name, answer in answers.items()}
    return grid(title, ["longest wait"], rows, answers)


def ranks(answers: Answers) -> list[str]:
    """The worst rank, and all together."""
    title = (
        f"Largest deviation from the shares in standard errors, of any of {RANKS} ranks (aim < 4) and of all together; "
        f"domains of {LEAST} draws a rank or more"
    )
    heads = [f"{one} {which}" for one in RANKED for which in ("rank", "all")]
    rows = {}
    for name, answer in answers.items():
        row = [_number(answer.get(one, answer), which) for one in RANKED for which in ("rank", "together")]
        each = next((answer[one]["each"] for one in RANKED if "each" in answer.get(one, {})), 0)
        rows[name] = [*row, f"{each:,}"]
    return grid(title, [*heads, "draws a rank"], rows, answers)


def resumes(answers: Answers) -> list[str]:
    """Milliseconds, and bytes."""
    title = "Milliseconds from a saved state to the first batch, and bytes of that state; aim < 1 ms, < 1024 bytes"
    places = [str(position) for position in (*POSITIONS, FAR)]
    heads = [f"at {int(place):.0e}" for place in places]
    heads += [f"bytes at {int(place):.0e}" for place in (places[0], places[2], places[3])] + ["1/10 volumes"]
    rows = {}
    for name, answer in answers.items():
        at = answer.get("positions", {})
        times = [_number(at.get(place, {}), "seconds", scale=1e3) for place in places]
        fewer = answer.get("bytes with a tenth of the volumes", {})
        bytes_ = [_number(one, "bytes") for one in (*(at.get(places[i], {}) for i in (0, 2, 3)), fewer)]
        rows[name] = [*times, *bytes_]
    return grid(title, heads, rows, answers)


def starts(answers: Answers) -> list[str]:
    """A long run."""
    title = "From nothing to the first batch of a run of 10^9 draws over 10^6 volumes, or of the longest that could be"
    rows = {
        name: [
            *(f"{answer[what]:.0e}" if what in answer else "-" for what in ("draws", "volumes")),
            _number(answer, "seconds"),
            _number(answer, "megabytes"),
        ]
        for name, answer in answers.items()
    }
    return grid(title, ["draws", "volumes", "seconds", "MB more"], rows, answers)


def elastics(answers: Answers) -> list[str]:
    """Yes, no, or a refusal."""
    title = "2 ranks x 2 workers stop and go on: are the global batches those of an uninterrupted run?"
    rows = {name: [_goes_on(answer, "same"), _goes_on(answer, "other")] for name, answer in answers.items()}
    return grid(title, ["2 x 2 again", "1 x 3"], rows, answers)


def costs(found: Mapping[str, Any]) -> list[str]:
    """What was measured of us alone, and look-ups."""
    lookups = {f"{weights} domains": one for weights, one in found["lookups"].items()}
    return [
        *_times("Microseconds a sample on one core, patches of 64; aim: added < 20", found["added"]),
        "",
        *_times(f"A look-up near draw {FAR:.0e}, microseconds", lookups),
    ]


def _times(title: str, found: Mapping[str, Mapping[str, float]]) -> list[str]:
    heads = list(dict.fromkeys(what for one in found.values() for what in one))
    rows = {name: [f"{one[head]:,.1f}" if head in one else "-" for head in heads] for name, one in found.items()}
    return grid(title, heads, rows)


def grid(
    title: str, heads: Sequence[str], rows: Mapping[str, Sequence[str]], answers: Answers | None = None
) -> list[str]:
    """Aligned columns under a title, then the refusals, each once a contestant."""
    widths = [max(len(head), *(len(row[i]) for row in rows.values())) for i, head in enumerate(heads)]
    first = max(map(len, rows))
    lines = [title]
    for name, row in {"": heads, **rows}.items():
        cells = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        lines.append("  ".join([name.ljust(first), *cells]))
    for name, answer in (answers or {}).items():
        lines += [f"{name}: {words}" for words in dict.fromkeys(_refusals(answer))]
    return lines


def _refusals(answer: Any) -> list[str]:
    if not isinstance(answer, Mapping):
        return []
    told = [f"{how.replace('_', ' ')}: {answer[how]}" for how in ("refused", "left_out") if how in answer]
    return told + [words for part in answer.values() for words in _refusals(part)]


def _number(answer: Mapping[str, Any], what: str, note: str = "", scale: float = 1.0) -> str:
    if what not in answer:
        return "refused" if "refused" in answer else "-"
    value = answer[what] * scale
    return (f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}") + note


def _draws(answer: Mapping[str, Any]) -> str:
    draws = answer.get("draws", 10**6)
    return "" if draws > 990_000 else f" (n={draws:,})"


def _goes_on(answer: Mapping[str, Any], which: str) -> str:
    part = answer.get(which, answer)
    return ("yes" if part["goes on"] else "no") if "goes on" in part else _number(part, "goes on")
