import json
import shutil
from dataclasses import fields, replace
from itertools import pairwise

import pytest
import torch
from click.testing import CliRunner

from mixio.allocation import Allocation
from mixio.errors import DamagedChunkError, InvalidArgument, MixioError, MixioWarning, MixtureDriftError
from mixio.ledger import read_ledger
from mixio.mixture import Mixture
from mixio.store import open_store
from models.checkpoint import load_checkpoint, load_mae
from tools.baselines import unimax
from tools.batches import loader_of
from tools.heldout import HeldOut, visible_tokens
from tools.loop import build
from tools.options import ModelOptions, TrainOptions, options_from
from tools.runlog import read_events, read_runs
from tools.schedule import learning_rate
from tools.shares import patches_of, shares_of
from tools.train import config_event, main, train

TINY = ModelOptions(patch_size=8, width=12, layers=1, heads=2, decoder_width=12, decoder_layers=1, decoder_heads=2)
SHORT = TrainOptions(model=TINY, draws=64, batch_size=16, eval_crops=4, log_every=2)
SHARES = {"abdomen-ct": 0.5, "brain-t1": 0.25, "pet": 0.25}
FLAGS = (
    "--patch-size 8 --width 12 --layers 1 --heads 2 --decoder-width 12 --decoder-layers 1 --decoder-heads 2 "
    "--draws 64 --batch-size 16 --eval-crops 4 --log-every 2"
).split()


@pytest.fixture(scope="module")
def held_out(small_store):
    return HeldOut.read(small_store, patch_size=8, crops=4)


def events_of(store, options=SHORT, **keywords):
    events = []
    train(store, SHARES, options, emit=events.append, **keywords)
    return events


def losses(events):
    return [event["loss"] for event in events[1:]]


def test_the_same_settings_give_the_same_losses(small_store):
    assert losses(events_of(small_store)) == losses(events_of(small_store))


def test_reading_in_worker_processes_changes_nothing(small_store, held_out):
    alone = events_of(small_store, held_out=held_out)
    helped = events_of(small_store, replace(SHORT, workers=2), held_out=held_out)
    assert losses(helped) == losses(alone)


def test_another_seed_gives_other_losses(small_store, held_out):
    first = events_of(small_store, held_out=held_out)
    second = events_of(small_store, replace(SHORT, seed=1), held_out=held_out)
    assert losses(first) != losses(second)


def test_the_global_random_state_is_neither_used_nor_moved(small_store, held_out):
    torch.manual_seed(5)
    first, state = events_of(small_store, held_out=held_out), torch.random.get_rng_state()
    torch.manual_seed(6)
    assert losses(events_of(small_store, held_out=held_out)) == losses(first)
    torch.manual_seed(5)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_training_lowers_the_loss_of_every_domain(small_store, held_out):
    options = replace(SHORT, draws=640, learning_rate=1e-2)
    before = held_out.losses(build(options))
    after = train(small_store, SHARES, options, held_out=held_out).loss
    assert all(after[domain] < 0.9 * before[domain] for domain in small_store.domains)


def test_what_was_drawn_is_what_the_mixture_says(small_store, held_out):
    result = events_of(small_store, held_out=held_out)[-1]
    assert result["draws"] == Mixture(SHARES).counts(64)
    assert set(result["loss"]) == set(small_store.domains)


