"""Fields of a dataclass that are also flags of a command: each is told once, with its default and its help."""

from collections.abc import Callable
from dataclasses import Field, field
from typing import Any

import click
from click.core import ParameterSource


def flag(default: Any, text: str, kind: type | None = None) -> Any:
    """A field that is a flag too, of the type of its default, or of `kind`."""
    return field(default=default, metadata={"help": text, "type": kind or type(default)})


def name_of(one: Field[Any]) -> str:
    """How a field is written on a command line."""
    return f"--{one.name.replace('_', '-')}"


def is_given(name: str) -> bool:
    """Whether the command line of the command that is running says it; False where none runs."""
    context = click.get_current_context(silent=True)
    return context is not None and context.get_parameter_source(name) is ParameterSource.COMMANDLINE


def option_of(one: Field[Any]) -> Callable[[Any], Any]:
    """A decorator that gives a click command the flag of a field."""
    told = one.metadata
    if told["type"] is bool:
        return click.option(name_of(one), is_flag=True, help=told["help"])
    return click.option(name_of(one), default=one.default, type=told["type"], help=told["help"])
