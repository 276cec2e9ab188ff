"""The files that a source consists of: brought here, looked at cheaply, hashed."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import gettempdir

from mixio.errors import SourceError, StoreError
from mixio.readers import files_of
from mixio.sources import Source
from mixio.stores.fetch import fetched, stamps

_PIECE = 2**20


@contextmanager
def local_files(source: Source) -> Iterator[Source]:
    """The source as it is to be read: one with a url is brought into a temporary folder while the context lasts.

    Raises `SourceError` if it cannot be brought whole.
    """
    if source.url is None:
        yield source
        return
    folder = gettempdir()
    with ExitStack() as stack:
        try:
            path = stack.enter_context(fetched(source.url, Path(folder)))
        except (StoreError, FileNotFoundError) as error:
            raise SourceError(str(error)) from error
        except OSError as error:
            raise StoreError(
                f"{source.url}: cannot be brought to {folder} ({error.strerror or error}); "
                "set TMPDIR to a folder with more space"
            ) from error
        yield replace(source, path=path)


def source_files(source: Source) -> list[Path]:
    """Every file that a source, as `local_files` gives it, and its label maps consist of."""
    return [file for path in (source.path, *_labels(source)) for file in files_of(path)]


def _labels(source: Source) -> list[Path]:
    return [source.labels[name] for name in sorted(source.labels)]


def stamps_of(sources: Sequence[Source]) -> list[str | None]:
    """What tells cheaply whether a source may have changed: sizes and times of all its files; None if one is missing.

    The part before the dot leaves out the time of the last change of status, which copying to another disk resets.
    Servers are asked for many urls at once.
    """
    urls = list(dict.fromkeys(source.url for source in sources if source.url))
    seen = dict(zip(urls, stamps(urls), strict=True))
    return [_stamp(source, seen.get(source.url or "")) for source in sources]


def _stamp(source: Source, seen: str | None) -> str | None:
    """The stamp of a source, whose url a server has `seen` so."""
    if source.url and seen is None:
        return None
    paths = [] if source.url else [source.path]
    try:
        files = [file for path in (*paths, *_labels(source)) for file in files_of(path)]
        found = [(path.name, path.stat()) for path in files]
    except OSError:
        return None
    weak: list[object] = [(name, status.st_size, status.st_mtime_ns) for name, status in found]
    weak += [seen] if seen else []
    strong = [status.st_ctime_ns for _, status in found]
    return ".".join(
        hashlib.sha256(repr(part).encode(errors="surrogateescape")).hexdigest()[:16] for part in (weak, strong)
    )


def digest_of(path: Path) -> str:
    """The sha256 of a file; raises `SourceError` if it cannot be read."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
    except OSError as error:
        raise SourceError(f"{path.name}: cannot be read ({error.strerror or error}); is the disk mounted?") from error
    return digest.hexdigest()


def image_digest(source: Source, digests: Sequence[str]) -> str:
    """The sha256 of the image itself: of its one file, or of the list of its files' checksums."""
    own = digests[: len(files_of(source.path))]
    return own[0] if len(own) == 1 else hashlib.sha256("".join(own).encode()).hexdigest()
