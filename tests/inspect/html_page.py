"""What a browser would make of a page, and what makes a page harmless."""

from __future__ import annotations

import base64
import hashlib
from html.parser import HTMLParser
from pathlib import Path

VOID = {"meta", "img", "path", "line", "br", "link", "rect", "input"}


class Page(HTMLParser):
    """What a browser would make of a page; tags that do not close fail."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.text = path.read_text(encoding="utf-8")
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(self.text)
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.words.append(data)

    @property
    def said(self) -> str:
        return " ".join(" ".join(self.words).split())

    def assert_harmless(self) -> None:
        assert not {"iframe", "object", "link", "form", "a", "base"} & {t for t, _ in self.tags}
        assert [a for t, a in self.tags if t == "script"] == [{}]
        assert [a for t, a in self.tags if t == "style"] == [{}]
        for tag, attributes in self.tags:
            assert not any(name.startswith("on") for name in attributes), attributes
            assert (attributes.get("src") or "data:").startswith("data:image/jpeg;base64,") or (
                tag != "img"
            )
            assert not {"href", "style", "srcset"} & attributes.keys(), attributes
        policy = [a for t, a in self.tags if t == "meta" and a.get("http-equiv")]
        assert len(policy) == 1
        content = str(policy[0]["content"])
        assert content.startswith("default-src 'none'; img-src data:; style-src 'sha256-")
        assert "unsafe" not in content
        assert "http" not in content
        for name in ("script", "style"):
            inside = self.text.split(f"<{name}>")[1].split(f"</{name}>")[0]
            digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
            assert f"{name}-src 'sha256-{digest}'" in content
        assert "\u202e" not in self.text
        assert "\x07" not in self.text
