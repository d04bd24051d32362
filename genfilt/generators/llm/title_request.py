"""The request for a title's attributes: messages with few-shot turns, JSON schema and grammar."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from functools import lru_cache

from genfilt.common.errors import UserError
from genfilt.generators.prompts import prompt_file, quote, read_prompt, render
from genfilt.generators.protocols import FIELDS
from genfilt.store.keys import text_key

MAX_CHARS = 64  # of one field's value
FIRST_LIMIT = len(FIELDS) * MAX_CHARS + 60  # tokens: a token a character, and the JSON around
SECOND_LIMIT = 3 * FIRST_LIMIT  # a character outside the vocabulary can cost three tokens

# Without the quote, the backslash and control characters a string needs no escapes, and xgrammar
# and guidance understand the same by it.
_CHAR = r'[^"\\\u0000-\u001f\u007f-\u009f]'
PATTERN = rf"^{_CHAR}{{1,{MAX_CHARS}}}$"
SCHEMA: dict[str, object] = {
    "type": "object",
    "properties": {
        field: {"anyOf": [{"type": "string", "pattern": PATTERN}, {"type": "null"}]}
        for field in FIELDS
    },
    "required": list(FIELDS),
    "additionalProperties": False,
}
# What a server answers to PROBE when it follows grammars of this kind; no model writes it unasked.
PROBE_ANSWER = "grammar 7319 xylograph vexillum"
PROBE = (
    'start: "grammar 7319 " SPAN\n'
    'SPAN: %regex {"substring_words": "xylograph vexillum"} & /xylograph vexillum/\n'
)
_UNQUOTABLE = re.compile(r'["\\\u0000-\u001f\u007f-\u009f]+')

Message = Mapping[str, object]


def title_messages(title: str) -> list[Message]:
    """Return the chat messages that ask about a title.

    The instructions and the few-shot turns come first and are the same for every title, so that a
    server computes them once; the title stands alone in the last message.
    """
    turns = _example_turns()
    if not turns:
        return [_message("user", render("title_attributes", title=title))]
    return [*turns, _message("user", f"Title: {quote(title)}")]


def title_prompt_key() -> str:
    """Return the key of all that is asked about a title: messages, schema, grammar and limits."""
    asked = {
        "messages": title_messages(""),
        "schema": SCHEMA,
        "grammar": title_grammar("title"),
        "limits": [FIRST_LIMIT, SECOND_LIMIT],
    }
    return text_key(json.dumps(asked, sort_keys=True))


def schema_constraint() -> dict[str, object]:
    """Return the request fields that bind a reply to the schema, in the servers' common form."""
    named = {"name": "product", "schema": SCHEMA, "strict": True}
    return {"response_format": {"type": "json_schema", "json_schema": named}}


def grammar_constraint(grammar: str) -> dict[str, object]:
    """Return the request fields that bind a reply to a grammar, in the form of vLLM."""
    return {"structured_outputs": {"grammar": grammar}}


def title_grammar(title: str) -> str:
    """Return a grammar in which each field is null or made of runs of the title's words.

    It is Lark with llguidance's `substring_words` (`substring_chars` for scripts without spaces
    between words); a field holds up to three runs, separated by a comma and a blank, since a title
    can name several colours.
    """
    words = " ".join(_UNQUOTABLE.sub(" ", title).split())
    if not words:
        value = 'value: "null"\n'
    else:
        kind = "substring_chars" if _unspaced(words) else "substring_words"
        value = (
            'value: "null" | "\\"" SPANS "\\""\n'
            f'SPANS: (SPAN (", " SPAN (", " SPAN)?)?) & /.{{1,{MAX_CHARS}}}/\n'
            f"SPAN: %regex {json.dumps({kind: words}, ensure_ascii=False)}"
            " & /[^ ,](.*[^ ,])?/\n"
        )
    fields = " ".join(
        f'"{"{" if place == 0 else ","}\\"{field}\\":" value' for place, field in enumerate(FIELDS)
    )
    return f'start: {fields} "}}"\n{value}'


def compact_json(fields: Mapping[str, str | None]) -> str:
    """Return a reply as the grammar and the few-shot turns write it: JSON without blanks."""
    ordered = {name: fields[name] for name in FIELDS}
    return json.dumps(ordered, ensure_ascii=False, separators=(",", ":"))


def _unspaced(text: str) -> bool:
    """Tell whether a text holds letters of a script without case: most of these have no spaces."""
    return any(c.isalpha() and unicodedata.category(c) == "Lo" for c in text)


def _message(role: str, content: object) -> Message:
    return {"role": role, "content": content}


@lru_cache(maxsize=1)
def _example_turns() -> Sequence[Message]:
    """Return the few-shot turns; the first one carries the instructions."""
    turns: list[Message] = []
    source = prompt_file("title_examples.jsonl")
    for number, line in enumerate(read_prompt(source).splitlines(), 1):
        try:
            example = json.loads(line)
            title, reply = str(example["title"]), compact_json(example)
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"Line {number} of {source} must be a JSON object with title and "
                f"{', '.join(FIELDS)} ({error!r})."
            ) from None
        question = f"Title: {quote(title)}" if turns else render("title_attributes", title=title)
        turns += [_message("user", question), _message("assistant", reply)]
    return turns
