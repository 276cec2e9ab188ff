"""One contestant, in a process of its own, which prints one line of JSON.

    python -m benchmarks.mixers.trial '{"name": "Grain mix", "asked": "gap", "folder": "...", "draws": 10000}'

What it delivers is read from its own streams, sample by sample. What a library refuses, it refuses in its own words.
"""

import base64
import json
import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.mixers.contract import Refused, Run, Stream, delivered, domains_of, global_batches
from benchmarks.mixers.deviation import longest_gap, standard_errors, window_deviations
from benchmarks.mixers.roster import Mixer, mixer
from benchmarks.usage import leave

WEIGHTS = {
    "six": (0.563, 0.337, 0.025, 0.025, 0.025, 0.025),
    "four": (0.013, 0.137, 0.25, 0.6),
    "64": tuple(np.random.default_rng(0).dirichlet([0.3] * 64).tolist()),
}
WITH_SMALL = (0.005, 0.02, 0.05, 0.125, 0.3, 0.5)
"""The smallest domain, 0.5 %, comes first."""
BATCH = 64
SMALL_BATCH = 4
WAITING = 100_000
"""Draws in which the longest wait is looked for; chance alone makes it longer in more of them."""
RANKS = 64
RANKED = ("six", "four")
LEAST = 25
"""Draws that a rank must expect of a domain to count among standard errors."""
POINTS = 60
POSITIONS = (1_000, 10_000, 100_000)
FAR = 10**12
REPEATS = 5
STEPS = 12
MEMORY = 8 * 2**30
REFUSALS = (Refused, ValueError, RuntimeError, AssertionError, LookupError, TypeError, ArithmeticError, AttributeError)


@dataclass(frozen=True)
class Question:
    """What is asked of whom; `draws` is 0 for as many as the roster says."""

    name: str
    asked: str
    folder: str
    draws: int = 0
    volumes: int = 100_000

    @property
    def who(self) -> Mixer:
        return mixer(self.name)

    def run(self, weights: Sequence[float], **options: Any) -> Run:
        options = {"volumes": self.volumes, "variant": self.who.variant, **options}
        return Run(self.folder, tuple(weights), **options)


def deviation(question: Question) -> dict[str, Any]:
    """The largest deviation at window ends, for every set of weights; and how it grows."""
    return {name: _or_refused(_deviation, question, weights) for name, weights in WEIGHTS.items()}


def _deviation(question: Question, weights: Sequence[float]) -> dict[str, Any]:
    steps = (question.draws or question.who.draws) // BATCH
    run = question.run(weights, draws=steps * BATCH, batch=BATCH)
    ends, off = window_deviations(domains_of(delivered(question.who.file.job(run), steps)).ravel(), weights)
    largest = np.maximum.accumulate(off)
    chosen = np.unique(np.geomspace(1, len(ends), POINTS).astype(int)) - 1
    curve = {"n": ends[chosen].tolist(), "largest": largest[chosen].tolist()}
    return {"draws": int(ends[-1]), "largest": float(largest[-1]), "curve": curve}


def gap(question: Question) -> dict[str, Any]:
    """The longest wait for the smallest domain, over the mean wait 1/w."""
    steps = (question.draws or WAITING) // SMALL_BATCH
    run = question.run(WITH_SMALL, draws=steps * SMALL_BATCH, batch=SMALL_BATCH)
    domains = domains_of(delivered(question.who.file.job(run), steps)).ravel()
    return {"draws": len(domains), "ratio": longest_gap(domains, 0) * WITH_SMALL[0]}


def ranks(question: Question) -> dict[str, Any]:
    """How far the worst of 64 ranks is from the shares, and how far all of them together are."""
    return {name: _or_refused(_ranks, question, WEIGHTS[name]) for name in RANKED}


def _ranks(question: Question, weights: Sequence[float]) -> dict[str, Any]:
    steps = question.draws // RANKS or question.who.each
    run = question.run(weights, draws=steps * RANKS, ranks=RANKS, batch=1)
    domains = domains_of(delivered(question.who.file.job(run), steps))[..., 0]
    least = min(LEAST, steps * max(weights))
    rank, together = (standard_errors(one, weights, least) for one in (domains, domains.reshape(1, -1)))
    return {"each": steps, "rank": rank, "together": together}


