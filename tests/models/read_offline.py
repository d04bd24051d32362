"""Reads titles with vLLM in process; runs in vLLM's environment.

python read_offline.py MODEL TITLES.json RESULTS.json
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path


def main() -> None:
    sys.path.insert(0, str(Path(__file__).parents[2]))
    from genfilt.generators.llm.vllm_offline import VllmOfflineReader

    model, titles, results = sys.argv[1:]
    with VllmOfflineReader(model) as reader:
        found = dict(reader.read(json.loads(Path(titles).read_text())))
        named = {"name": reader.name, "prompt_key": reader.prompt_key}
    rows = {key: asdict(result) for key, result in found.items()}
    Path(results).write_text(json.dumps({**named, "results": rows}))


if __name__ == "__main__":
    main()
