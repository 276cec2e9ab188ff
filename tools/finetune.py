"""Fine-tunes pretrained encoders, or a fresh one, or all to compare them: segmentation and classification.

    python -m tools.finetune DATA --checkpoint mae.pt --compare --seeds 0,1,2
    python -m tools.finetune cases.csv --steps 1000
    python -m tools.finetune DATA --checkpoint uniform=a-{seed}.pt --checkpoint aware=b-{seed}.pt --seeds 0,1,2

DATA is a folder with images/ and labels/, or a table with the columns image and label (segmentation by UNETR) or image
and class (classification); `tools.labelled` says more. Images are brought to RAS+, spacing and intensities as
`mixio convert` does it. Writes a log of every run to --runs, a picture of predicted beside true masks, and with --save
the fine-tuned networks. Of several starts every one is compared with the first, seed by seed; {seed} in the path of a
checkpoint is that of the run. What is held out here may have been seen in pretraining: this command cannot know, and a
column split can say what was not.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any

import click

from mixio.errors import InvalidArgument
from mixio.settings import parse_spacing
from mixio.sources import MODALITIES
from tools.classification import Classification
from tools.command import command
from tools.distributed import device_of
from tools.examples import Reading, classes_of, read_examples
from tools.finetune_options import FinetuneOptions, finetune_flags
from tools.finetune_runs import Study, compared, kept, make, spread
from tools.finetune_tables import compared_table, differences_table, starts_table
from tools.finetuning import Start, Task, build, told_when_out_of_memory
from tools.labelled import Case, in_splits, read_cases
from tools.paired import Paired, interval_text
from tools.scores import Scores
from tools.starts import origins_of

PICTURE = ".png"


@command()
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--checkpoint", multiple=True, help="Take its encoder: PATH, or of several each NAME=PATH.")
@click.option("--compare", is_flag=True, help="From scratch, too.")
@click.option("--head", is_flag=True, help="Take all layers of a fine-tuned checkpoint, not its encoder alone.")
@click.option("--seeds", default="0", help="One run each: 0,1,2.")
@click.option("--classes", help="Names of the labels 1, 2, ..., or of the classes in their order: liver,spleen.")
@click.option("--split-seed", default=0, type=click.IntRange(min=0), help="Another one holds out other subjects.")
@click.option("--val-fraction", default=0.3, type=click.FloatRange(0, 1), help="Share of the subjects held out.")
@click.option("--measure", type=click.Choice(["val", "test"]), default="val", help="The split that is measured.")
@click.option("--spacing", default="native", help="In mm, as 1.5,1.5,2.0; native keeps each image's own.")
@click.option("--modality", type=click.Choice(MODALITIES), help="Of images whose row does not say it.")
@click.option("--unit", help="HU or SUV, of images whose row does not say it.")
@click.option("--runs", default="finetune", type=click.Path(file_okay=False, path_type=Path), help="For the logs.")
@click.option("--save", is_flag=True, help="Also write each fine-tuned network there.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of lines.")
@finetune_flags()
def main(
    data: Path, checkpoint: tuple[str, ...], seeds: str, runs: Path, save: bool, as_json: bool, **flags: Any
) -> None:
    """Fine-tune on the labelled cases of DATA, and measure on held-out subjects."""
    options = FinetuneOptions(**{name: flags.pop(name) for name in FinetuneOptions.__dataclass_fields__})
    numbers = _seeds(seeds)
    origins = origins_of(checkpoint, options, compare=flags["compare"], head=flags["head"])
    splits = in_splits(read_cases(data), seed=flags["split_seed"], val_fraction=flags["val_fraction"])
    study = _study(splits, options, origins.starts(numbers), runs, flags)
    say = (lambda line: None) if as_json else click.echo
    for split, cases in splits.items():
        unused = "" if split in study.splits else ", not used"
        say(f"{split}: {len(cases)} cases of {len({case.subject for case in cases})} subjects{unused}")
    results: dict[str, list[Scores]] = {name: [] for name in origins.named}
    configs = {}
    for seed, name in product(numbers, origins.named):
        start, identity = origins.start(name, seed)
        configs[name, seed] = study.config(name, start, seed, identity)
    finished = {key: kept(study, config, network=save) for key, config in configs.items()}
    for (name, seed), config in configs.items():
        scores = finished[name, seed]
        if scores is None:
            scores = _run(study, config, origins.start(name, seed)[0], save=save, say=say)
        else:
            say(f"{config['run']}: complete already")
        results[name].append(scores)
    _finish(study, results, numbers, as_json=as_json)


def _study(
    splits: dict[str, list[Case]],
    options: FinetuneOptions,
    starts: Iterable[Start],
    runs: Path,
    flags: dict[str, Any],
) -> Study:
    """The cases that are used in memory, and what is learned of them; a start that is unfit for that is refused."""
    device = device_of(options.device)
    measured = flags["measure"]
    if measured not in splits:
        raise InvalidArgument(f"--measure {measured}: no case is in that split; name it in a column split")
    cases = [case for split in splits.values() for case in split]
    names = [name.strip() for name in flags["classes"].split(",")] if flags["classes"] else None
    classes = classes_of(cases, names)
    task = _task(cases, classes, options)
    sizes = set()
    with told_when_out_of_memory(device, options):
        for start in starts:
            build(task, start, seed=0)
            sizes.add(start.encoder.img_size)
    if len(sizes) > 1:
        raise InvalidArgument(
            f"the checkpoints were pretrained on crops of {' and '.join(map(str, sorted(sizes)))} voxels, and patches "
            "are of that size: they would not be compared on the same patches"
        )
    reading = Reading(parse_spacing(flags["spacing"]), flags["modality"], flags["unit"])
    examples = {split: read_examples(splits[split], classes, reading) for split in ("train", measured)}
    task.require(examples)
    return Study(task, options, examples, measured, device, runs)


def _task(cases: list[Case], classes: tuple[str, ...], options: FinetuneOptions) -> Task:
    if cases[0].label is None:
        return Classification(classes, hidden=options.hidden, probe=options.probe)
    if options.probe or options.hidden:
        raise InvalidArgument(
            "--probe and --hidden are of classifiers, and these cases have label maps; leave them out"
        )
    from tools.segmentation import Segmentation  # here, for it brings MONAI

    return Segmentation(classes, features=options.features, overlap=options.overlap)


def _run(study: Study, config: dict[str, Any], start: Start, *, save: bool, say: Any) -> Scores:
    """Make one run, with its picture and, if asked for, its network beside the log."""

    def emit(event: dict[str, Any]) -> None:
        if event["event"] == "step":
            say(
                f"{config['run']}  step {event['step']:>5}/{study.options.steps}  loss {event['loss']:.4f}  "
                f"{event['step'] / event['seconds']:.2f} steps/s"
            )

    scores = make(study, config, start, emit=emit, save=save)
    say(f"{config['run']}  {study.task.best} {scores.metrics[study.task.best]:.4f}")
    if scores.masks:
        from tools.mask_pictures import save_masks  # here, for it brings matplotlib

        save_masks(scores, study.measured, study.task.classes, study.folder / f"{config['run']}{PICTURE}")
    return scores


def _finish(study: Study, results: dict[str, list[Scores]], seeds: Sequence[int], *, as_json: bool) -> None:
    first, *others = results
    pairs = {name: compared(study, results[first], results[name]) for name in others}
    if as_json:
        click.echo(json.dumps(_summary(study, results, seeds, pairs)))
        return
    click.echo(f"\n{study.held_out}, over {len(seeds)} seed{'s' * (len(seeds) > 1)}:")
    if len(others) == 1:
        click.echo(compared_table(pairs[others[0]], names=(first, others[0])))
    else:
        click.echo(starts_table(results))
        if others:
            click.echo(f"\nabove {first}:\n{differences_table(pairs)}")
    for name, runs in results.items():
        for seed, run in zip(seeds, runs, strict=True):
            for metric, interval in run.intervals.items():
                click.echo(
                    f"{name}-{seed} {metric}: {run.metrics[metric]:.3f}, 95 % interval {interval_text(interval)}"
                )
    click.echo(f"wrote {study.folder}/")
    if not others:
        click.echo("next: add --checkpoint mae.pt --compare --seeds 0,1,2   (whether pretraining helps)")


def _summary(
    study: Study, results: dict[str, list[Scores]], seeds: Sequence[int], pairs: dict[str, list[Paired]]
) -> dict[str, Any]:
    return {
        "task": study.task.kind,
        "classes": study.task.classes,
        "held_out": study.held_out,
        "cases": {split: len(examples) for split, examples in study.splits.items()},
        "seeds": seeds,
        "starts": {
            name: {"runs": [run.metrics for run in runs], "metrics": spread(runs)} for name, runs in results.items()
        },
        "intervals": {name: [run.intervals for run in runs] for name, runs in results.items()},
        "paired": [
            {"starts": [next(iter(results)), name], **asdict(pair)} for name, found in pairs.items() for pair in found
        ],
        "logs": [str(study.log(name, seed)) for name in results for seed in seeds],
    }


def _seeds(text: str) -> list[int]:
    try:
        seeds = [int(word) for word in text.split(",")]
    except ValueError:
        seeds = []
    if not seeds or min(seeds) < 0 or len(set(seeds)) < len(seeds):
        raise InvalidArgument(f"--seeds must be whole numbers from 0 on, each once, as in 0,1,2; got {text!r}")
    return seeds


if __name__ == "__main__":
    main()
