"""How every command of `tools` meets a user: one clear line and exit 2 for wrong use, no traceback.

Use it in place of `click.command`:

    @command()
    @click.argument("store")
    def main(store: str) -> None:
        "Count the volumes of STORE."
"""

from collections.abc import Callable
from typing import Any

import click

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
