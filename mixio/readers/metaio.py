"""MetaIO: header and voxels in one file (`.mha`) or in two (`.mhd`); see itk.org/Wiki/ITK/MetaIO/Documentation.

SimpleITK understands the grid. The header is parsed here as well, for what SimpleITK hides: whether the file says
where the body is, how the voxels are stored, and in which file. Voxels plain and zlib-compressed are read.
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
_DIRECTIONS = {"transformmatrix", "rotation", "orientation"}
_SPACINGS = {"elementspacing", "elementsize"}
_UNSCALED = {"elementtointensityfunctionslope": 1.0, "elementtointensityfunctionoffset": 0.0}


def read_metaio(path: Path, options: ReadOptions) -> Iterator[Part]:
    """The parts of a MetaIO image, not reoriented; raises `SourceError` for what cannot be trusted."""
    yield from parts_of(metaio_layout(path, options), options)


def metaio_layout(path: Path, options: ReadOptions) -> Layout:
    """What the header at `path` claims."""
    fields, end = parse_metaio(path)
    data = metaio_data(path, fields, end)
    _check_plain(fields, path.name)
    information = read_information(path)
    shape = checked_shape(information.shape, path.name)
    is_big = _is_true(fields.get("binarydatabyteordermsb", fields.get("elementbyteordermsb", "false")))
    dtype = information.dtype.newbyteorder(">" if is_big else "<")
    affine = information.affine
    notes: dict[str, str] = {}
    if not (fields.keys() & _DIRECTIONS and fields.keys() & _SPACINGS):
        affine, notes = stand_in(affine, options, path.name, why="TransformMatrix or ElementSpacing is not set")
    skip = _skip(fields, path.name)
    return skipped(Layout(path.name, data, 0, dtype, shape, checked_affine(affine, path.name), notes=notes), skip)


def parse_metaio(path: Path) -> tuple[dict[str, str], int]:
    """The fields of the header, names in lower case, and where the header ends."""
    fields: dict[str, str] = {}
    with open(path, "rb") as file:
        while "elementdatafile" not in fields:
            line = file.readline(_MAX_HEADER)
            name, equals, value = line.decode("latin-1").partition("=")
            if not equals or file.tell() > _MAX_HEADER:
                raise SourceError(f"{path.name}: not a MetaIO image: no ElementDataFile; fetch the file again")
            fields[name.strip().lower()] = value.strip()
        return fields, file.tell()


def metaio_data(path: Path, fields: dict[str, str], end: int) -> Data:
    """Where the voxels are stored: behind the header, or in the file that it names."""
    encoding = "zlib" if _is_true(fields.get("compresseddata", "false")) else "raw"
    if fields["elementdatafile"].lower() == "local":
        return Data(path, encoding, end)
    return Data(data_file(path, fields["elementdatafile"]), encoding)


def _check_plain(fields: dict[str, str], name: str) -> None:
    """Refuse voxels written as text or to be scaled, and lengths that are not in mm."""
    if not _is_true(fields.get("binarydata", "true")):
        raise SourceError(f"{name}: its voxels are written as text; write them as binary data")
    if fields.get("distanceunits", "mm").lower() not in ("mm", "?"):
        raise SourceError(f"{name}: lengths are not in mm; scale the spacing and say mm")
    for key, neutral in _UNSCALED.items():
        if fields.get(key) and fields[key].rstrip("0").rstrip(".") != f"{neutral:g}".rstrip("0"):
            raise SourceError(f"{name}: a scale of intensities is set, which readers treat differently; apply it first")


def _skip(fields: dict[str, str], name: str) -> int:
    """Bytes before the voxels in their file; -1 if the voxels are what ends a raw file."""
    skip = fields.get("headersize", "0")
    is_raw = not _is_true(fields.get("compresseddata", "false"))
    if not skip.removeprefix("-").isdigit() or int(skip) < (-1 if is_raw else 0):
        raise SourceError(f"{name}: such a HeaderSize is not read; write it anew without")
    return int(skip)


def _is_true(value: str) -> bool:
    return value[:1] in ("T", "t", "1")
