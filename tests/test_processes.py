"""Real processes: workers however they are started, killed, forked in the middle, ended in the middle."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest
import torch
from torch.utils.data import DataLoader

import mixio
from mixio.store import open_store
from tests.test_dataset import SHARES, assert_same_batch, of_run, of_store

METHODS = ["fork", "spawn", "forkserver"]


def batches_of(dataset, workers=0, method=None, **options):
    sampler = of_run(dataset, 0, 1, 3, 18)
    loader = DataLoader(dataset, 3, sampler=sampler, num_workers=workers, multiprocessing_context=method, **options)
    return list(loader)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This DataLoader will create 4 worker processes:UserWarning")
@pytest.mark.parametrize("read_before", [False, True])
@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("method", METHODS)
def test_every_kind_and_number_of_workers_gives_the_same_bits(small_store, method, workers, read_before):
    expected = batches_of(of_store(open_store(small_store.path), foreground=0.3, flip=True))
    dataset = of_store(open_store(small_store.path), foreground=0.3, flip=True)
    if read_before:
        for g in range(8):
            dataset[g]
    for batch, other in zip(batches_of(dataset, workers, method), expected, strict=True):
        assert type(batch["image"]) is torch.Tensor
        assert_same_batch(batch, other)


@pytest.mark.parametrize("persistent", [False, True])
def test_workers_that_stay_give_the_same_twice(small_store, persistent):
    dataset = of_store(small_store)
    sampler = of_run(dataset, 0, 1, 3, 18)
    loader = DataLoader(dataset, 3, sampler=sampler, num_workers=2, persistent_workers=persistent)
    expected = batches_of(dataset)
    for _ in range(2):
        for batch, other in zip(loader, expected, strict=True):
            assert_same_batch(batch, other)


WORKER_KILLED = """
import multiprocessing, os, signal, sys, mixio
from torch.utils.data import DataLoader
dataset = mixio.MixtureDataset(mixio.open_store(sys.argv[1]), mixio.Mixture({shares}), patch_size=16)
sampler = mixio.MixtureSampler(dataset, num_samples=3 * 10**6, batch_size=3)
loader = DataLoader(dataset, 3, sampler=sampler, num_workers=2, multiprocessing_context=sys.argv[2], timeout=60)
batches = iter(loader)
next(batches)
os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)
for _ in batches:
    pass
"""
TOLD = (  # by torch; or by the connection, where the worker died while it handed over memory
    r"DataLoader worker .*(killed by signal|exited unexpectedly)|Connection\w*Error|EOFError|FileNotFoundError"
)


@pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_a_killed_worker_is_an_error_and_not_a_hang(small_store, method):
    # A program of its own: torch raises wherever a signal finds the main thread, even while another error is printed.
    program = WORKER_KILLED.format(shares=SHARES)
    words = [sys.executable, "-c", program, small_store.path, method]
    done = subprocess.run(words, timeout=120, capture_output=True, text=True)
    assert done.returncode == 1
    assert re.search(TOLD, done.stderr)


def loader_of(store):
    return mixio.MixtureLoader(of_store(store), num_samples=30, batch_size=3, threads=2)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.parametrize("again", range(5))
def test_a_child_forked_while_iterating_iterates_by_itself(small_store, again):
    store = open_store(small_store.path)
    expected = list(loader_of(store))
    batches = iter(loader_of(store))
    for _ in range(again):
        next(batches)
    child = os.fork()
    if not child:
        code = 1
        try:
            for batch, other in zip(loader_of(store), expected, strict=True):
                assert_same_batch(batch, other)
            code = 0
        finally:
            os._exit(code)
    assert exit_code(child) == 0
    assert [int(batch["draw"][0]) for batch in batches] == [*range(3 * again, 30, 3)]


def exit_code(child):
    """Of a process that must end by itself; a minute is far more than it needs."""
    for _ in range(600):
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.1)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "hung"


PROGRAM = """
import os, sys, signal, mixio
dataset = mixio.MixtureDataset(mixio.open_store(sys.argv[1]), mixio.Mixture({shares}), patch_size=16)
batches = iter(mixio.MixtureLoader(dataset, num_samples=10**6, batch_size=3, threads=3))
next(batches)
{ending}
"""


@pytest.mark.parametrize(
    ("ending", "code", "message"),
    [
        ("sys.exit(7)", 7, ""),
        ("raise ValueError('in the loop')", 1, "ValueError: in the loop"),
        ("", 0, ""),
        ("for _ in batches: os.kill(os.getpid(), signal.SIGINT)", -signal.SIGINT, "KeyboardInterrupt"),
    ],
)
def test_a_program_that_ends_while_iterating_ends_with_its_own_code(small_store, ending, code, message):
    program = PROGRAM.format(shares=SHARES, ending=ending)
    words = [sys.executable, "-c", program, small_store.path]
    done = subprocess.run(words, timeout=120, capture_output=True, text=True)
    assert (done.returncode, message in done.stderr) == (code, True)
    assert bool(done.stderr) == bool(message)
