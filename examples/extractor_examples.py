"""Write training examples of an extractor: generated titles of a wide vocabulary with replies.

    python examples/extractor_examples.py --count 120000 --out artifacts/examples.jsonl.gz

The titles are of the tagger's grammar of titles and its word lists (2,076 kinds of product in 30
departments), so none holds a word that the generated catalogue keeps for measuring. The first line
of the file holds the messages that all requests share, each further line a question and its reply.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks" / "tagger"))

from training_titles import LabelledTitle, generate

from genfilt.generators.llm.reply import grounded_value
from genfilt.generators.llm.title_request import MAX_CHARS, compact_json, title_messages
from genfilt.generators.protocols import FIELDS
from genfilt.vocabulary.tokens import tokenize

MAX_VALUES = 3  # of one field, as in the grammar that replies are bound to
SEED = 20_261_126


def reply_fields(title: LabelledTitle) -> dict[str, str | None] | None:
    """Return what a title says by field, None where a reply could not say it.

    Quotes are left out of values, as in the grammar that replies are bound to.
    """
    spans: list[tuple[str, int, int]] = []
    for token, field, begins in zip(tokenize(title.text), title.fields, title.begins, strict=True):
        if field in FIELDS and begins:
            spans.append((field, token.start, token.end))
        elif field in FIELDS:
            spans[-1] = (field, spans[-1][1], token.end)
    found: dict[str, str | None] = dict.fromkeys(FIELDS)
    for name in FIELDS:
        values = [title.text[start:end] for field, start, end in spans if field == name]
        values = [" ".join(value.replace('"', " ").split()) for value in values[:MAX_VALUES]]
        value = ", ".join(dict.fromkeys(values)) or None
        if value is not None and (
            len(value) > MAX_CHARS or grounded_value(title.text, value) != value
        ):
            return None
        found[name] = value
    return found


def examples(count: int, seed: int) -> Iterator[dict[str, object]]:
    """Yield the shared messages, then `count` distinct titles as question and reply."""
    *shared, _ = title_messages("")
    yield {"shared": shared}
    seen = set()
    for title in generate(2 * count, seed):
        fields = reply_fields(title)
        if fields is None or title.text in seen:
            continue
        seen.add(title.text)
        question = title_messages(title.text)[-1]["content"]
        yield {"question": question, "reply": compact_json(fields)}
        if len(seen) == count:
            return


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="file to write, .jsonl.gz")
    parser.add_argument("--count", type=int, default=120_000)
    parser.add_argument("--seed", type=int, default=SEED)
    given = parser.parse_args()
    given.out.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(given.out, "wt", encoding="utf-8") as file:
        for each in examples(given.count, given.seed):
            file.write(json.dumps(each, ensure_ascii=False) + "\n")
    print(f"{given.out}: {given.count:,} examples, {given.out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
