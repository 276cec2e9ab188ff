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

from mixio.errors import MixioError


class Command(click.Command):
    """A click command that turns a `MixioError`, or a failing file system, into one line and exit code 2."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except MixioError as error:
            click.echo(f"error: {error}", err=True)
        except OSError as error:
            click.echo(f"error: {error.filename or 'the system'}: {error.strerror or error}", err=True)
        ctx.exit(2)


def command() -> Callable[[Callable[..., Any]], Command]:
    """Decorate a function into a `Command`, with `-h` beside `--help` and defaults shown."""
    settings = {"help_option_names": ["-h", "--help"], "show_default": True, "max_content_width": 110}
    return click.command(cls=Command, context_settings=settings)
