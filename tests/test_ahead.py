import gc
import os
import subprocess
import sys
import threading
import traceback
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixio.ahead import Ahead
from mixio.errors import MixioError


def ours():
    return [thread for thread in threading.enumerate() if thread.name.startswith("mixio-ahead")]


class Failure(Exception):
    pass


def fails_at_three(number):
    if number == 3:
        raise Failure("three")
    return number


@given(st.integers(0, 30), st.integers(1, 5), st.integers(1, 9))
def test_results_come_once_and_in_order_and_the_threads_end(count, threads, depth):
    ahead = Ahead(str, range(count), threads=threads, depth=depth)
    assert list(ahead) == [*map(str, range(count))]
    assert list(ahead) == []
    assert not ours()


def test_no_more_than_the_depth_is_begun():
    begun, full = [], threading.Event()

    def work(number):
        begun.append(number)
        if len(begun) == 4:
            full.set()
        return number

    ahead = Ahead(work, range(100), threads=2, depth=4)
    full.wait()
    assert [next(ahead), next(ahead)] == [0, 1]
    ahead.close()
    assert 4 <= len(begun) <= 6


def test_threads_work_side_by_side():
    meeting = threading.Barrier(3)
    list(Ahead(lambda _: meeting.wait(), range(9), threads=3, depth=3))


def test_an_error_comes_in_its_place_with_its_traceback_and_ends_the_iteration():
    ahead = Ahead(fails_at_three, range(9), threads=3, depth=9)
    assert [next(ahead) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(Failure, match="three") as caught:
        next(ahead)
    assert "fails_at_three" in "".join(traceback.format_tb(caught.value.__traceback__))
    assert not ours()
    assert list(ahead) == []


def test_an_error_of_the_tasks_is_raised_too():
    def tasks():
        yield 0
        raise Failure("no more tasks")

    ahead = Ahead(str, tasks(), threads=2, depth=2)
    assert next(ahead) == "0"
    with pytest.raises(Failure, match="no more tasks"):
        next(ahead)


@pytest.mark.parametrize("end", ["break", "error", "drop", "close", "cycle"])
def test_threads_end_however_the_loop_does(end):
    ahead = Ahead(str, range(10**9), threads=3, depth=5)
    next(ahead)
    assert len(ours()) == 3
    if end == "cycle":
        holder = [ahead]
        holder.append(holder)
        del holder
    if end == "close":
        ahead.close()
    if end in ("drop", "cycle"):
        del ahead
        gc.collect()
    else:
        try:
            for number in ahead:
                if end == "break":
                    ahead.close()
                    break
                raise Failure(number)
        except Failure:
            del ahead
    assert not ours()


def test_a_waiting_loop_keeps_no_result():
    class Result:
        pass

    ahead = Ahead(lambda _: Result(), range(3), threads=1, depth=1)
    gone = weakref.ref(next(ahead))
    next(ahead)
    assert gone() is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_is_told_and_can_iterate_anew():
    ahead = Ahead(str, range(10**9), threads=3, depth=5)
    next(ahead)
    child = os.fork()
    if not child:
        code = 1
        try:
            next(ahead)
        except MixioError as error:
            ahead.close()
            again = list(Ahead(str, range(5), threads=2, depth=2))
            code = 0 if "do not survive a fork" in str(error) and again == [*"01234"] else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert next(ahead) == "1"


@pytest.mark.parametrize(("ending", "code"), [("sys.exit(7)", 7), ("raise ValueError", 1), ("", 0)])
def test_a_program_that_ends_in_the_middle_ends_with_its_own_code(ending, code):
    start = (
        "import sys\nfrom mixio.ahead import Ahead\nahead = Ahead(str, range(10**9), threads=3, depth=5)\nnext(ahead)"
    )
    program = f"{start}\n{ending}"
    done = subprocess.run([sys.executable, "-c", program], timeout=60, capture_output=True, text=True)
    assert done.returncode == code
    assert ("ValueError" in done.stderr) == (code == 1)
