import argparse
import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from models.checkpoint import load_checkpoint
from models.vit import ViTConfig
from tests.conftest import write_nifti
from tests.labelled_volumes import shell_and_core, write_checkpoint, write_classes, write_pairs, write_table
from tools.finetune import main
from tools.runlog import read_events

TINY = "--steps 3 --batch-size 1 --log-every 2 --split-seed 3 --device cpu".split()
SIZES = "--patch-size 32 --width 12 --layers 4 --heads 2 --features 2".split()


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    return write_pairs(tmp_path_factory.mktemp("pairs"))


@pytest.fixture(scope="module")
def classes(tmp_path_factory):
    return write_classes(tmp_path_factory.mktemp("classes"))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint") / "mae.pt")


def run(*words, exit_code=0):
    outcome = CliRunner().invoke(main, [*map(str, words), *TINY])
    assert outcome.exit_code == exit_code, outcome.output
    return outcome


def refused(*words):
    error = run(*words, exit_code=2).stderr
    assert error.count("\n") == 1
    return error


def test_from_scratch_and_from_a_checkpoint_are_compared_on_the_same_cases_and_seeds(pairs, checkpoint, tmp_path):
    words = [pairs, "--checkpoint", checkpoint, "--compare", "--seeds", "0,1", "--runs", tmp_path, "--features", 2]
    told = json.loads(run(*words, "--json", "--classes", "shell,core").stdout)
    logs = {path.stem: read_events(path) for path in tmp_path.glob("*.jsonl")}
    assert set(logs) == {"scratch-0", "scratch-1", "pretrained-0", "pretrained-1"}
    configs = {name: events[0] for name, events in logs.items()}
    assert {config["checkpoint"] is None for name, config in configs.items() if name.startswith("scratch")} == {True}
    assert configs["scratch-0"]["cases"] == configs["pretrained-1"]["cases"]
    assert not set(configs["scratch-0"]["cases"]["train"]) & set(configs["scratch-0"]["cases"]["val"])
    dice = {name: events[-1]["metrics"]["dice"] for name, events in logs.items()}
    pair = told["paired"][0]
    assert pair["metric"] == "dice"
    difference = (dice["pretrained-0"] + dice["pretrained-1"] - dice["scratch-0"] - dice["scratch-1"]) / 2
    assert pair["difference"] == pytest.approx(difference)
    assert told["starts"]["scratch"]["runs"][1]["dice"] == dice["scratch-1"]
    assert told["classes"] == ["background", "shell", "core"]


def test_several_checkpoints_are_each_compared_with_the_first(pairs, checkpoint, tmp_path):
    for seed in (0, 1):
        torch.manual_seed(7 + seed)
        write_checkpoint(tmp_path / f"other-{seed}.pt")
    words = [pairs, "--checkpoint", f"one={checkpoint}", "--checkpoint", f"other={tmp_path}/other-{{seed}}.pt"]
    words += ["--seeds", "0,1", "--features", 2, "--runs", tmp_path / "runs", "--compare"]
    told = json.loads(run(*words, "--json").stdout)
    assert list(told["starts"]) == ["scratch", "one", "other"]
    assert {tuple(pair["starts"]) for pair in told["paired"]} == {("scratch", "one"), ("scratch", "other")}
    configs = {path.stem: read_events(path)[0]["checkpoint"] for path in (tmp_path / "runs").glob("*.jsonl")}
    assert configs["scratch-0"] is None
    assert configs["one-0"] == configs["one-1"]
    dice = {path.stem: read_events(path)[-1]["metrics"]["dice"] for path in (tmp_path / "runs").glob("*.jsonl")}
    above = (dice["other-0"] + dice["other-1"] - dice["scratch-0"] - dice["scratch-1"]) / 2
    pair = next(pair for pair in told["paired"] if pair["starts"][1] == "other" and pair["metric"] == "dice")
    assert pair["difference"] == pytest.approx(above)
    assert len({configs["one-0"], configs["other-0"], configs["other-1"]}) == 3
    printed = run(*words).stdout
    assert "above scratch:" in printed
    assert "other-1: complete already" in printed
    larger = ViTConfig(img_size=48, patch_size=16, hidden_size=12, num_layers=4, num_heads=2, mlp_dim=24)
    write_checkpoint(tmp_path / "larger.pt", larger)
    words = [*words[:3], "--checkpoint", f"larger={tmp_path}/larger.pt", "--runs", tmp_path / "others"]
    assert "pretrained on crops of (32, 32, 32) and (48, 48, 48) voxels" in refused(*words, "--features", 2)


def test_a_finished_study_is_read_and_one_of_other_settings_or_data_refused(pairs, tmp_path):
    words = [pairs, *SIZES, "--runs", tmp_path / "runs"]
    first = run(*words, "--json").stdout
    before = (tmp_path / "runs" / "scratch-0.jsonl").read_bytes()
    assert run(*words, "--json").stdout == first
    assert "scratch-0: complete already" in run(*words).stdout
    assert "differs in options; choose another --runs" in refused(*words, "--learning-rate", 1)
    changed = write_pairs(tmp_path / "changed")
    write_nifti(changed / "images" / "case_0.nii.gz", shell_and_core(99)[0])
    assert "is a complete run that differs in data" in refused(changed, *words[1:])
    assert (tmp_path / "runs" / "scratch-0.jsonl").read_bytes() == before


