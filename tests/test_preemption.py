import os
import signal
import time

import pytest
from torch.utils.data import DataLoader

from tools.preemption import StopSignals, finish_before_stopping


@pytest.mark.parametrize("name", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_is_remembered_and_the_second_is_obeyed(name):
    obeyed = []
    before = signal.signal(name, lambda number, frame: obeyed.append(number))
    try:
        with StopSignals() as signals:
            assert signals.received is None
            os.kill(os.getpid(), name)
            assert (signals.received, obeyed) == (name, [])
            os.kill(os.getpid(), name)
            assert obeyed == [name]
        assert signal.getsignal(name) is not before
    finally:
        signal.signal(name, before)


def test_afterwards_all_is_as_it_was():
    before = [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)]
    with StopSignals():
        assert signal.getsignal(signal.SIGTERM) != before[0]
    assert [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)] == before


class Pids:
    """Gives the process that reads."""

    def __len__(self):
        return 100

    def __getitem__(self, index):
        time.sleep(0.005)
        return os.getpid()


def test_a_process_that_reads_finishes_what_the_loop_waits_for():
    batches = iter(DataLoader(Pids(), batch_size=1, num_workers=1, worker_init_fn=finish_before_stopping))
    reader = int(next(batches))
    os.kill(reader, signal.SIGTERM)
    assert [int(pid) for pid in batches] == [reader] * 99
