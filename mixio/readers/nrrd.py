"""NRRD, header and voxels in one file or (`.nhdr`) in two; see teem.sourceforge.net/nrrd/format.html.

SimpleITK understands the grid. The header is parsed here as well, for what SimpleITK hides: whether the file says
where the body is, how the voxels are stored, and in which file. Encodings raw and gzip are read.
"""

from collections.abc import Iterator
from pathlib import Path

from mixio.errors import SourceError
from mixio.readers.affines import checked_affine, stand_in
from mixio.readers.frames import parts_of
from mixio.readers.itk import read_information
from mixio.readers.layout import Data, Layout, checked_shape, skipped
from mixio.readers.names import data_file
from mixio.readers.parts import Part, ReadOptions

_MAX_HEADER = 1 << 20
_SPACES = set(
    "left-posterior-superior right-anterior-superior left-anterior-superior lps ras las "
    "left-posterior-superior-time right-anterior-superior-time left-anterior-superior-time lpst rast last".split()
)
_ENCODINGS = {"raw": "raw", "gzip": "gzip", "gz": "gzip"}
_OTHER_ENCODINGS = ("ascii", "text", "txt", "hex", "bzip2", "bz2")


def read_nrrd(path: Path, options: ReadOptions) -> Iterator[Part]:
    """The parts of an NRRD file, not reoriented; raises `SourceError` for what cannot be trusted."""
    yield from parts_of(nrrd_layout(path, options), options)


def nrrd_layout(path: Path, options: ReadOptions) -> Layout:
    """What the header at `path` claims."""
    fields, end = parse_nrrd(path)
    data = nrrd_data(path, fields, end)
    _check_units(fields, path.name)
    information = read_information(path)
    shape = checked_shape(information.shape, path.name)
    # SimpleITK has refused a header that needs a byte order and says none.
    dtype = information.dtype.newbyteorder(">" if fields.get("endian") == "big" else "<")
    affine = information.affine
    notes: dict[str, str] = {}
    if fields.get("space") not in _SPACES:
        affine, notes = stand_in(affine, options, path.name, why="the header names no anatomical space")
    elif "spacedirections" not in fields:
        affine, notes = stand_in(affine, options, path.name, why="the header has no space directions")
    skip = _skip(fields, path.name)
    return skipped(Layout(path.name, data, 0, dtype, shape, checked_affine(affine, path.name), notes=notes), skip)


def parse_nrrd(path: Path) -> tuple[dict[str, str], int]:
    """The fields of the header, names and values in lower case but for the data file's, and where the header ends."""
    with open(path, "rb") as file:
        if not file.read(8).startswith(b"NRRD000"):
            raise SourceError(f"{path.name}: not an NRRD file; fetch the file again")
        file.seek(0)
        fields: dict[str, str] = {}
        while (line := file.readline(_MAX_HEADER)).strip():
            name, colon, value = line.decode("latin-1").strip().partition(": ")
            key = name.lower().replace(" ", "")
            if colon and not line.startswith(b"#") and ":=" not in name:
                fields[key] = value.strip() if key == "datafile" else value.strip().lower()
            if file.tell() > _MAX_HEADER:
                raise SourceError(f"{path.name}: its header is longer than {_MAX_HEADER} bytes; make the file again")
        return fields, file.tell()


def nrrd_data(path: Path, fields: dict[str, str], end: int) -> Data:
    """Where the voxels are stored: behind the header, or in the file that it names."""
    encoding = _ENCODINGS.get(fields.get("encoding", ""))
    if encoding is None:
        told = fields.get("encoding", "")
        which = f"encoding {told}" if told in _OTHER_ENCODINGS else "an unknown encoding"  # no text of a header is told
        raise SourceError(f"{path.name}: {which}, expected raw or gzip; write it as gzip")
    if "datafile" in fields:
        return Data(data_file(path, fields["datafile"]), encoding)
    return Data(path, encoding, end)


def _skip(fields: dict[str, str], name: str) -> int:
    """Decoded bytes before the voxels; -1 if the voxels are what ends a raw file."""
    lines, skip = fields.get("lineskip", "0"), fields.get("byteskip", "0")
    least = -1 if fields["encoding"] == "raw" else 0
    if lines != "0" or not skip.removeprefix("-").isdigit() or int(skip) < least:
        raise SourceError(f"{name}: such a line skip or byte skip is not read; write it anew without")
    return int(skip)


def _check_units(fields: dict[str, str], name: str) -> None:
    units = set(fields.get("spaceunits", "").replace('"', " ").split())
    if units - {"mm", "s", "ms"}:
        raise SourceError(f"{name}: lengths are not in mm; scale the space directions and say mm")