def test_an_interrupted_run_begins_anew(pairs, tmp_path):
    run(pairs, *SIZES, "--runs", tmp_path)
    log = tmp_path / "scratch-0.jsonl"
    whole = read_events(log)
    log.write_bytes(log.read_bytes()[:-30])
    run(pairs, *SIZES, "--runs", tmp_path)
    again = read_events(log)
    assert [event["event"] for event in again] == ["config", "step", "step", "result"]
    assert again[-1] == whole[-1]


def test_the_picture_shows_predicted_beside_true_masks(pairs, tmp_path):
    run(pairs, *SIZES, "--runs", tmp_path)
    with Image.open(tmp_path / "scratch-0.png") as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    third = pixels.shape[1] // 3
    colored = (pixels.max(2) - pixels.min(2)) > 40
    body = colored[: int(0.9 * len(colored))]  # without the legend
    assert not body[:, :third].any()
    assert body[:, third : 2 * third].mean() > 0.01


def test_saved_networks_are_taken_up_again_with_their_head(pairs, tmp_path):
    run(pairs, *SIZES, "--runs", tmp_path / "a")
    run(pairs, *SIZES, "--runs", tmp_path / "a", "--save")  # complete, but for its network
    tuned = tmp_path / "a" / "scratch-0.pt"
    assert load_checkpoint(tuned)["metadata"]["classes"] == ["background", "class 1", "class 2"]
    words = [pairs, "--checkpoint", tuned, "--features", 2, "--runs", tmp_path / "b"]
    run(*words, "--head")
    config, *_ = read_events(tmp_path / "b" / "pretrained-0.jsonl")
    assert config["head"]
    assert "the head of the checkpoint has 3 classes" in refused(*words, "--head", "--classes", "shell,core,rim")


def test_classification_tells_auroc_with_an_interval(classes, checkpoint, tmp_path):
    words = [classes, "--checkpoint", checkpoint, "--classes", "smooth,rough", "--runs", tmp_path]
    told = json.loads(run(*words, "--compare", "--probe", "--json").stdout)
    assert told["task"] == "classification"
    result = read_events(tmp_path / "pretrained-0.jsonl")[-1]
    assert 0 <= result["metrics"]["auroc"] <= 1
    assert set(result["intervals"]) == {"auroc"}
    assert [sum(chances.values()) for chances in result["cases"].values()] == [pytest.approx(1)] * 6
    assert [pair["metric"] for pair in told["paired"]] == ["auroc", "accuracy"]
    assert "auroc" in run(*words, "--compare", "--probe").stdout


