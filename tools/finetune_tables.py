"""What the command of fine-tuning prints."""

from collections.abc import Mapping, Sequence

from tools.finetune_runs import spread
from tools.paired import Paired, interval_text
from tools.scores import Scores
from tools.table import table


def starts_table(results: Mapping[str, Sequence[Scores]]) -> str:
    """Every metric of every start: its mean and standard deviation over the seeds."""
    rows = [
        [name, metric, values["mean"], values["deviation"]]
        for name, runs in results.items()
        for metric, values in spread(runs).items()
    ]
    return table(["start", "metric", "mean", "sd"], rows)


def compared_table(pairs: Sequence[Paired], *, names: tuple[str, str]) -> str:
    """Every metric of two starts side by side, and their difference."""
    rows = [
        [
            pair.metric,
            *(number for arm in pair.arms for number in (arm.mean, arm.deviation)),
            pair.difference,
            interval_text(pair.over_seeds),
            interval_text(pair.over_subjects),
        ]
        for pair in pairs
    ]
    header = ["metric", names[0], "sd", names[1], "sd", "difference", "95 % over seeds", "95 % over subjects"]
    return table(header, rows)


def differences_table(pairs: Mapping[str, Sequence[Paired]]) -> str:
    """Every metric of every start but the first, as its difference from the first one's."""
    rows = [
        [name, pair.metric, pair.difference, interval_text(pair.over_seeds), interval_text(pair.over_subjects)]
        for name, found in pairs.items()
        for pair in found
    ]
    return table(["start", "metric", "difference", "95 % over seeds", "95 % over subjects"], rows)
