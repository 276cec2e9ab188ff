"""The verdict, by literal cases: what binds, what is said, what is advised."""

from dataclasses import replace

import pytest

from tools.bench_verdict import Circumstances, Loader, Rates, judge, limits_of

PLAIN = Circumstances(("lz4:5:bitshuffle",))
RATES = Rates(
    (Loader("DataLoader", 0, 200.0), Loader("DataLoader", 2, 320.0)),
    {1: 500.0, 2: 900.0},
    cores=2,
    disk=250,
    pipe=350.0,
)


def test_a_loader_near_the_pipe_without_work_is_held_up_by_the_pipe() -> None:
    verdict = judge(RATES, PLAIN)
    assert verdict.bottleneck == "IPC"
    assert (
        "DataLoader with 2 workers delivers 320 patches/s, and a DataLoader that does no work at all 350"
        in verdict.says
    )
    assert any("MixtureLoader" in line for line in verdict.advice)


def test_decoding_and_pipe_add_up_on_the_same_cores() -> None:
    # 1 / (1/900 + 1/350) = 252; three fifths of it are 151
    assert judge(replace(RATES, loaders=(Loader("DataLoader", 2, 152.0),)), PLAIN).bottleneck == "IPC"
    assert judge(replace(RATES, loaders=(Loader("DataLoader", 2, 150.0),)), PLAIN).bottleneck == "loader"


def test_threads_have_no_pipe() -> None:
    rates = replace(RATES, loaders=(Loader("MixtureLoader", 2, 700.0),))
    assert judge(rates, PLAIN).bottleneck == "CPU"
    assert limits_of(rates.loaders[0], rates) == {"CPU": 900.0}


def test_the_disk_counts_only_for_a_store_that_is_not_cached() -> None:
    rates = replace(RATES, fits=False, loaders=(Loader("MixtureLoader", 2, 240.0),))
    verdict = judge(rates, PLAIN)
    assert verdict.bottleneck == "disk"
    assert any("--codec zstd:3" in line for line in verdict.advice)
    assert judge(replace(rates, disk=None), PLAIN).bottleneck == "loader"


def test_zstd_is_not_advised_to_who_has_it() -> None:
    rates = replace(RATES, fits=False, loaders=(Loader("MixtureLoader", 2, 240.0),))
    assert not any("zstd:3" in line for line in judge(rates, Circumstances(("zstd:3",))).advice)


def test_a_model_slower_than_the_loader_is_the_bottleneck() -> None:
    verdict = judge(replace(RATES, need=160.0), PLAIN)
    assert verdict.bottleneck == "model"
    assert "320 patches/s, 2.0 times the 160 needed; this feeds the GPU" in verdict.says
    assert "DataLoader without workers is enough already (200 patches/s)" in verdict.advice


def test_a_model_that_eats_more_waits_for_the_rest_of_its_time() -> None:
    verdict = judge(replace(RATES, need=640.0), PLAIN)
    assert verdict.bottleneck == "IPC"
    assert "That is 0.5 of the 640 needed: this starves the GPU, which waits 50% of its time." in verdict.says


@pytest.mark.parametrize(
    ("patches", "need", "said"),
    [
        (9598.0, 100.0, "96 times the 100 needed; this feeds"),
        (105.0, 100.0, "1.1 times the 100 needed; this feeds"),
        (720.0, 1000.0, "0.72 of the 1,000 needed: this starves"),
        (999.0, 1000.0, "0.99 of the 1,000 needed: this starves"),
        (2.0, 0.5, "4.0 times the 0.5 needed; this feeds"),
    ],
)
def test_a_rate_is_told_as_a_multiple_or_a_part_of_the_need(patches: float, need: float, said: str) -> None:
    rates = replace(RATES, loaders=(Loader("MixtureLoader", 2, patches),), need=need)
    assert said in judge(rates, PLAIN).says


def test_a_loop_that_waits_with_the_step_is_starved_however_fast_the_loader_is_without() -> None:
    rates = replace(RATES, loaders=(Loader("DataLoader", 0, 480.0, waiting=0.25),), need=160.0)
    verdict = judge(rates, PLAIN)
    assert verdict.bottleneck == "CPU"
    assert verdict.says.endswith(
        "That is 3.0 times the 160 needed; with steps as long as the model's, this starves the GPU, which waits 25% of "
        "its time."
    )


def test_starving_is_told_by_what_the_loop_waited_not_by_the_rate_without_a_step() -> None:
    rates = replace(RATES, loaders=(Loader("MixtureLoader", 2, 720.0, waiting=0.07),), need=1000.0)
    says = judge(rates, PLAIN).says
    assert "waits 7.0% of its time" in says
    assert "28%" not in says


