"""How every command of `tools` meets a user: one clear line and exit 2 for wrong use, no traceback.

Use it in place of `click.command`:

    @command()
    @click.argument("store")
    def main(store: str) -> None:
        "Count the volumes of STORE."
"""

import math
from collections.abc import Callable
from typing import Any

import click

from mixio.errors import InvalidArgument
from mixio.terminal import one_line_errors


class Command(click.Command):
    """A click command that turns a `MixioError`, or a failing file system, into one line and exit code 2."""

    def invoke(self, ctx: click.Context) -> Any:
        with one_line_errors(ctx):
            return super().invoke(ctx)


def command() -> Callable[[Callable[..., Any]], Command]:
    """Decorate a function into a `Command`, with `-h` beside `--help` and defaults shown."""
    settings = {"help_option_names": ["-h", "--help"], "show_default": True, "max_content_width": 110}
    return click.command(cls=Command, context_settings=settings)


def numbers(text: str | None, option: str) -> dict[str, float] | None:
    """`a=1,b=2` as a dictionary, None as None; `InvalidArgument` names the option that it is the value of."""
    if text is None:
        return None
    try:
        pairs = [pair.split("=") for pair in text.split(",")]
        found = {name.strip(): float(value) for name, value in pairs}
    except ValueError as error:
        raise InvalidArgument(f"{option} must look like brain-t1=2,abdomen-ct=1, got {text!r}") from error
    if len(found) < len(pairs):
        raise InvalidArgument(f"{option} has a name twice: {text!r}")
    if not all(math.isfinite(number) for number in found.values()):
        raise InvalidArgument(f"{option} must be finite numbers, got {text!r}")
    return found