def test_subjects_of_several_scans_stay_in_one_split(pairs, tmp_path):
    rows = [
        {"image": f"images/case_{n}.nii.gz", "label": f"labels/case_{n}.nii.gz", "subject": f"s{n // 2}"}
        for n in range(8)
    ]
    write_table(pairs / "cases.csv", rows)
    out = run(pairs / "cases.csv", *SIZES, "--runs", tmp_path).stdout
    cases = read_events(tmp_path / "scratch-0.jsonl")[0]["cases"]
    subjects = {split: {name[len("images/case_")] for name in names} for split, names in cases.items()}
    of = {split: {int(n) // 2 for n in numbers} for split, numbers in subjects.items()}
    assert not of["train"] & of["val"]
    assert f"train: {len(cases['train'])} cases of {len(of['train'])} subjects" in out


def test_the_test_split_is_measured_only_when_asked_for(classes, tmp_path):
    words = ["--patch-size", 32, "--width", 12, "--heads", 2, "--runs", tmp_path]
    assert "--measure test: no case is in that split" in refused(classes, *words, "--measure", "test")
    splits = ["train"] * 4 + ["val"] * 4 + ["test"] * 4
    rows = [{"image": f"{n}.nii.gz", "class": "ab"[n % 2], "split": split} for n, split in enumerate(splits)]
    table = write_table(classes.parent / "three.csv", rows)
    assert "test: 4 cases of 4 subjects, not used" in run(table, *words).stdout
    assert "val: 4 cases of 4 subjects, not used" in run(table, *words, "--seeds", 1, "--measure", "test").stdout
    held_out = [read_events(tmp_path / f"scratch-{seed}.jsonl")[-1]["cases"] for seed in (0, 1)]
    assert [sorted(cases) for cases in held_out] == [
        [f"{n}.nii.gz" for n in of] for of in ([4, 5, 6, 7], [10, 11, 8, 9])
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--classes", "shell"], "label 2 is outside the classes 0 to 1 (background, shell); name it in --classes"),
        (["--classes", "a,b,c"], "no voxel of ['c'] in the"),
        (["--val-fraction", "0"], "no case in the split val"),
        (["--seeds", "0,0"], "--seeds must be whole numbers from 0 on, each once"),
        (["--compare"], "--compare needs a --checkpoint"),
        (["--head"], "--head needs a --checkpoint"),
        (["--probe"], "--probe and --hidden are of classifiers"),
        (["--steps", "0"], "steps must be at least 1"),
        (["--patch-size", "40"], "no such encoder: img_size (40, 40, 40) must be a multiple of patch_size"),
        (["--spacing", "1,2"], "spacing must be native or three numbers in mm"),
        (["--features", "1200000"], "out of memory on cpu; use smaller --features than 1200000, or an encoder"),
        (["--heads", "5"], "no such encoder: hidden_size 12 must be a multiple of num_heads 5"),
        (["--patch-size", "0"], "no such encoder: img_size must be one or three positive numbers of voxels"),
    ],
)
def test_wrong_use_is_one_line_and_exit_2(pairs, tmp_path, words, message):
    words = [*SIZES, "--runs", tmp_path / "runs", *words]
    outcome = CliRunner().invoke(main, [str(pairs), *TINY, *map(str, words)])
    assert (outcome.exit_code, outcome.stderr.count("\n")) == (2, 1), outcome.output
    assert message in outcome.stderr
    assert not (tmp_path / "runs").exists()


def test_a_gpu_that_is_not_there_is_refused(pairs, tmp_path):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    outcome = CliRunner().invoke(main, [str(pairs), *SIZES, "--runs", str(tmp_path), "--device", "cuda"])
    assert (outcome.exit_code, outcome.stderr.count("\n")) == (2, 1)
    assert "--device cuda cannot be used here" in outcome.stderr
    assert "use --device cpu, or leave it out" in outcome.stderr


def test_checkpoints_that_cannot_be_taken_are_refused(pairs, checkpoint, tmp_path):
    words = [pairs, "--runs", tmp_path / "runs", "--checkpoint"]
    torch.save({"schema_version": 1, "options": argparse.Namespace()}, tmp_path / "pickle.pt")
    error = refused(*words, tmp_path / "pickle.pt")
    assert "pickle.pt holds a pickled argparse.Namespace, which can run code when it is read, so it was not" in error
    assert "weights_only=False" not in error
    known = load_checkpoint(checkpoint)
    for number, (change, message) in enumerate(
        [
            (
                {"metadata": {**known["metadata"], "num_heads": 5}},
                "describes no encoder that can be: hidden_size 12 must",
            ),
            ({"metadata": {**known["metadata"], "mlp_dim": "many"}}, "describes no encoder that can be"),
            ({"unetr_state_dict": {}}, "vit.blocks.0.attn.out_proj.bias: not in the checkpoint"),
            (
                {"unetr_state_dict": {**known["unetr_state_dict"], "vit.cls": torch.zeros(1)}},
                "vit.cls: not in the module",
            ),
        ]
    ):
        torch.save({**known, **change}, tmp_path / f"changed-{number}.pt")
        assert message in refused(*words, tmp_path / f"changed-{number}.pt")
    assert "missing.pt: No such file or directory" in refused(*words, tmp_path / "missing.pt")
    assert "--patch-size 48 is not that of the checkpoint, 32" in refused(*words, checkpoint, "--patch-size", 48)
    tokens = ViTConfig(img_size=16, patch_size=4, hidden_size=12, num_layers=1, num_heads=2, mlp_dim=24)
    write_checkpoint(tmp_path / "small.pt", tokens)
    assert "UNETR needs tokens of 16 voxels, those of the checkpoint have 4" in refused(*words, tmp_path / "small.pt")


def test_classes_that_a_split_lacks_are_refused(classes, tmp_path):
    rows = [{"image": f"{n}.nii.gz", "class": ("smooth", "rough")[n % 2], "split": "train"} for n in range(4)]
    rows += [{"image": f"{n}.nii.gz", "class": "rough", "split": "val"} for n in (5, 7)]
    table = write_table(classes.parent / "one.csv", rows)
    error = refused(table, "--patch-size", 32, "--width", 12, "--heads", 2, "--runs", tmp_path)
    assert "no case of class ['smooth'] in the 2 cases of the split val, and AUROC needs all" in error


@pytest.mark.slow
def test_real_hippocampi_are_segmented(real_volumes, tmp_path):
    words = [*SIZES, "--split-seed", 0, "--overlap", 0, "--modality", "MR", "--runs", tmp_path]
    outcome = CliRunner().invoke(main, [str(real_volumes / "msd_hippocampus"), *TINY, *map(str, words)])
    assert outcome.exit_code == 0, outcome.output
    assert "train: 21 cases of 21 subjects" in outcome.stdout
    assert "val: 9 cases of 9 subjects" in outcome.stdout
    assert 0 <= read_events(tmp_path / "scratch-0.jsonl")[-1]["metrics"]["dice"] < 1
