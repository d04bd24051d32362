"""A published model with its tokenizer and preprocessing, from a folder or the hub."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from genfilt.common.errors import UserError
from trainer.baselines.pixels import NamedPictures, named_pictures
from trainer.model.encoder import load_whole

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Model = TypeVar("Model")


def read_checkpoint(
    model_class: type[Model], name: str, title: str, option: str
) -> tuple[Model, PreTrainedTokenizerBase, NamedPictures]:
    """Return the model, its tokenizer and its preprocessing of pictures.

    Args:
        model_class: of transformers.
        name: a folder or hub name.
        title: of the model, for the error.
        option: the command-line option that names it, for the error.

    Raises:
        UserError: a part cannot be read, or weights are missing.
    """
    from transformers import AutoTokenizer

    try:
        model, info = load_whole(model_class, name)
        if missing := sorted(info["missing_keys"]):
            raise ValueError(f"{len(missing)} weights are missing, {missing[0]} first")
        return model, AutoTokenizer.from_pretrained(name), named_pictures(name)
    except (OSError, ValueError, KeyError) as fault:
        raise UserError(
            f"No {title} can be read from '{name}' ({str(fault).splitlines()[0]}); leave {option} "
            "out for a small one from scratch, or give the folder or hub name of a "
            f"{model_class.__name__}."
        ) from fault
