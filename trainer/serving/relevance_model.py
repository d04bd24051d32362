"""Query-LIFE as a model folder of its own, and its queries' and products' vectors and scores.

The folder has config.json, model.safetensors, the tokenizer's files and, under `vision/` and
`untrained/`, the weights of a frozen vision tower and of the untrained copy, where the model has
them; neither a hub nor a database is read again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor

from genfilt.common.arrays import Vectors
from genfilt.common.atomic import follow_umask, replaced, write_text
from genfilt.common.errors import UserError
from genfilt.common.photos import open_photo
from trainer.config import ModelConfig
from trainer.model.encoder import load_bert
from trainer.model.query_life import QueryLife
from trainer.model.untrained_copy import load_untrained_copy
from trainer.model.vision import FrozenTower, build_tower
from trainer.training import checkpoint

if TYPE_CHECKING:
    from PIL.Image import Image
    from transformers import BertConfig, BertModel, PreTrainedModel, PreTrainedTokenizerBase

MODEL_TYPE, FORMAT, VISION, UNTRAINED = "query_life", 1, "vision", "untrained"
BATCH = 64
Item = TypeVar("Item")
Picture: TypeAlias = "str | Path | Image | None"
"""A picture file, an opened picture, or None for a product without one."""


class RelevanceModel:
    """Query-LIFE as two towers: unit vectors of queries and products, scored by inner product.

    Args:
        model: trained.
        device: where it computes; by default a GPU where there is one.
        bert: the sizes of its BERT, where they are known already.
    """

    def __init__(
        self,
        model: QueryLife,
        device: str | torch.device | None = None,
        bert: BertConfig | None = None,
    ) -> None:
        chosen = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self.device = torch.device(chosen)
        self.model = model.eval().to(self.device)
        self._bert = bert

    @classmethod
    def from_run(cls, run: Path | str, device: str | torch.device | None = None) -> RelevanceModel:
        """Return the highest stage that a run's folder holds.

        Raises:
            UserError: it has no whole one.
        """
        return cls(checkpoint.load_model(checkpoint.latest_stage(Path(run))), device)

    @classmethod
    def from_pretrained(
        cls, folder: Path | str, device: str | torch.device | None = None
    ) -> RelevanceModel:
        """Return the model that `save_pretrained` wrote to a folder.

        Raises:
            UserError: the folder is missing, not whole, or of another version.
        """
        path = Path(folder)
        config, bert = _read_config(path)
        copy = load_untrained_copy(replace(config, bert=str(path / UNTRAINED)))
        tower, tokenizer = build_tower(config), _tokenizer(path, bert)
        model = QueryLife(config, _fresh_bert(bert), tower, tokenizer, copy)
        checkpoint.load_weights(model, path)
        return cls(model, device, bert)

    def save_pretrained(self, folder: Path | str) -> None:
        """Write the model to a folder, config.json last: a folder that has one is whole.

        Other files of the folder are kept. Files have the permissions that the umask gives.

        Raises:
            UserError: the folder cannot be written.
        """
        from safetensors.torch import save_file

        path, model = Path(folder), self.model
        if model.tokenizer is None:
            raise UserError("A model without a tokenizer cannot be exported; build it with one.")
        text = json.dumps(self._described(), indent=1)
        try:
            path.mkdir(parents=True, exist_ok=True)
            (path / checkpoint.CONFIG).unlink(missing_ok=True)
            model.tokenizer.save_pretrained(path)
            if isinstance(model.vision, FrozenTower):
                _save_tower(model.vision, path / VISION)
            if model.untrained is not None:
                _save_checkpoint(model.untrained.bert, path / UNTRAINED)
            with replaced(path / checkpoint.WEIGHTS, "--to") as part:
                save_file(checkpoint.stored(model), part, {"format": "pt"})
                follow_umask(part)
        except (OSError, SafetensorError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UserError(
                f"The model cannot be written to {path} ({reason}); give another --to."
            ) from error
        write_text(path / checkpoint.CONFIG, text + "\n", "--to")

    @property
    def width(self) -> int:
        """D, the width of the vectors."""
        return self.model.width

    @torch.inference_mode()
    def encode_query(self, queries: Sequence[str], batch_size: int = BATCH) -> Vectors:
        """Return Q, unit float32 vectors (N, D) of queries."""
        made = [
            self.model.encode_queries(*self._tokens(part)).embedding
            for part in _parts(queries, batch_size)
        ]
        return self._stacked(made)

    def encode_product(
        self, titles: Sequence[str], images: Sequence[Picture], batch_size: int = BATCH
    ) -> Vectors:
        """Return M, unit float32 vectors (N, D) of products.

        Args:
            titles: one a product.
            images: a path or a Pillow image a product; None, for a product without one, counts
                as a white one.
            batch_size: how many are computed at once.

        Raises:
            UserError: there are not as many images as titles, or a picture cannot be read.
        """
        if len(titles) != len(images):
            raise UserError(
                f"There are {len(titles)} titles and {len(images)} images; give one of each "
                "a product, None where it has no picture."
            )
        made = [
            self.encode_pixels(
                list(titles[part]), torch.stack([self.pixels(image) for image in images[part]])
            )
            for part in _slices(len(titles), batch_size)
        ]
        return np.concatenate(made) if made else self._stacked([])

    @torch.inference_mode()
    def encode_pixels(self, titles: list[str], pixels: Tensor) -> Vectors:
        """Return M (N, D) of titles and pixels (N, 3, S, S) that `pixels` made, in one batch."""
        states = self.model.encode_images(pixels.to(self.device)).states
        return self._stacked([self.model.fuse(*self._tokens(titles), states).embedding])

    def score(
        self, queries: Sequence[str], titles: Sequence[str], images: Sequence[Picture]
    ) -> Vectors:
        """Return the scores (Q, N) of every query with every product, each within [-1, 1]."""
        scores: Vectors = self.encode_query(queries) @ self.encode_product(titles, images).T
        return scores

    def pixels(self, image: Picture) -> Tensor:
        """Return a path's or a Pillow image's pixels (3, S, S), white where it is None.

        Raises:
            UserError: there is no picture at the path, or none that is whole.
        """
        return picture_reader(self.model.image_transform)(image)

    def _described(self) -> dict[str, object]:
        config = self.model.config
        bert = self._bert or load_bert(config).config
        return {
            "model_type": MODEL_TYPE,
            "format": FORMAT,
            "model": asdict(replace(config, vision=config.vision and VISION)),
            "bert": bert.to_diff_dict(),
        }

    def _tokens(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        tokens = self.model.tokenize(list(texts))
        return tokens["input_ids"].to(self.device), tokens["attention_mask"].to(self.device)

    def _stacked(self, parts: list[Tensor]) -> Vectors:
        if not parts:
            return np.empty((0, self.width), dtype=np.float32)
        return np.asarray(torch.cat(parts).float().cpu().numpy(), dtype=np.float32)


def load(folder: Path | str) -> RelevanceModel:
    """Return the model of an exported folder or of a run's.

    Raises:
        UserError: the folder holds neither.
    """
    path = Path(folder)
    return (
        RelevanceModel.from_pretrained(path)
        if (path / checkpoint.CONFIG).is_file()
        else RelevanceModel.from_run(path)
    )


def picture_reader(transform: Callable[..., Tensor]) -> Callable[[Picture], Tensor]:
    """Return what reads a path, a Pillow image or None into pixels (3, S, S)."""
    from PIL import Image

    def read(image: Picture) -> Tensor:
        if image is None:
            return transform(Image.new("RGB", (8, 8), "white"))
        if isinstance(image, Image.Image):
            return transform(image)
        try:
            return transform(open_photo(Path(image)))
        except Exception as fault:  # Pillow's readers raise whatever a broken file leads to
            raise UserError(
                f"The picture {image} cannot be read ({fault}); give another path, "
                "or None for a product without a picture."
            ) from fault

    return read


def _read_config(folder: Path) -> tuple[ModelConfig, BertConfig]:
    from transformers import BertConfig

    path = folder / checkpoint.CONFIG
    try:
        values = json.loads(path.read_text("utf-8"))
        if (values["model_type"], values["format"]) != (MODEL_TYPE, FORMAT):
            raise ValueError(f"it is a {values['model_type']} of format {values['format']}")
        config = ModelConfig(**values["model"])
        tower = config.vision and str(folder / VISION)
        return replace(config, vision=tower), BertConfig(**values["bert"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{folder} has no model that this trainer exported ({error}); "
            f"run trainer export --to {folder}."
        ) from error


def _fresh_bert(config: BertConfig) -> BertModel:
    import transformers

    bert_class: Any = transformers.BertModel
    return cast("BertModel", bert_class(config, add_pooling_layer=False))


def _tokenizer(folder: Path, bert: BertConfig) -> PreTrainedTokenizerBase:
    from transformers import AutoTokenizer

    try:
        # With a configuration given, transformers does not take ours for one of its own.
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder, config=bert)
        if not tokenizer.get_added_vocab().keys() < tokenizer.get_vocab().keys():
            raise ValueError("no word is known")  # what transformers makes of missing files
    except (OSError, ValueError) as error:
        raise UserError(
            f"{folder} lacks the tokenizer's files ({str(error).splitlines()[0]}); "
            f"run trainer export --to {folder} again."
        ) from error
    return tokenizer


def _save_tower(tower: FrozenTower, folder: Path) -> None:
    _save_checkpoint(tower.model, folder)
    transform = tower.transform
    shape = {"height": transform.size, "width": transform.size}
    values = {"size": shape, "image_mean": transform.mean, "image_std": transform.std}
    (folder / "preprocessor_config.json").write_text(json.dumps(values, indent=1), "utf-8")


def _save_checkpoint(model: PreTrainedModel, folder: Path) -> None:
    model.save_pretrained(folder)
    for file in folder.glob("*.safetensors"):
        follow_umask(file)


def _parts(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    return (items[part] for part in _slices(len(items), size))


def _slices(count: int, size: int) -> Iterator[slice]:
    return (slice(start, start + size) for start in range(0, count, size))