def test_unique_counts_the_patches_that_lie_side_by_side_in_the_training_volumes(small_store, held_out):
    result = events_of(small_store, held_out=held_out)[-1]
    volumes = len(small_store.names("pet", "train"))
    assert result["unique"]["pet"] == volumes * (20 * 18 * 12 // 8**3)


def test_domains_that_are_not_trained_on_are_measured_and_counted_as_zero(small_store):
    trained = train(small_store, {"pet": 1.0}, SHORT)
    assert trained.ledger.draws["pet"] == 64
    assert set(trained.loss) == {"abdomen-ct", "brain-t1", "pet"}


def test_held_out_losses_on_the_way_are_in_the_log(small_store, held_out):
    events = events_of(small_store, replace(SHORT, eval_every=1), held_out=held_out)
    steps = [event for event in events if event["event"] == "step"]
    assert [event["draw"] for event in steps] == [16, 32, 48, 64]
    assert steps[-1]["held_out"] == events[-1]["loss"]


def test_held_out_crops_and_masks_do_not_depend_on_the_run(small_store, held_out):
    mae, again = build(SHORT), HeldOut.read(small_store, patch_size=8, crops=4)
    for domain, batches in held_out.batches.items():
        for one, other in zip(batches, again.batches[domain], strict=True):
            assert torch.equal(one["image"], other["image"])
            assert torch.equal(visible_tokens(mae, one["seed"].tolist()), visible_tokens(mae, other["seed"].tolist()))
    assert held_out.losses(mae) == again.losses(mae)


def test_held_out_crops_come_from_the_val_volumes_only(small_store, held_out):
    for domain, batches in held_out.batches.items():
        keys = {f"{domain}/{key}" for batch in batches for key in batch["key"]}
        assert keys <= set(small_store.names(domain, "val"))


class WithoutVal:
    """A store of which one domain has no held-out volume."""

    def __init__(self, store):
        self.domains, self.store = store.domains, store

    def names(self, domain=None, split=None):
        return [] if (domain, split) == ("pet", "val") else self.store.names(domain, split)


def test_a_domain_without_held_out_volumes_is_refused_with_the_remedy(small_store):
    with pytest.raises(InvalidArgument, match=r"split val\) in pet: .*--val-fraction or --split-seed"):
        HeldOut.read(WithoutVal(small_store), patch_size=8)


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_patches(small_store, held_out):
    with pytest.raises(MixioError, match=r"not finite for 16 of 16 patches: (pet|brain-t1|abdomen-ct)/\S+ \(draw"):
        train(small_store, SHARES, replace(SHORT, learning_rate=1e30, clip=1e30), held_out=held_out)


def test_a_log_is_a_run_that_laws_can_be_fitted_to(small_store, tmp_path):
    arguments = [small_store.path, "--mixture", "abdomen-ct=0.75,pet=0.25", "--run", "mine", "--seed", "3"]
    outcome = CliRunner().invoke(main, [*arguments, "--runs", str(tmp_path), *FLAGS])
    assert (outcome.exit_code, outcome.stderr) == (0, "")
    [run] = read_runs(tmp_path)
    assert (run.run, run.seed, run.total) == ("mine", 3, 64)
    assert run.draws == {"abdomen-ct": 48, "brain-t1": 0, "pet": 16}
    assert run.shares == {"abdomen-ct": 0.75, "brain-t1": 0.0, "pet": 0.25}
    assert [event["draw"] for event in read_events(tmp_path / "mine.jsonl")[1:-1]] == [32, 64]
    assert "abdomen-ct 75.00% of 75.00%" in outcome.stdout
    assert f"wrote {tmp_path}/mine.jsonl" in outcome.stdout


def test_the_ledger_beside_the_log_says_what_was_delivered_at_every_step_of_it(small_store, tmp_path):
    words = [small_store.path, "--mixture", "uniform", "--run", "mine", "--runs", str(tmp_path), *FLAGS]
    (tmp_path / "mine.ledger.jsonl").write_text("of a run that was interrupted\n")
    done = CliRunner().invoke(main, [*words, "--json"])
    assert json.loads(done.stdout)["ledger"] == str(tmp_path / "mine.ledger.jsonl")
    lines = read_ledger(tmp_path / "mine.ledger.jsonl")
    assert [line["draws"] for line in lines] == [32, 64]
    counts = Mixture(dict.fromkeys(small_store.domains, 1 / 3)).counts(64)
    assert {domain: of["draws"] for domain, of in lines[-1]["domains"].items()} == counts
    assert [run.run for run in read_runs(tmp_path)] == ["mine"]


def test_a_loader_that_repeats_a_batch_ends_the_run_with_an_error(small_store, held_out, monkeypatch):
    def stuttering(dataset, options, sampler):
        batches = [*loader_of(dataset, options, sampler)]
        return [*batches[:2], batches[1], *batches[3:]]

    monkeypatch.setattr("tools.train.loader_of", stuttering)
    with pytest.raises(
        MixtureDriftError, match="after 64 draws the run is off its plan: .* as many draws as planned, but others"
    ):
        events_of(small_store, held_out=held_out)


def test_the_checkpoint_holds_the_trained_model_and_the_position(small_store, tmp_path):
    path = tmp_path / "mae.pt"
    arguments = [small_store.path, "--mixture", "uniform", "--runs", str(tmp_path), "--checkpoint", str(path)]
    outcome = CliRunner().invoke(main, [*arguments, *FLAGS, "--json"])
    checkpoint, summary = load_checkpoint(path), json.loads(outcome.stdout)
    assert checkpoint["data"]["consumed"] == 64
    assert checkpoint["metadata"]["run"] == "uniform-64-0"
    held_out = HeldOut.read(small_store, patch_size=8, crops=4)
    assert held_out.losses(load_mae(checkpoint)) == pytest.approx(summary["loss"])


def test_mixtures_are_rules_files_or_shares(small_store, tmp_path):
    Allocation({"pet": 1.0}, strategy="transfer-aware").save(tmp_path / "allocation.json")
    assert shares_of("uniform", small_store) == (dict.fromkeys(small_store.domains, 1 / 3), "uniform")
    volumes = [len(small_store.names(domain, "train")) for domain in small_store.domains]
    proportional = [volume / sum(volumes) for volume in volumes]
    assert list(shares_of("proportional", small_store)[0].values()) == pytest.approx(proportional)
    roots = [volume**0.3 for volume in volumes]
    assert list(shares_of("temperature", small_store)[0].values()) == pytest.approx([r / sum(roots) for r in roots])
    halves = [volume**0.5 for volume in volumes]
    shares, strategy = shares_of("temperature:0.5", small_store)
    assert (list(shares.values()), strategy) == (pytest.approx([half / sum(halves) for half in halves]), "temperature")
    only = {"abdomen-ct": 0.0, "brain-t1": 0.0, "pet": 1.0}
    assert shares_of(str(tmp_path / "allocation.json"), small_store) == (only, "transfer-aware")
    assert shares_of("pet=1", small_store) == (only, None)


def test_unimax_gives_no_domain_more_passes_than_it_may_have(small_store):
    unique = {domain: patches_of(small_store, domain, 8) for domain in small_store.domains}
    draws = 2 * sum(unique.values())
    shares, strategy = shares_of("unimax", small_store, draws=draws, patch_size=8)
    assert (shares, strategy) == (pytest.approx(unimax(unique, draws)), "unimax")
    tight, _ = shares_of("unimax:2", small_store, draws=draws, patch_size=8)
    assert {domain: share * draws for domain, share in tight.items()} == pytest.approx(
        {domain: 2 * patches for domain, patches in unique.items()}
    )
    with pytest.raises(InvalidArgument, match="unimax needs the draws of a run"):
        shares_of("unimax", small_store)


def test_a_dense_autoencoder_with_learned_positions_is_trained_and_saved(small_store, tmp_path):
    words = "--mixture uniform --dense --features 2 --learned-positions --patch-size 32 --token-size 16 --layers 2"
    words += " --width 12 --heads 2 --draws 8 --batch-size 4 --eval-crops 2 --run dense"
    outcome = CliRunner().invoke(main, [small_store.path, "--runs", str(tmp_path), *words.split()])
    assert outcome.exit_code == 0, outcome.output
    checkpoint = load_checkpoint(tmp_path / "dense.pt")
    assert (checkpoint["metadata"]["kind"], checkpoint["metadata"]["learned_positions"]) == ("dense", True)
    losses = HeldOut.read(small_store, patch_size=32, crops=2).losses(load_mae(checkpoint))
    assert losses == pytest.approx(read_events(tmp_path / "dense.jsonl")[-1]["loss"])


def test_a_scale_factor_is_a_width_and_twelve_heads():
    flags = {one.name: one.default for one in [*fields(TrainOptions), *fields(ModelOptions)] if "help" in one.metadata}
    model = options_from({**flags, "scale_factor": 0.25}).model
    assert (model.width, model.heads) == (192, 12)
    assert options_from({**flags, "scale_factor": None}).model == ModelOptions()
    with pytest.raises(InvalidArgument, match="scale_factor 0.1 makes a width of 76.8, which must be a multiple of 12"):
        options_from({**flags, "scale_factor": 0.1})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--mixture", "everything"], "--mixture must be uniform, proportional"),
        (["--mixture", "pet=0.5,brain-t1=0.4"], "sum to 1"),
        (["--mixture", "pet=0.5,liver=0.5"], "liver"),
        (["--mixture", "uniform", "--draws", "100"], "multiple of batch_size 16, got 100"),
        (["--mixture", "uniform", "--width", "16"], "no such model: sin-cos positions need a width"),
        (["--mixture", "uniform", "--dense"], "--dense needs --token-size 16, got 4: UNETR has no others"),
        (
            ["--mixture", "uniform", "--patch-size", "10"],
            "must be a multiple of --token-size 4: 8 or 12",
        ),
        (["--mixture", "uniform", "--heads", "5"], "hidden_size 12 must be a multiple of num_heads 5"),
        (
            ["--mixture", "uniform", "--scale-factor", "0.25"],
            "--scale-factor says the width and the heads",
        ),
        (["--mixture", "unimax", "--patch-size", "0"], "img_size must be one or three positive numbers of voxels"),
        (["--mixture", "unimax:many"], "after unimax: comes a number, as in unimax:2"),
        (["--mixture", "uniform", "--device", "abacus"], "--device abacus cannot be used here"),
        (["--mixture", "uniform", "--device", "meta"], "--device meta cannot be used here"),
        pytest.param(
            ["--mixture", "uniform", "--device", "cuda"],
            "cuda cannot be used here (Torch not compiled with CUDA enabled); use --device cpu, or leave it out",
            marks=pytest.mark.skipif(torch.backends.cuda.is_built(), reason="torch is built for CUDA here"),
        ),
    ],
)
def test_wrong_use_is_one_line_and_exit_2(small_store, tmp_path, arguments, message):
    outcome = CliRunner().invoke(main, [small_store.path, "--runs", str(tmp_path), *FLAGS, *arguments])
    assert outcome.exit_code == 2
    assert message in outcome.stderr
    assert outcome.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_complete_run_is_not_overwritten(small_store, tmp_path):
    arguments = [small_store.path, "--mixture", "uniform", "--run", "mine", "--runs", str(tmp_path), *FLAGS]
    assert CliRunner().invoke(main, arguments).exit_code == 0
    again = CliRunner().invoke(main, arguments)
    assert again.exit_code == 2
    assert "mine.jsonl is a complete run; choose another --run" in again.stderr


