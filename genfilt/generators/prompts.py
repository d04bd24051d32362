"""Prompts: plain text files that anyone can read and edit, rendered by one function.

The files stand in `prompts/` at the top of the repository; an installed package carries them as
`genfilt/prompts`.
"""

from __future__ import annotations

import json
import re
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template

from genfilt.common.errors import UserError

MAX_PROMPT_CHARS = 20_000  # more does not fit the context of the models that are served
_SPECIAL = re.compile(r"<|\[(?=/?[A-Z_]+\])")


def prompt_file(name: str) -> Traversable:
    """Return a prompt's file: of the installed package, else of the checkout around the package."""
    packaged = resources.files("genfilt") / "prompts" / name
    return packaged if packaged.is_file() else Path(__file__).parents[2] / "prompts" / name


def read_prompt(file: Traversable) -> str:
    """Return a prompt's text.

    Raises:
        UserError: the file is missing, unreadable, empty or longer than MAX_PROMPT_CHARS.
    """
    try:
        text = file.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise UserError(
            f"The prompt {file} cannot be read ({error}); restore the file or name another one."
        ) from None
    if not text or len(text) > MAX_PROMPT_CHARS:
        raise UserError(
            f"The prompt {file} has {len(text):,} characters; it must have between 1 and "
            f"{MAX_PROMPT_CHARS:,}."
        )
    return text


def render(name: str, **values: str) -> str:
    """Return the prompt `prompts/NAME.txt` with each `$word` in it replaced by its value.

    A value is quoted as JSON on one line. Raises UserError where the file cannot be read or names
    a word that has no value.
    """
    source = prompt_file(f"{name}.txt")
    try:
        template = Template(read_prompt(source))
        return template.substitute({word: quote(value) for word, value in values.items()})
    except (KeyError, ValueError) as error:
        raise UserError(
            f"The prompt {source} names {error}, which has no value; write a dollar sign as $$."
        ) from None


def caption_prompt(file: Path | None = None) -> str:
    """Return what a vision-language model is asked about a picture: the file's text, else ours."""
    return render("image_caption") if file is None else read_prompt(file)


def quote(text: str) -> str:
    """Return text as a JSON string in which no model's control token survives.

    Chat templates are tokenised with their markers (`<|im_end|>`, `</s>`, `[/INST]`) alive, so a
    marker in a title would end the user's turn. JSON can spell its first character otherwise.
    """
    quoted = json.dumps(text, ensure_ascii=False)
    return _SPECIAL.sub(lambda found: f"\\u{ord(found[0]):04x}", quoted)
