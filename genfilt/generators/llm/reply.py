"""The judgement of a model's reply: pure functions, no model."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

from genfilt.generators.llm.title_request import PATTERN
from genfilt.generators.protocols import FIELDS, Attributes, Caption, Failure
from genfilt.store.keys import text_key

CAPTION_LIMITS = (96, 288)  # tokens of the first and of the second attempt

REPEATED = "repeated text"  # the reason that asking again at temperature 0 cannot remove
_ABSENT = {"", "-", "null", "none", "n/a", "na", "nil", "unknown", "not specified"}
_LOOP = re.compile(r"(.{1,12}?)\1{5,}", re.DOTALL)  # a unit six times over
_LOOP_CHARS = 12
# No grammar or schema of ours lets a value hold quotes; a trademark sign ends a word, and NFKC
# would turn it into letters.
_SIGNS = re.compile(r'["\\™®©℠]')


@dataclass(frozen=True)
class Reply:
    """A server's or an engine's answer to one request."""

    text: str
    finish_reason: str | None
    prompt_tokens: int = 0
    completion_tokens: int = 0


def caption_prompt_key(prompt: str) -> str:
    """Return the key of what is asked about a picture."""
    return text_key(prompt)


def parse_json(text: str) -> object:
    """Return the value of a JSON text from elsewhere; raises ValueError whatever is wrong with it.

    The standard parser answers deep nesting with RecursionError.
    """
    try:
        value: object = json.loads(text)
    except RecursionError:
        raise ValueError("JSON is nested too deeply") from None
    return value


def parse_title_reply(title: str, reply: Reply, attempts: int) -> Attributes | Failure:
    """Return the attributes in a reply about a title, or why it has none.

    A value that the title does not hold is dropped; of several values in one field, those that it
    holds stay. The raw text of the attributes is a JSON object: `reply`, the model's own text;
    `dropped`, the fields that lost a value; `attempts`, how often the model was asked. A failure's
    detail is the model's own text.
    """
    reason = _fault(reply)
    if reason is not None:
        return Failure(reason, reply.text)
    try:
        values = parse_json(reply.text)
    except ValueError:
        return Failure("reply is not JSON", reply.text)
    read = _fields(values)
    if read is None:
        return Failure("reply does not fit the schema", reply.text)
    grounded = {name: grounded_value(title, value) for name, value in read.items()}
    dropped = [name for name in FIELDS if grounded[name] != read[name]]
    if any(_repeats(read[name] or "") for name in dropped) or _same(read):
        return Failure(REPEATED, reply.text)
    envelope = {"reply": reply.text, "dropped": dropped, "attempts": attempts}
    return Attributes(**grounded, raw=json.dumps(envelope, ensure_ascii=False))


def parse_caption(prompt: str, reply: Reply) -> Caption | Failure:
    """Return a caption on one line, or why the reply is none: cut off, empty, an echo, a loop."""
    reason = _fault(reply)
    if reason is not None:
        return Failure(reason, reply.text)
    return check_caption(prompt, reply.text)


def check_caption(prompt: str, text: str) -> Caption | Failure:
    """Return the text as a caption on one line, or why it is none: empty, an echo, a loop."""
    caption = " ".join(text.split())
    if not _is_unicode(text):
        return Failure("reply is no Unicode text", text)
    if not any(char.isalnum() for char in caption):
        return Failure("empty reply", text)
    if _plain(caption) == _plain(prompt):
        return Failure("reply repeats the prompt", text)
    if _repeats(caption):
        return Failure(REPEATED, text)
    return Caption(caption, raw=text)


def grounded_value(title: str, value: str | None) -> str | None:
    """Return a field's value as far as the title holds it, None where it holds nothing of it.

    A value that does not occur as a whole is taken apart at its commas. Case, width and spacing do
    not matter; a value must not begin or end inside a word ("red" is not in "shredded") or inside
    a number.
    """
    if value is None:
        return None
    plain = _plain(title)
    if _occurs(_plain(value), plain):
        return value
    parts = [part.strip() for part in value.split(",")]
    return ", ".join(part for part in parts if part and _occurs(_plain(part), plain)) or None


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
    if not _is_unicode(reply.text):
        return "reply is no Unicode text"
    return None if reply.text.strip() else "empty reply"


def _fields(values: object) -> dict[str, str | None] | None:
    """Return the fields of a reply, None where it does not fit the schema."""
    if not isinstance(values, dict) or set(values) != set(FIELDS):
        return None
    found: dict[str, str | None] = {}
    for name in FIELDS:
        value = values[name]
        if value is not None and not (isinstance(value, str) and _fits(value)):
            return None
        found[name] = _value(value)
    return found


def _fits(value: str) -> bool:
    return re.fullmatch(PATTERN, value) is not None and _is_unicode(value)


def _is_unicode(text: str) -> bool:
    """Whether a text can be stored: JSON can spell half of a surrogate pair, UTF-8 cannot."""
    return not any("\ud800" <= char <= "\udfff" for char in text)


def _value(text: str | None) -> str | None:
    value = " ".join((text or "").split())
    return None if value.casefold() in _ABSENT else value


def _repeats(text: str) -> bool:
    return any(len(found[0]) >= _LOOP_CHARS for found in _LOOP.finditer(f"{text} "))


def _same(fields: Mapping[str, str | None]) -> bool:
    """Whether one value fills three fields or more."""
    values = [value for value in fields.values() if value is not None]
    return any(values.count(value) >= 3 for value in values)


def _plain(text: str) -> str:
    plain = unicodedata.normalize("NFKC", _SIGNS.sub(" ", text)).casefold()
    return " ".join(plain.split())
