"""Tables of Markdown."""

from __future__ import annotations

from trainer.evaluation.markdown_table import table


def test_texts_keep_to_their_cells() -> None:
    assert table(["category", "weight"], [["a|b\nc", None], ["d", 0.5]]) == [
        "| category | weight |",
        "|---|---|",
        "| a\\|b c |  |",
        "| d | 0.5 |",
        "",
    ]
