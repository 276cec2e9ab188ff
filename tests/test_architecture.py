"""Who may import whom, read from the source by `ast`, and what `import mixio` costs."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("mixio", "models", "tools", "benchmarks", "tests")
MAY_IMPORT = {
    "mixio": {"mixio"},
    "models": {"models"},
    "tools": {"tools", "mixio", "models"},
    "benchmarks": {"benchmarks", "mixio", "models", "tools"},
    "tests": set(ROOMS),
}
ORDER = """errors jsonl volume memory terminal readers preprocess foreground content resample cast codec blob row stores
manifest sources recipes splits settings journal originals prepare writer tasks telling dask workers packing
quarantine conversion convert allocation draws tree schedule taken segment segments weights mixture caps units pools
asked corners native normalize shards patches store consumed repeats delivered drift ranks ledger damaged crops buffers
late sampler dataset ahead device loader verify inspection cli""".split()
HOMES = {
    "torch": {f"mixio/{name}.py" for name in ("late", "ranks", "sampler", "dataset", "device", "loader")},
    "nibabel": {f"mixio/readers/{name}.py" for name in ("nifti", "analyze", "mgh")},
    "pyarrow": {"mixio/stores/parquet.py"},
    "numcodecs": {"mixio/blob.py", "mixio/native.py"},
    "google_crc32c": {"mixio/blob.py", "mixio/native.py"},
    "scipy": {"mixio/resample.py"},
    "obstore": {"mixio/stores/objects.py"},
    "distributed": set(),
    "zarr": set(),
    "pydicom": {"mixio/readers/dicom_file.py"},
    "SimpleITK": {"mixio/readers/itk.py"},
    "PIL": {"mixio/inspection/pictures.py"},
}


def imports(path: Path) -> set[str]:
    """The modules a file imports, dotted."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_what_it_may(room: str) -> None:
    for path in (ROOT / room).rglob("*.py"):
        rooms = {name.partition(".")[0] for name in imports(path)} & set(ROOMS)
        assert rooms <= MAY_IMPORT[room], path


def test_inside_mixio_imports_point_upward() -> None:
    for path in (ROOT / "mixio").rglob("*.py"):
        here = path.relative_to(ROOT / "mixio").with_suffix("").parts[0]
        if here in ("__init__", "__main__"):
            continue
        used = {name.split(".")[1] for name in imports(path) if name.startswith("mixio.")} - {here, "__version__"}
        below = {name for name in used if ORDER.index(name) >= ORDER.index(here)}
        assert not below, f"{path.name} imports {below}, which stand below it"


@pytest.mark.parametrize("library", sorted(HOMES))
def test_a_heavy_library_has_one_home(library: str) -> None:
    users = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "mixio").rglob("*.py")
        if library in {name.partition(".")[0] for name in imports(path)}
    }
    assert users <= HOMES[library]


def test_importing_mixio_loads_no_heavy_library() -> None:
    heavy = "obstore torch nibabel zarr pyarrow numcodecs scipy numpy".split()
    code = f"import sys, mixio; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


@pytest.mark.parametrize("room", ROOMS[:-1])
def test_every_module_says_what_it_is(room: str) -> None:
    for path in (ROOT / room).rglob("*.py"):
        tree = ast.parse(path.read_text())
        assert not tree.body or ast.get_docstring(tree), f"{path} has no docstring"


def test_every_source_file_has_its_test() -> None:
    sources = {p.stem for room in ("mixio", "models") for p in (ROOT / room).glob("*.py")}
    tests = {p.stem.removeprefix("test_") for p in (ROOT / "tests").glob("test_*.py")}
    assert sources - tests <= {"__init__", "__main__", "errors", "writer"}