def test_execution_is_no_part_of_the_recorded_settings(small_store):
    elsewhere = replace(SHORT, device="cpu", workers=3, log_every=7, eval_every=9)
    assert config_event(small_store, SHARES, elsewhere) == config_event(small_store, SHARES, SHORT)
    other = replace(SHORT, clip=2.0)
    assert config_event(small_store, SHARES, other) != config_event(small_store, SHARES, SHORT)


def test_the_learning_rate_rises_to_its_peak_and_falls_to_nothing():
    rates = [learning_rate(step, 100, peak=2.0, warmup=0.1) for step in range(100)]
    assert rates[:3] == pytest.approx([0.2, 0.4, 0.6])
    assert max(rates) == rates[9] == rates[10] == 2.0
    assert rates[55] == pytest.approx(1.0)
    assert all(later < earlier for earlier, later in pairwise(rates[10:]))
    assert rates[99] < 0.001


def test_a_checkpoint_may_go_into_a_folder_that_is_not_there(small_store, tmp_path):
    words = [small_store.path, "--mixture", "uniform", "--runs", str(tmp_path), *FLAGS]
    outcome = CliRunner().invoke(main, [*words, "--checkpoint", str(tmp_path / "new" / "mae.pt")])
    assert outcome.exit_code == 0, outcome.output
    assert (tmp_path / "new" / "mae.pt").exists()


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"learning_rate": -1.0}, "learning_rate must be positive, got -1.0"),
        ({"clip": float("nan")}, "clip must be positive, got nan"),
        ({"workers": -1}, "workers must be at least 0, got -1"),
        ({"eval_every": -1}, "eval_every must be at least 0, got -1"),
        ({"eval_crops": 0}, "eval_crops must be at least 1, got 0"),
    ],
)
def test_options_that_cannot_be_are_refused(option, message):
    with pytest.raises(InvalidArgument, match=message):
        replace(SHORT, **option)


