"""What `tools.allocate` prints: shares with their error bars, gains, the path over budgets; and what to beware of."""

from collections.abc import Sequence

from tools.laws import Laws
from tools.plan import Plan
from tools.roles import Role
from tools.table import table


def allocation_table(plan: Plan) -> str:
    """A row a domain: share, loss, what it gives and takes, what more of it would bring."""
    rows = []
    volumes = any(one.volume for one in plan.marginal.values())
    for domain, share in plan.solution.shares.items():
        role, loss = plan.roles.get(domain), plan.solution.losses.get(domain)
        spread = "-" if plan.intervals is None else "{:.3f} to {:.3f}".format(*plan.intervals[domain])
        told = [role.outgoing, role.incoming, role.self_reliance, _label(role)] if role else [None, None, None, ""]
        more = plan.marginal[domain]
        extra = [more.draws.value, *([more.volume.value if more.volume else None] if volumes else [])]
        rows.append([domain, share, spread, loss, plan.solution.uniform_losses.get(domain), *extra, *told])
    gained = ["1,000 draws more", *(["a volume more"] if volumes else [])]
    header = ["domain", "share", "90 % interval", "loss", "at uniform", *gained, "gives", "takes", "self", "role"]
    return table(header, rows)


def verdict(plan: Plan, laws: Laws) -> str:
    """What the allocation promises, against what, and how surely."""
    solution = plan.solution
    saved = 100 * (1 - solution.objective / solution.uniform_objective)
    lines = [
        f"predicted {plan.measured} at {plan.budget:.0f} draws: {solution.objective:.4g}, "
        f"{saved:.2f} % below the uniform mixture's {solution.uniform_objective:.4g}"
    ]
    for name, told in plan.gains.items():
        if told.low is not None and told.high is not None:
            ends = f"{100 * told.low:.2f} to {100 * told.high:.2f}"
            lines.append(f"gain over {name} sampling: {100 * told.value:.2f} % (90 % interval {ends})")
            if told.low <= 0:
                lines.append(f"the laws cannot tell this allocation from {name} sampling: that interval holds 0")
    if laws.curves.form.convex:
        lines.append(
            f"certificate: under these laws no allowed mixture is better by more than {solution.gap:.1e} of it"
        )
    else:
        lines.append("no certificate: this form is not convex; the best of several starts is given")
    return "\n".join(lines)


def path_table(plans: Sequence[Plan]) -> str:
    """Shares at each budget."""
    domains = list(plans[0].solution.shares)
    rows = [[f"{plan.budget:.0f}", *plan.solution.shares.values(), plan.solution.objective] for plan in plans]
    return table(["budget", *domains, "objective"], rows)


def _label(role: Role) -> str:
    """hub or island, and how often the bootstrap says so."""
    often = {"hub": role.hub, "island": role.island}
    likely = max(often, key=lambda name: often[name] or 0.0)
    label, part = (role.label, often[role.label]) if role.label else (likely, often[likely])
    if part is None:
        return role.label
    return f"{label} {100 * part:.0f} %" if role.label or part >= 0.05 else ""