def resume(question: Question) -> dict[str, Any]:
    """Seconds from a saved state to the first batch by position, and the bytes of that state."""
    far = (FAR,) if hasattr(question.who.file, "state_at") else ()
    places = {position: _or_refused(_resumed, question, position) for position in (*POSITIONS, *far)}
    fewer = _or_refused(_saved, replace(question, volumes=question.volumes // 10), POSITIONS[0])
    return {"positions": places, "bytes with a tenth of the volumes": fewer}


def _saved(question: Question, position: int) -> dict[str, Any]:
    state = _state_at(question.who, _resumable(question), position)
    return {"bytes": state_bytes(state)}


def _resumed(question: Question, position: int) -> dict[str, Any]:
    who, run = question.who, _resumable(question)
    state = _state_at(who, run, position)
    seconds = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        stream = _reopened(who, run, state)
        next(stream)
        seconds.append(time.perf_counter() - began)
        del stream
    return {"seconds": median(seconds), "bytes": state_bytes(state)}


def _resumable(question: Question) -> Run:
    far = hasattr(question.who.file, "state_at")
    draws = 2 * FAR if far else POSITIONS[-1] * 11 // 10
    return question.run(WEIGHTS["six"], draws=draws, batch=SMALL_BATCH)


def _state_at(who: Mixer, run: Run, position: int) -> Any:
    if hasattr(who.file, "state_at"):
        return who.file.state_at(run, position)
    (stream,) = who.file.job(run)
    delivered([stream], position // run.batch)
    return stream.state()


def _reopened(who: Mixer, run: Run, state: Any) -> Stream:
    if hasattr(who.file, "reopened"):
        return who.file.reopened(run, state)
    return who.file.job(run, [state])[0]


def state_bytes(state: Any) -> int:
    """As JSON; what JSON has no form for, tensors and bytes, in base64."""
    return len(json.dumps(state, default=_plain))


def _plain(value: Any) -> Any:
    raw = value if isinstance(value, bytes) else np.asarray(value).tobytes()
    return base64.b64encode(raw).decode()


def start(question: Question) -> dict[str, Any]:
    """Seconds and memory from nothing but the imports to the first batch of a long run."""
    file = question.who.file
    run = question.run(WEIGHTS["six"], draws=question.draws, batch=SMALL_BATCH)
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before, began = _kilobytes("VmRSS"), time.perf_counter()
    next(_reopened(question.who, run, None) if hasattr(file, "reopened") else file.job(run)[0])
    return {"seconds": time.perf_counter() - began, "megabytes": (_kilobytes("VmHWM") - before) / 1e3}


def prepare(question: Question) -> dict[str, Any]:
    """Writes what `start` needs."""
    if hasattr(question.who.file, "prepare"):
        question.who.file.prepare(question.run(WEIGHTS["six"], draws=question.draws, batch=SMALL_BATCH))
    return {}


def _kilobytes(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


def elastic(question: Question) -> dict[str, Any]:
    """Whether a job of 2 ranks with 2 workers each goes on as if nothing had been, as it was and with other numbers."""
    first = question.run(WEIGHTS["six"], draws=STEPS * 40, ranks=2, batch=2, workers=2)
    other = replace(first, ranks=1, batch=4, workers=3)
    streams = question.who.file.job(first)
    delivered(streams, STEPS)
    saved = _or_refused(lambda: {"states": [stream.state() for stream in streams]})
    whole = global_batches(delivered(question.who.file.job(first), 2 * STEPS))[STEPS:]
    if "refused" in saved:
        return {"same": saved, "other": saved}
    asked = {"same": first, "other": other}
    return {name: _or_refused(_goes_on, question.who, run, saved["states"], whole) for name, run in asked.items()}


def _goes_on(who: Mixer, run: Run, states: Sequence[Any], whole: Any) -> dict[str, Any]:
    after = global_batches(delivered(who.file.job(run, states), STEPS))
    return {"goes on": bool((np.sort(after, axis=1) == np.sort(whole, axis=1)).all())}


def _or_refused(ask: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    try:
        return ask(*arguments)
    except REFUSALS as error:
        words = str(error).strip().partition("\n")[0]
        return {"refused": words if isinstance(error, Refused) else f"{type(error).__name__}: {words}"[:200]}


ASKED: dict[str, Callable[[Question], dict[str, Any]]] = {
    "deviation": deviation,
    "gap": gap,
    "ranks": ranks,
    "resume": resume,
    "prepare": prepare,
    "start": start,
    "elastic": elastic,
}


def answer(question: Question) -> dict[str, Any]:
    """The answer, or why there is none."""
    try:
        return _or_refused(ASKED[question.asked], question)
    except ModuleNotFoundError as error:
        return {"left_out": f"{error.name} is not installed"}
    except MemoryError:
        return {"refused": f"more than {MEMORY >> 30} GiB"}


if __name__ == "__main__":
    print("\n" + json.dumps(answer(Question(**json.loads(sys.argv[1])))), flush=True)
    leave()
