import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixio.errors import RunLogError
from tools.runlog import Run, append_event, incomplete_runs, logs_in, read_events, read_runs, write_runs

CONFIG = {
    "event": "config", "schema_version": 1, "run": "mix-000", "seed": 7, "draws": 64,
    "shares": {"a-ct": 0.75, "b-mr": 0.25}, "strategy": None,
}  # fmt: skip
STEP = {"event": "step", "draw": 64, "loss": 0.9, "lr": 1e-3, "seconds": 0.5}
RESULT = {
    "event": "result", "draws": {"a-ct": 48, "b-mr": 16}, "unique": {"a-ct": 40, "b-mr": 90},
    "loss": {"a-ct": 0.4, "b-mr": 0.6}, "seconds": 3.0,
}  # fmt: skip


def log(path, *events):
    for event in events:
        append_event(path, event)
    return path


amounts = st.floats(0, 1e12)
names = st.lists(st.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True), min_size=1, max_size=4, unique=True)


@settings(deadline=None)
@given(domains=names, data=st.data())
def test_a_table_gives_back_the_runs_that_were_written_to_it(tmp_path_factory, domains, data):
    total = data.draw(st.floats(1, 1e9))
    draws = {domain: total / len(domains) for domain in domains}
    loss = {domain: data.draw(st.floats(1e-6, 1e6)) for domain in domains[1:]}
    unique = data.draw(st.none() | st.fixed_dictionaries(dict.fromkeys(domains, amounts)))
    shares = {domain: drawn / sum(draws.values()) for domain, drawn in draws.items()}
    run = Run("mix-000", 3, draws, unique, loss, shares, data.draw(st.sampled_from([None, "uniform"])))
    path = tmp_path_factory.mktemp("table") / "runs.csv"
    write_runs(path, [run])
    assert read_runs(path) == [run]


def test_a_log_that_ends_in_a_result_is_a_run(tmp_path):
    log(tmp_path / "runs" / "mix-000.jsonl", CONFIG, STEP, RESULT)
    assert read_runs(tmp_path / "runs") == [
        Run("mix-000", 7, RESULT["draws"], RESULT["unique"], RESULT["loss"], CONFIG["shares"])
    ]
    assert read_runs(tmp_path / "runs" / "mix-000.jsonl")[0].total == 64


def test_a_foreign_table_is_read_by_its_columns_and_the_rest_ignored(tmp_path):
    path = tmp_path / "runs.csv"
    path.write_text("run,lr,draws:a,draws:b,loss:a,loss:b\nfirst,0.1,30,10,0.5,\nsecond,0.1,,8,nan,0.25\n")
    first, second = read_runs(path)
    assert first == Run("first", 0, {"a": 30.0, "b": 10.0}, None, {"a": 0.5}, {"a": 0.75, "b": 0.25})
    assert second == Run("second", 0, {"b": 8.0}, None, {"b": 0.25}, {"b": 1.0}, failed=("a",))


def test_unfinished_logs_are_left_out_and_named(tmp_path):
    log(tmp_path / "done.jsonl", CONFIG, RESULT)
    log(tmp_path / "stopped.jsonl", CONFIG | {"run": "stopped"}, STEP)
    assert [run.run for run in read_runs(tmp_path)] == ["mix-000"]
    assert incomplete_runs(tmp_path) == ["stopped.jsonl"]


def test_the_ledger_beside_a_log_is_no_log(tmp_path):
    path = log(tmp_path / "mix-000.jsonl", CONFIG, RESULT)
    (tmp_path / "mix-000.ledger.jsonl").write_text('{"schema_version": 1, "domains": {}}\n')
    assert logs_in(tmp_path) == [path]
    assert [run.run for run in read_runs(tmp_path)] == ["mix-000"]


def test_a_line_torn_by_a_crash_is_no_event_and_gives_way_to_the_next(tmp_path):
    path = log(tmp_path / "run.jsonl", CONFIG, STEP)
    path.write_bytes(path.read_bytes() + b'{"event": "res')
    assert read_events(path) == [CONFIG, STEP]
    append_event(path, RESULT)
    assert [json.loads(line) for line in path.read_text().splitlines()] == [CONFIG, STEP, RESULT]


def test_a_loss_that_is_not_finite_counts_as_not_measured_and_is_named_as_failed(tmp_path):
    losses = {"a-ct": float("nan"), "b-mr": None, "c": 1.0, "d": float("inf")}
    log(tmp_path / "run.jsonl", CONFIG, RESULT | {"loss": losses})
    run = read_runs(tmp_path)[0]
    assert (run.loss, run.failed) == ({"c": 1.0}, ("a-ct", "d"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("run,draws:a,loss:a\nr1,5,0\n", "run 'r1': loss of 'a' must be positive"),
        ("run,draws:a,loss:a\nr1,5,-2\n", "run 'r1': loss of 'a' must be positive and finite"),
        ("run,draws:a,loss:a\nr1,-5,1\n", "run 'r1': draws of 'a' must be finite and not negative"),
        ("run,draws:a,loss:a\nr1,0,1\n", "run 'r1' has no draws"),
        ("run,draws:a,loss:a\nr1,x,1\n", "run 'r1': a cell is not a number"),
        ("run,draws:a,loss:a\nr1,5,1\nr1,5,1\n", "two runs of one name: r1"),
        ("name,draws:a\nr1,5\n", "needs a row and the columns run, draws:<domain>"),
        ("run,draws:a,loss:a\n", "needs a row"),
    ],
)
def test_a_table_that_cannot_be_trusted_is_refused(tmp_path, text, message):
    path = tmp_path / "runs.csv"
    path.write_text(text)
    with pytest.raises(RunLogError, match=message):
        read_runs(path)


def test_a_log_of_a_newer_schema_or_with_damage_inside_is_refused(tmp_path):
    newer = log(tmp_path / "newer.jsonl", CONFIG | {"schema_version": 2}, RESULT)
    with pytest.raises(RunLogError, match="config of schema_version 1, got 'config' of 2"):
        read_runs(newer)
    damaged = tmp_path / "damaged.jsonl"
    damaged.write_text('{"event": "config"\n{"event": "result"}\n')
    with pytest.raises(RunLogError, match="not a run log"):
        read_runs(damaged)
    with pytest.raises(RunLogError, match="lacks 'loss'"):
        read_runs(log(tmp_path / "short.jsonl", CONFIG, {"event": "result", "draws": {"a-ct": 1}}))


def test_an_unknown_event_and_an_empty_place_are_refused(tmp_path):
    with pytest.raises(RunLogError, match="a config, a step or a result, got 'epoch'"):
        append_event(tmp_path / "run.jsonl", {"event": "epoch"})
    with pytest.raises(RunLogError, match="no runs at"):
        read_runs(tmp_path)
    log(tmp_path / "stopped.jsonl", CONFIG)
    with pytest.raises(RunLogError, match="no complete run"):
        read_runs(tmp_path)
