"""What ranks hold, gathered by real processes."""

import json
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch

import mixio
from mixio.errors import MixtureDriftError
from mixio.ranks import of_all_ranks
from tests.test_dataset import of_lists, of_run

WORLD, BATCH, TOTAL = 2, 3, 240


def rank_of_a_run(rank: int, folder: Path) -> None:
    """Observe this rank's half of a run, check and save it with the others; rank 1 then loses a batch."""
    torch.distributed.init_process_group("gloo", f"file://{folder}/meeting", rank=rank, world_size=WORLD)
    dataset = of_lists()
    ledger = mixio.Ledger(dataset.mixture)
    for batch in torch.utils.data.DataLoader(dataset, BATCH, sampler=of_run(dataset, rank, WORLD, BATCH, TOTAL)):
        ledger.observe({"domain": batch["domain"], "draw": batch["draw"]})
        if len(set(of_all_ranks(ledger.draws.total()))) != 1:
            raise AssertionError("the ranks are not in step")
    run = ledger.gathered()
    run.check(TOTAL)
    (folder / f"{rank}.json").write_text(json.dumps(run.state_dict()))
    if rank == 1:
        ledger.load_state_dict(mixio.Ledger(dataset.mixture).state_dict())
    try:
        ledger.gathered().check(TOTAL)
    except MixtureDriftError as error:
        (folder / f"{rank}.txt").write_text(str(error))
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_every_rank_has_the_ledger_of_the_run_and_the_error_of_one_is_that_of_all(tmp_path):
    ranks = [get_context("spawn").Process(target=rank_of_a_run, args=(rank, tmp_path)) for rank in range(WORLD)]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(120)
    assert [process.exitcode for process in ranks] == [0, 0]
    states = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(WORLD)]
    assert states[0] == states[1]
    errors = [(tmp_path / f"{rank}.txt").read_text() for rank in range(WORLD)]
    assert errors[0] == errors[1]
    assert "120 draws, 1/2 of the plan's, were never counted: a rank that is missing" in errors[0]
    dataset = of_lists()
    alone = mixio.Ledger(dataset.mixture)
    alone.observe({"domain": [dataset.mixture.locate(g)[0] for g in range(TOTAL)], "draw": range(TOTAL)})
    assert alone.state_dict() == states[0]


def test_a_process_alone_has_its_own():
    assert of_all_ranks("mine") == ["mine"]
    ledger = mixio.Ledger(mixio.Mixture({"ct": 1.0}))
    ledger.observe({"domain": ["ct"] * 4, "draw": [0, 1, 2, 3]})
    run = ledger.gathered()
    run.check(4)
    ledger.observe({"domain": ["ct"], "draw": [4]})
    assert run.draws.total() == 4
