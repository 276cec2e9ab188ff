"""Turns laws into the allocation that they promise the lowest mean loss for, with a certificate.

    python -m tools.allocate laws.json --budget 100000 --floor 0.05 -o allocation.json
    python -m tools.allocate laws.json --budget 100000 --weights brain-t1=2,abdomen-ct=1 --caps headneck-pet=0.1

Weights and caps name domains; a domain without a weight counts 0 once any is given, one without a cap may get
everything. The predicted losses are the laws' word, and a budget far above the fitted ones stretches it.
"""

import json
import math
from dataclasses import asdict

import click

from mixio.allocation import Allocation
from mixio.errors import InvalidArgument
from tools.command import command
from tools.laws import Laws, load_laws
from tools.roles import Role, structure
from tools.solve import Solution, solve
from tools.table import table

FAR = 4
"""Beyond this many times the largest fitted budget, a prediction is called far: E and beta are poorly known."""


@command()
@click.argument("laws", type=click.Path(exists=True, dir_okay=False))
@click.option("--budget", type=click.IntRange(min=1), required=True, help="Draws of the run to come, in all.")
@click.option("--floor", type=float, default=0.05, help="The least share that any domain gets.")
@click.option("--weights", help="How much each target's loss counts: domain=number,... (all alike).")
@click.option("--caps", help="The most a domain may get: domain=share,... (everything).")
@click.option("-o", "--output", default="allocation.json", type=click.Path(dir_okay=False), help="Where it goes.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of tables.")
def main(
    laws: str, budget: int, floor: float, weights: str | None, caps: str | None, output: str, as_json: bool
) -> None:
    """Find the shares with the lowest predicted loss under LAWS and write allocation.json."""
    fitted = load_laws(laws)
    options = {"floor": floor, "weights": _numbers(weights, "--weights"), "caps": _numbers(caps, "--caps")}
    solution = solve(fitted, budget, **options)
    roles = structure(fitted, solution.shares, budget)
    provenance = {
        "laws": fitted.fingerprint,
        **options,
        "predicted_losses": solution.losses,
        "objective": solution.objective,
        "uniform_objective": solution.uniform_objective,
        "gap": solution.gap,
        "roles": {domain: asdict(role) for domain, role in roles.items()},
    }
    Allocation(solution.shares, budget, "transfer-aware", provenance).save(output)
    if as_json:
        click.echo(json.dumps({"output": output, "shares": solution.shares, "budget": budget, **provenance}))
        return
    _report(fitted, solution, roles, budget)
    click.echo(f"\nwrote {output}")
    click.echo(f"next: python -m tools.train STORE --mixture {output} --draws {budget}")


def _report(laws: Laws, solution: Solution, roles: dict[str, Role], budget: int) -> None:
    rows = []
    for domain, share in solution.shares.items():
        role, loss = roles.get(domain), solution.losses.get(domain)
        told = [role.outgoing, role.incoming, role.self_reliance, role.label] if role else [None, None, None, ""]
        rows.append([domain, share, loss, solution.uniform_losses.get(domain), *told])
    click.echo(table(["domain", "share", "loss", "at uniform", "gives", "takes", "self", "role"], rows))
    saved = 100 * (1 - solution.objective / solution.uniform_objective)
    click.echo(
        f"\npredicted mean loss at {budget} draws: {solution.objective:.4g}, "
        f"{saved:.2f} % below the uniform mixture's {solution.uniform_objective:.4g}"
    )
    click.echo(f"certificate: under these laws no allowed mixture is better by more than {solution.gap:.1e} of it")
    largest = max(laws.data.get("budgets", [budget]))
    if budget > FAR * largest:
        click.echo(f"note: the laws saw no budget above {largest:g} draws; {budget} is far beyond what they know")


def _numbers(text: str | None, option: str) -> dict[str, float] | None:
    """`a=1,b=2` as a dictionary."""
    if text is None:
        return None
    try:
        pairs = [pair.split("=") for pair in text.split(",")]
        numbers = {name: float(value) for name, value in pairs}
    except ValueError as error:
        raise InvalidArgument(f"{option} must look like brain-t1=2,abdomen-ct=1, got {text!r}") from error
    if len(numbers) < len(pairs):
        raise InvalidArgument(f"{option} names a domain twice: {text!r}")
    if not all(math.isfinite(number) for number in numbers.values()):
        raise InvalidArgument(f"{option} must be finite numbers, got {text!r}")
    return numbers


if __name__ == "__main__":
    main()
