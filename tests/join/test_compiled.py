"""Kept machine code is used again only while no source file that goes in has changed."""

import shutil
import subprocess
import sys
from pathlib import Path

import genfilt

JOIN = """
import sys
sys.path.insert(0, sys.argv[1])
import genfilt.join.cpu_loops as loops
assert loops.__file__.startswith(sys.argv[1]), loops.__file__
import numpy as np
rows = np.eye(8, dtype=np.float32)
mean = np.zeros(8, np.float32)
loops.lengths(rows.ctypes.data, 8, (0, 8), mean, 0.0)
print(sum(loops.lengths.stats.cache_hits.values()))
"""


def hits(copy: Path) -> int:
    """Run a loop in a new process and return how often kept machine code was used."""
    command = [sys.executable, "-c", JOIN, str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=copy)
    return int(done.stdout)


def test_an_edit_of_the_instructions_compiles_anew(tmp_path: Path):
    folder = Path(genfilt.__file__).parent
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("common", "join"):
        shutil.copytree(folder / name, tmp_path / "genfilt" / name, ignore=ignored)
    shutil.copy(folder / "__init__.py", tmp_path / "genfilt")
    assert hits(tmp_path) == 0
    assert hits(tmp_path) == 1
    tiles = tmp_path / "genfilt" / "join" / "llvm_scores.py"
    tiles.write_text(tiles.read_text("utf-8") + "\n# edited\n", "utf-8")
    assert hits(tmp_path) == 0
    assert hits(tmp_path) == 1
