"""File names: which are volumes, and which files belong together."""

from pathlib import Path

from mixio.errors import SourceError

PAIRS = (".hdr", ".hdr.gz")
IMAGES = (".img", ".img.gz")
NIFTI = (".nii", ".nii.gz", *PAIRS)
MGH = (".mgh", ".mgz")
NRRD = (".nrrd", ".nhdr")
METAIO = (".mha", ".mhd")
ARCHIVE = (".npz",)
SLICE = (".dcm",)
SUFFIXES = (*NIFTI, *MGH, *NRRD, *METAIO, *ARCHIVE)


def has_suffix(path: Path, suffixes: tuple[str, ...]) -> bool:
    """Whether the name ends in one of `suffixes`, upper or lower case."""
    return path.name.lower().endswith(suffixes)


def is_volume(path: Path) -> bool:
    """Whether the file name is that of a source of its own.

    An `.img` belongs to its `.hdr`, and a `.dcm` to the folder of its series: `read_parts` takes them, a search of a
    folder does not.
    """
    return has_suffix(path, SUFFIXES)


def stem_of(path: Path) -> str:
    """The file name without its format suffix, `.nii.gz` included."""
    known = (*SUFFIXES, *IMAGES, *SLICE)
    suffix = max((s for s in known if has_suffix(path, (s,))), key=len, default=path.suffix)
    return path.name[: len(path.name) - len(suffix)] if suffix else path.name


def header_of(path: Path) -> Path:
    """The header file of a source: the `.hdr` of an `.img`, else `path` itself."""
    return _partner(path, ".hdr") if has_suffix(path, IMAGES) else path


def image_of(path: Path) -> Path:
    """The file that holds the voxels of the NIfTI header at `path`: its `.img`, or itself."""
    return _partner(path, ".img") if has_suffix(path, PAIRS) else path


def data_file(header: Path, name: str) -> Path:
    """The file beside `header` that it names; only a plain name in the same folder is followed.

    Raises `SourceError` for another folder, a list or a pattern of files, and a file that is not there.
    """
    if not name or "/" in name or "\\" in name or name in (".", "..") or "\0" in name:
        raise SourceError(f"{header.name}: its data file must lie in the same folder; move it there and name it so")
    if "%" in name or name.split()[0].upper() == "LIST":
        raise SourceError(f"{header.name}: its data is spread over several files; write it as one file first")
    path = header.with_name(name)
    if not path.is_file():
        raise SourceError(f"{header.name}: the data file that it names is not there; fetch that too")
    return path


def _partner(path: Path, suffix: str) -> Path:
    """The other half of a pair: same stem, `suffix` plain or gzipped, preferably as `path` is."""
    stem, gz = stem_of(path), path.name.lower().endswith(".gz")
    names = [f"{suffix}.gz", suffix] if gz else [suffix, f"{suffix}.gz"]
    for name in (*names, *(name.upper() for name in names)):
        partner = path.with_name(stem + name)
        if partner.is_file():
            return partner
    raise SourceError(f"{path.name}: its {suffix} file is not beside it; a pair needs both")
