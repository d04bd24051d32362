"""The prompts: plain text files that anyone can read and edit, rendered by one function.

The files stand in `prompts/` at the top of the repository; `genfilt/prompts` links there, so that
an installed package carries them.
"""

from __future__ import annotations

import json
import re
from importlib import resources
from string import Template

from genfilt.common.errors import UserError

_SPECIAL = re.compile(r"<|\[(?=/?[A-Z_]+\])")


def render(name: str, **values: str) -> str:
    """Return the prompt `prompts/NAME.txt` with each `$word` in it replaced by its value.

    A value is quoted as JSON on one line. Raises UserError where the file is missing or names a
    word that has no value.
    """
    source = resources.files("genfilt") / "prompts" / f"{name}.txt"
    try:
        template = Template(source.read_text(encoding="utf-8").strip())
        return template.substitute({word: quote(value) for word, value in values.items()})
    except FileNotFoundError:
        raise UserError(
            f"The prompt {source} is missing; reinstall genfilt or restore the file."
        ) from None
    except (KeyError, ValueError) as error:
        raise UserError(
            f"The prompt {source} asks for {error}, which nothing fills; a dollar sign is $$ there."
        ) from None


def quote(text: str) -> str:
    """Return text as a JSON string in which no model's control token survives.

    Chat templates are tokenised with their markers (`<|im_end|>`, `</s>`, `[/INST]`) alive, so a
    marker in a title would end the user's turn. JSON can spell its first character otherwise.
    """
    quoted = json.dumps(text, ensure_ascii=False)
    return _SPECIAL.sub(lambda found: f"\\u{ord(found[0]):04x}", quoted)