@pytest.mark.parametrize(("waiting", "bottleneck"), [(0.049, "model"), (0.05, "CPU")])
def test_who_waits_less_than_a_twentieth_is_fed(waiting: float, bottleneck: str) -> None:
    rates = replace(RATES, loaders=(Loader("MixtureLoader", 2, 980.0, waiting=waiting),), need=1000.0)
    assert judge(rates, PLAIN).bottleneck == bottleneck


def test_the_loader_of_the_verdict_is_the_one_that_it_names() -> None:
    fast, patient = Loader("DataLoader", 2, 320.0, waiting=0.2), Loader("MixtureLoader", 1, 300.0, waiting=0.01)
    rates = replace(RATES, loaders=(fast, patient))
    for need, named in [(None, fast), (100.0, patient)]:
        verdict = judge(replace(rates, need=need), PLAIN)
        assert verdict.loader == named
        assert named.name in verdict.says
    starved = judge(replace(rates, loaders=(fast, replace(patient, waiting=0.1)), need=310.0), PLAIN)
    assert starved.loader.kind == "MixtureLoader"
    assert "MixtureLoader with 1 thread delivers 300" in starved.says


def test_behind_a_network_neither_the_processor_nor_the_loader_is_blamed() -> None:
    rates = replace(RATES, loaders=(Loader("MixtureLoader", 2, 60.0),), reader={1: 20.0, 2: 40.0}, is_remote=True)
    verdict = judge(replace(rates, disk=None, pipe=None), PLAIN)
    assert verdict.bottleneck == "network"
    assert verdict.says == (
        "The network is the bottleneck: MixtureLoader with 2 threads delivers 60 patches/s from a store that is not on "
        "this machine."
    )
    for said in ("--threads 8", "cache=", "prefetch="):
        assert any(said in line for line in verdict.advice)
    assert not any("align" in line or "bucket" in line for line in verdict.advice)
    assert judge(replace(rates, need=50.0), PLAIN).bottleneck == "model"
    assert "0.6 of the 100 needed: this starves" in judge(replace(rates, need=100.0), PLAIN).says


def test_a_pipe_that_is_full_binds_before_a_network_does() -> None:
    # three fifths of 350 are 210
    for patches, bottleneck in [(211.0, "IPC"), (209.0, "network")]:
        rates = replace(RATES, loaders=(Loader("DataLoader", 2, patches),), is_remote=True)
        assert judge(rates, PLAIN).bottleneck == bottleneck


def test_of_those_that_feed_the_one_that_is_waited_for_least_is_named() -> None:
    loaders = (Loader("DataLoader", 2, 320.0, waiting=0.2), Loader("MixtureLoader", 1, 300.0, waiting=0.01))
    verdict = judge(replace(RATES, loaders=loaders, need=100.0), PLAIN)
    assert "MixtureLoader with 1 thread delivers 300" in verdict.says
    assert "waited 1.0% of its time: this feeds the GPU." in verdict.says
    assert verdict.advice == ()


def test_a_cold_disk_slower_than_the_model_is_told() -> None:
    (line,) = judge(replace(RATES, need=300.0, cold=90.0), PLAIN).advice
    assert "from a cold disk the reader gives 90 patches/s: the first pass over the data" in line


def test_fewer_workers_than_cores_are_told_to_be_more() -> None:
    rates = replace(RATES, cores=8, loaders=(Loader("DataLoader", 1, 450.0),), pipe=None)
    verdict = judge(rates, PLAIN)
    assert verdict.bottleneck == "CPU"
    assert "more workers: 1 used of 8 cores" in verdict.advice
    tried = replace(rates, loaders=(*rates.loaders, Loader("DataLoader", 2, 440.0)))
    assert "more cores for this training process" in judge(tried, PLAIN).advice


def test_who_has_one_core_and_no_workers_is_not_told_to_have_more_workers() -> None:
    rates = Rates((Loader("DataLoader", 0, 100.0),), {1: 500.0}, cores=1)
    advice = judge(rates, Circumstances(("lz4:5",))).advice
    assert advice[-1] == "more cores for this training process"
    assert not any("more workers" in line for line in advice)


@pytest.mark.parametrize(
    ("around", "said"),
    [
        (Circumstances(("lz4:5",), why_slow="it was not built"), "the compiled reader is missing"),
        (Circumstances(("lz4:5:bitshuffle",), unshuffles=False), "no AVX2"),
        (Circumstances(("zstd:3",)), "a faster codec"),
        (PLAIN, 'align="chunk"'),
    ],
)
def test_decoding_is_made_cheaper_by_what_this_store_and_machine_lack(around: Circumstances, said: str) -> None:
    rates = replace(RATES, loaders=(Loader("MixtureLoader", 2, 880.0),))
    assert any(said in line for line in judge(rates, around).advice)
