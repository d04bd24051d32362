"""The worker process of a LAVIS model, in a separate environment; genfilt writes to its pipes.

Run as `python lavis_worker.py OPTIONS`, OPTIONS being a JSON object: `model`, either ARCH:TYPE of
LAVIS's model zoo or the path of a LAVIS configuration whose `model.arch` names the class; `prompt`,
"" for the model's own. Each line on a pipe is one JSON object.

    out  {"ready": "cuda"}                                once, when the model is loaded
    out  {"fatal": "reason"}                              instead, when it cannot be; then the end
    in   {"pictures": {"KEY": "PATH", ...}}               a batch
    out  {"key": "KEY", "caption": "..."}                 one line for each picture, in any order,
    out  {"key": "KEY", "reason": "...", "detail": "..."}     or this where there is no caption
    out  {"done": N}                                      the batch is through

The process ends when its input does. Whatever a library prints goes to standard error. genfilt is
not installed there: of it only common/photos.py is loaded, by its path.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import IO, Any

MAX_TOKENS = 60  # of a caption
PHOTOS = Path(__file__).parents[3] / "common" / "photos.py"  # genfilt is not installed here

_KEPT: list[object] = []  # operators vanish with the library object that declared them

Describe = Callable[[Sequence[object]], list[str]]
Prepare = Callable[[str], object]


def serve(lines: Iterable[str], out: IO[str], prepare: Prepare, describe: Describe) -> None:
    """Answer batches until the input ends; `prepare` opens a picture, `describe` takes several."""
    for line in lines:
        pictures = json.loads(line)["pictures"]
        opened = {}
        for key, path in pictures.items():
            try:
                opened[key] = prepare(path)
            except Exception as error:
                _send(out, key=key, reason="unreadable picture", detail=f"{path}: {error}")
        for key, answer in _describe_within_memory(opened, describe).items():
            _send(out, key=key, **answer)
        _send(out, done=len(pictures))


def _describe_within_memory(
    opened: dict[str, object], describe: Describe
) -> dict[str, dict[str, str]]:
    """Return caption or reason by key, in halves where memory runs out."""
    if not opened:
        return {}
    keys = list(opened)
    try:
        captions = describe(list(opened.values()))
    except RuntimeError as error:
        if "memory" not in str(error).lower():
            raise
        if len(keys) == 1:
            return {keys[0]: {"reason": "out of memory", "detail": str(error)}}
    else:
        return {key: {"caption": text} for key, text in zip(keys, captions, strict=True)}
    half = len(keys) // 2
    parts = (keys[:half], keys[half:])
    halves = [_describe_within_memory({k: opened[k] for k in part}, describe) for part in parts]
    return halves[0] | halves[1]


def load(model: str, prompt: str) -> tuple[str, Prepare, Describe]:
    """Load a LAVIS model and return its device and the two functions that `serve` needs."""
    define_torchvision_operators()
    import torch
    from lavis.common.registry import registry
    from lavis.models import load_model_and_preprocess, load_preprocess
    from omegaconf import OmegaConf

    device = "cuda" if torch.cuda.is_available() else "cpu"
    if Path(model).is_file():
        config = OmegaConf.load(model)
        network = registry.get_model_class(config.model.arch).from_config(config.model)
        network = (network.float() if device == "cpu" else network).eval().to(device)
        processors, _ = load_preprocess(config.preprocess)
    else:
        arch, _, kind = model.partition(":")
        network, processors, _ = load_model_and_preprocess(
            name=arch, model_type=kind, is_eval=True, device=device
        )
    open_photo = _load_file(PHOTOS).open_photo

    def prepare(path: str) -> object:
        return processors["eval"](open_photo(Path(path)))  # (3, H, W)

    def describe(pictures: Sequence[object]) -> list[str]:
        tensors: Any = list(pictures)
        samples: dict[str, object] = {"image": torch.stack(tensors).to(device)}
        if prompt:
            samples["prompt"] = prompt
        with torch.inference_mode():
            return [str(text) for text in network.generate(samples, max_length=MAX_TOKENS)]

    return device, prepare, describe


def define_torchvision_operators() -> None:
    """Declare the two operators without which PyPI's torchvision fails beside a CPU build of torch.

    The captioners call neither; torchvision only wants to register how they trace.
    """
    import torch

    if torch.version.cuda is not None or "torchvision" in sys.modules:
        return
    library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    for name in ("nms", "qnms"):
        schema = f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        library.define(schema)  # type: ignore[no-untyped-call]
    _KEPT.append(library)


def main() -> None:
    """Load what the command line names, then serve."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    options = json.loads(sys.argv[1])
    try:
        device, prepare, describe = load(options["model"], options["prompt"])
    except Exception as error:
        _send(out, fatal=f"{type(error).__name__}: {error}")
        raise
    _send(out, ready=device)
    with os.fdopen(0, encoding="utf-8") as lines:
        serve(lines, out, prepare, describe)


def _send(out: IO[str], **message: object) -> None:
    out.write(json.dumps(message, ensure_ascii=False) + "\n")
    out.flush()


def _load_file(path: Path) -> ModuleType:
    """Load one module file of genfilt, which needs nothing else of the package."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()
