"""The pages of docs/adopt: the example of each runs as it stands beside a small store, in one process or in several."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from mixio.store import Store

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "adopt"
SHARES = {"abdomen-ct": 0.5, "brain-t1": 0.3, "pet": 0.2}


def example(page: str) -> str:
    """The one Python block of a page."""
    (code,) = re.findall(r"```python\n(.*?)```", (FOLDER / f"{page}.md").read_text(), re.DOTALL)
    return str(code)


def run_example(page: str, store: Store, folder: Path, *, processes: int = 1) -> str:
    """What the example prints, run in a folder that holds a copy of `store` under that name."""
    shutil.copytree(store.path, folder / "store")
    (folder / "train.py").write_text(example(page))
    return run([*torchrun(processes), "train.py"], folder)


def torchrun(processes: int) -> list[str]:
    """Arguments that start a program in so many processes, which find each other."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    return launcher if processes > 1 else []


def run(arguments: Sequence[str | Path], folder: Path, *, code: int = 0) -> str:
    """What Python prints with these arguments in `folder`, if it ends with this exit code."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        environment.pop(name, None)
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == code, f"{command} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout
