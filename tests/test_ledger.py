import json

import numpy as np
import pytest

from mixio.ledger import Ledger
from mixio.mixture import Mixture


def batch(domains, keys, valid, size=4):
    image = np.zeros((len(domains), 1, size, size, size), np.float32)
    return {"domain": domains, "key": keys, "valid": np.array(valid), "image": image}


WHOLE = [[0, 0, 0], [4, 4, 4]]
HALF = [[0, 0, 1], [4, 4, 3]]


def test_it_counts_draws_passes_volumes_and_padding():
    ledger = Ledger(Mixture({"ct": 0.75, "pet": 0.25}), volumes={"ct": 2, "pet": 10})
    ledger.observe(batch(["ct", "pet"], ["one", "one"], [WHOLE, HALF]))
    ledger.observe(batch(["ct", "ct"], ["one", "two"], [WHOLE, WHOLE]))
    summary = ledger.summary()
    assert summary["draws"] == 4
    assert summary["padded"] == pytest.approx(32 / 256)
    assert summary["domains"] == {
        "ct": {"draws": 3, "share": 0.75, "intended": 0.75, "passes": 1.5, "volumes_seen": 2, "replaced": 0},
        "pet": {"draws": 1, "share": 0.25, "intended": 0.25, "passes": 0.1, "volumes_seen": 1, "replaced": 0},
    }
    assert summary["damaged"] == []
    assert json.loads(json.dumps(summary)) == summary


def test_over_whole_windows_it_finds_what_the_mixture_promised():
    mixture = Mixture({"ct": 0.7, "mr": 0.2, "pet": 0.1})
    ledger = Ledger(mixture)
    for start in range(0, 640, 8):
        ledger.observe({"domain": [mixture.locate(g)[0] for g in range(start, start + 8)]})
    assert {domain: counts["draws"] for domain, counts in ledger.summary()["domains"].items()} == {
        "ct": 448,
        "mr": 128,
        "pet": 64,
    }


def test_a_domain_outside_the_mixture_shows_up():
    ledger = Ledger(Mixture({"ct": 1.0}))
    ledger.observe({"domain": ["ct", "stray"]})
    assert ledger.summary()["domains"]["stray"]["intended"] == 0
    assert ledger.summary()["domains"]["stray"]["draws"] == 1


def test_its_line_is_one_line():
    ledger = Ledger(Mixture({"ct": 0.5, "mr": 0.5}), volumes={"ct": 2})
    assert ledger.line() == "0 draws, 0.0% padding | ct 0.00% of 50.00% x0 | mr 0.00% of 50.00%"
    ledger.observe({"domain": ["ct", "ct", "ct", "mr"]})
    assert ledger.line() == "4 draws, 0.0% padding | ct 75.00% of 50.00% x1.5 | mr 25.00% of 50.00%"


def test_replaced_draws_are_counted_by_domain_and_the_damaged_volumes_named():
    ledger = Ledger(Mixture({"ct": 0.5, "mr": 0.5}))
    ledger.observe({"domain": ["ct", "mr", "ct"], "key": ["b", "x", "b"], "fault": ["ct/a", "", "ct/c"]})
    ledger.observe({"domain": ["ct", "mr"], "key": ["b", "y"], "fault": ["ct/a", "mr/x"]})
    summary = ledger.summary()
    assert {domain: counts["replaced"] for domain, counts in summary["domains"].items()} == {"ct": 3, "mr": 1}
    assert summary["damaged"] == ["ct/a", "ct/c", "mr/x"]
    assert summary["domains"]["ct"]["draws"] == 3
    line = "ct 60.00% of 50.00%, 3 replaced | mr 40.00% of 50.00%, 1 replaced | damaged: ct/a, ct/c, mr/x"
    assert ledger.line().endswith(line)


def test_a_line_names_five_damaged_volumes_and_counts_the_rest():
    ledger = Ledger(Mixture({"ct": 1.0}))
    ledger.observe({"domain": ["ct"] * 7, "fault": [f"ct/{n}" for n in range(7)]})
    assert ledger.line().endswith("damaged: ct/0, ct/1, ct/2, ct/3, ct/4 and 2 more")
