"""Weights of domains from a file: an allocation.json, or what other tools write where that is a plain list of weights.

Known are JSON, {"ct": 3, "mri": 1}, also under "train_domain_weights" as DoReMi saves it; a JSON list of pairs, or of
objects that name a domain and its weight; a CSV or TSV table with such columns; and the weight-and-name pairs of
Megatron's --data-path, "0.75 ct 0.25 mri". Weights are made to sum to 1, but for those of an allocation, which do.
"""

import csv
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mixio.allocation import LARGEST, Allocation
from mixio.errors import AllocationError, brief

_NAMES = ("domain", "name", "dataset", "path")
_WEIGHTS = ("weight", "share", "proportion", "probability", "ratio")


def read_allocation(path: str | os.PathLike[str]) -> Allocation:
    """The shares that a file gives; `AllocationError` names it and what is wrong with it."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, TypeError, UnicodeDecodeError) as error:
        raise AllocationError(f"cannot read {path} as shares: {error}") from error
    try:
        document = json.loads(text, object_pairs_hook=_Object)
    except (ValueError, RecursionError):
        return Allocation(_normalised(path, _pairs_of_text(text)))
    if isinstance(document, Mapping) and "schema_version" in document:
        return Allocation.load(path)
    return Allocation(_normalised(path, _pairs_of_json(document)))


class _Object(dict[str, Any]):
    """A JSON object that remembers names which come twice."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.pairs = pairs


def _pairs_of_json(document: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(document, Mapping):
        document = document.get("train_domain_weights", document)
        if isinstance(document, Mapping) and isinstance(document.get("shares"), Mapping):
            raise ValueError('it has "shares" but no "schema_version": 1, which an allocation.json has; add that')
    if isinstance(document, _Object):
        yield from document.pairs
    elif isinstance(document, list):
        for entry in document:
            yield _entry(entry) if isinstance(entry, Mapping) else tuple(entry)
    else:
        raise ValueError("it holds neither an object nor a list")


def _entry(entry: Mapping[str, Any]) -> tuple[Any, Any]:
    """The name and the weight of an object or of a row of a table."""
    names, weights = ([key for key in known if key in entry] for known in (_NAMES, _WEIGHTS))
    if not names or not weights:
        raise ValueError(f"{dict(entry)} has none of {_NAMES}, or none of {_WEIGHTS}")
    return entry[names[0]], entry[weights[0]]


def _pairs_of_text(text: str) -> Iterator[tuple[Any, Any]]:
    lines = [line for line in text.splitlines() if line.strip()]
    if any(mark in text for mark in ",;\t"):
        mark = next((mark for mark in "\t;" if mark in lines[0]), ",")
        yield from map(_entry, csv.DictReader(lines, delimiter=mark))
    else:
        words = text.split()
        yield from zip(words[1::2], words[::2], strict=True)


def _normalised(path: str | os.PathLike[str], pairs: Iterable[tuple[Any, Any]]) -> dict[str, float]:
    weights: dict[str, float] = {}
    try:
        for name, weight in pairs:
            if not isinstance(name, str) or name in weights:
                raise ValueError(f"{name!r} is no name, or is there twice")
            weights[name] = _weight(name, weight)
        total = math.fsum(weights.values())
        if not 0 < total < math.inf:
            raise ValueError(f"the weights of {sorted(weights)} sum to {total}")
    except (TypeError, ValueError) as error:
        raise AllocationError(
            f'{path} is no list of weights: {error}; give an allocation.json, {{"domain": weight}} as JSON, a table '
            'with the columns domain and weight, or pairs "weight domain"'
        ) from error
    return {name: weight / total for name, weight in weights.items()}


def _weight(name: str, weight: Any) -> float:
    if isinstance(weight, str):
        weight = float(weight)
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < LARGEST:
        raise ValueError(f"the weight of {name!r} is {brief(weight)}")
    return float(weight)