@pytest.fixture(scope="module")
def damaged(small_store, tmp_path_factory):
    """`small_store` without the voxels of one training volume."""
    path = tmp_path_factory.mktemp("damaged") / "store"
    shutil.copytree(small_store.path, path)
    (path / "brain-t1" / "1" / "0" / "c" / "0" / "0" / "0").unlink()
    return open_store(path)


def test_a_damaged_volume_stops_a_run_unless_it_is_to_be_replaced(damaged, held_out):
    with pytest.raises(DamagedChunkError, match=r"the shard is missing.*\(volume brain-t1/1\)"):
        events_of(damaged, held_out=held_out)
    with pytest.warns(MixioWarning, match="volume brain-t1/1"):
        events = events_of(damaged, replace(SHORT, on_fault="replace"), held_out=held_out)
    assert events[-1]["draws"] == Mixture(SHARES).counts(64)
    assert "on_fault" not in events[0]["training"]


@pytest.mark.filterwarnings("ignore::mixio.errors.MixioWarning")
def test_the_command_tells_what_was_replaced(damaged, tmp_path):
    words = [damaged.path, "--mixture", "uniform", "--runs", str(tmp_path), "--on-fault", "replace", *FLAGS]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0
    assert "replaced | pet" in done.output
    assert "damaged: brain-t1/1\n" in done.output


def test_an_unknown_way_with_faults_is_refused():
    with pytest.raises(InvalidArgument, match="on_fault must be raise or replace, got skip"):
        TrainOptions(on_fault="skip")


def test_the_number_of_threads_changes_nothing(small_store, held_out):
    one = events_of(small_store, replace(SHORT, threads=1), held_out=held_out)
    three = events_of(small_store, replace(SHORT, threads=3), held_out=held_out)
    assert losses(one) == losses(three)
    assert one[0]["training"] == three[0]["training"]


def test_the_time_spent_waiting_for_data_is_counted(small_store, held_out):
    events = events_of(small_store, held_out=held_out)
    assert 0 < events[1]["waiting"] < events[-1]["waiting"] < events[-1]["seconds"]


def test_the_command_says_how_long_it_waited(small_store, tmp_path):
    done = CliRunner().invoke(main, [small_store.path, "--mixture", "uniform", "--runs", str(tmp_path), *FLAGS])
    assert "waited for data: " in done.output
