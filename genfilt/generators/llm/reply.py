"""What is asked of a language model and how its reply is judged: pure functions, no model."""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import dataclass
from typing import Any

from genfilt.generators.prompts import render
from genfilt.generators.protocols import FIELDS, Attributes, Caption, Failure
from genfilt.store.keys import text_key

MAX_CHARS = 64  # of one field's value
FIRST_LIMIT = len(FIELDS) * MAX_CHARS + 60  # tokens: a token a character, and the JSON around
SECOND_LIMIT = 3 * FIRST_LIMIT  # a character outside the vocabulary can cost three tokens
CAPTION_LIMITS = (96, 288)

# Without the quote, the backslash and control characters a string needs no escapes, and xgrammar
# and guidance understand the same by it.
_CHAR = r'[^"\\\u0000-\u001f\u007f-\u009f]'
PATTERN = rf"^{_CHAR}{{1,{MAX_CHARS}}}$"
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        field: {"anyOf": [{"type": "string", "pattern": PATTERN}, {"type": "null"}]}
        for field in FIELDS
    },
    "required": list(FIELDS),
    "additionalProperties": False,
}

_ABSENT = {"", "-", "null", "none", "n/a", "na", "nil", "unknown", "not specified"}
_LOOP = re.compile(r"(.{1,12}?)\1{5,}", re.DOTALL)  # a unit six times over
_LOOP_CHARS = 12


@dataclass(frozen=True)
class Reply:
    """A server's or an engine's answer to one request."""

    text: str
    finish_reason: str | None
    prompt_tokens: int = 0
    completion_tokens: int = 0


def build_prompt(title: str) -> str:
    """Return what a language model is asked about a title: fixed instructions, the title last."""
    return render("title_attributes", title=title)


def attributes_prompt_key() -> str:
    """Return the key of all that is asked about a title: prompt, schema and limits."""
    asked = {"prompt": build_prompt(""), "schema": SCHEMA, "limits": [FIRST_LIMIT, SECOND_LIMIT]}
    return text_key(json.dumps(asked, sort_keys=True))


def caption_prompt_key(prompt: str) -> str:
    """Return the key of what is asked about a picture."""
    return text_key(prompt)


def parse_reply(title: str, reply: Reply, attempts: int) -> Attributes | Failure:
    """Return what a reply says of a title, or why it is no answer.

    The raw text of the attributes is a JSON object: `reply`, the model's own text; `invented`, the
    fields whose value the title does not hold; `attempts`, how often the model was asked. A
    failure's detail is the model's own text.
    """
    reason = _fault(reply)
    if reason is not None:
        return Failure(reason, reply.text)
    try:
        values = json.loads(reply.text)
    except ValueError:
        return Failure("reply is no JSON", reply.text)
    if not _fits(values):
        return Failure("reply does not fit the schema", reply.text)
    fields = {name: _value(values[name]) for name in FIELDS}
    invented = invented_values(title, fields)
    if any(_repeats(fields[name] or "") for name in invented) or _same(fields):
        return Failure("repeated text", reply.text)
    envelope = {"reply": reply.text, "invented": invented, "attempts": attempts}
    return Attributes(**fields, raw=json.dumps(envelope, ensure_ascii=False))


def parse_caption(prompt: str, reply: Reply) -> Caption | Failure:
    """Return a caption on one line, or why the reply is none: cut off, empty, an echo, a loop."""
    reason = _fault(reply)
    if reason is not None:
        return Failure(reason, reply.text)
    return check_caption(prompt, reply.text)


def check_caption(prompt: str, text: str) -> Caption | Failure:
    """Return the text as a caption on one line, or why it is none: empty, an echo, a loop."""
    caption = " ".join(text.split())
    if not any(char.isalnum() for char in caption):
        return Failure("empty reply", text)
    if _plain(caption) == _plain(prompt):
        return Failure("reply repeats the prompt", text)
    if _repeats(caption):
        return Failure("repeated text", text)
    return Caption(caption, raw=text)


def invented_values(title: str, attributes: dict[str, str | None]) -> list[str]:
    """Return the fields that hold a value which does not occur in the title.

    Of a field with several values, separated by commas, each must occur. Case, width and spacing
    do not matter; a value must not begin or end inside a word ("red" is not in "shredded") or
    inside a number.
    """
    plain = _plain(title)
    return [
        field
        for field, value in attributes.items()
        if value is not None and not _occurs_whole_or_by_part(_plain(value), plain)
    ]


def _occurs_whole_or_by_part(value: str, title: str) -> bool:
    return _occurs(value, title) or all(
        _occurs(part.strip(), title) for part in value.split(",") if part.strip()
    )


def _occurs(value: str, title: str) -> bool:
    start = title.find(value) if value else -1
    while start >= 0:
        end = start + len(value)
        if not _joined(title[start - 1 : start], value[0]) and not _joined(
            value[-1], title[end : end + 1]
        ):
            return True
        start = title.find(value, start + 1)
    return False


def _joined(left: str, right: str) -> bool:
    """Whether two neighbours are of one word or one number; scripts without case have no gaps."""
    if not left or not right:
        return False
    both_digits = left.isdigit() and right.isdigit()
    both_cased = left.upper() != left.lower() and right.upper() != right.lower()
    return both_digits or both_cased


def _fault(reply: Reply) -> str | None:
    if reply.finish_reason != "stop":
        return "reply was cut off" if reply.finish_reason == "length" else "reply was not finished"
    return None if reply.text.strip() else "empty reply"


def _fits(values: object) -> bool:
    return (
        isinstance(values, dict)
        and set(values) == set(FIELDS)
        and all(
            value is None or (isinstance(value, str) and re.fullmatch(PATTERN, value) is not None)
            for value in values.values()
        )
    )


def _value(text: str | None) -> str | None:
    value = " ".join((text or "").split())
    return None if value.casefold() in _ABSENT else value


def _repeats(text: str) -> bool:
    return any(len(found[0]) >= _LOOP_CHARS for found in _LOOP.finditer(f"{text} "))


def _same(fields: dict[str, str | None]) -> bool:
    """Whether one value fills three fields or more."""
    told = [value for value in fields.values() if value is not None]
    return any(told.count(value) >= 3 for value in told)


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
