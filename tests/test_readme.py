"""The README's code runs, block by block and in its order, on a small corpus."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tools.phantoms import write_corpus

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
SMALLER = {
    "tools.benchmark": "--seconds 0.2",
    "tools.sweep": "--budgets 16,32 --mixtures 4",
    "tools.train": "--draws 64",
}


def blocks() -> list[tuple[str, str]]:
    return re.findall(r"```(bash|python)\n(.*?)```", README, re.DOTALL)


def commands(language: str, block: str) -> list[list[str]]:
    """What to run for a block; budgets are cut down, nothing else is changed."""
    if language == "python":
        return [[sys.executable, "-c", block.replace("1_000_000", "32")]]
    lines = []
    for line in block.splitlines():
        words = line.split()
        tool = next((name for name in SMALLER if name in words), None)
        words += SMALLER[tool].split() if tool else []
        lines.append([sys.executable, *(["-m", "mixio", *words[1:]] if words[0] == "mixio" else words[1:])])
    return lines


@pytest.mark.slow
def test_every_block_of_the_readme_runs(tmp_path: Path) -> None:
    write_corpus(tmp_path, scale=0.4)
    assert len(blocks()) == 5
    for language, block in blocks():
        for command in commands(language, block):
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    assert (tmp_path / "mae.pt").exists()
    assert (tmp_path / "report" / "index.html").exists()


def test_every_source_file_is_in_the_tree() -> None:
    tree = README[README.index("## Files") :]
    for room in ("mixio", "models", "tools", "benchmarks"):
        for path in (ROOT / room).rglob("*.py"):
            if not path.name.startswith("__"):
                assert re.search(rf"(?<!\w){re.escape(path.name)}", tree), f"{path} is missing from the file tree"
