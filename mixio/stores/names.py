"""The names of objects, checked at the door of every place, and what is put there under them."""

from collections.abc import Callable, Iterable

from mixio.errors import InvalidArgument

Pieces = bytes | Iterable[bytes]
"""The content of an object, at once or bit by bit."""

Write = Callable[[str, Pieces], None]


def checked(name: str) -> str:
    """The name, if it is a relative path of plain components; `InvalidArgument` otherwise."""
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts) or "\\" in name or "\0" in name:
        raise InvalidArgument(f"{name!r} is no name of an object; expected components joined by '/', none of them '..'")
    return name
