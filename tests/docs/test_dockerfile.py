"""The Dockerfile, read: it installs what README installs, from files that are in the context."""

from __future__ import annotations

import re

from tests.docs.pages import ROOT, blocks

TEXT = (ROOT / "Dockerfile").read_text("utf-8")
LINES = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", TEXT, flags=re.MULTILINE)).splitlines()
INSTRUCTIONS = [line.split(maxsplit=1) for line in LINES if line.strip()]


def arguments(name: str) -> list[str]:
    return [rest for word, rest in INSTRUCTIONS if word == name]


def test_the_installation_is_that_of_the_readme() -> None:
    installed = blocks("README.md", "")["Five minutes with your own data"][0].strip()
    assert any(line.endswith(installed) for line in arguments("RUN"))
    demo = next(text for text in blocks("README.md", "")["Two commands"] if "INDEX_URL" in text)
    (index,) = re.findall(r"PIP_EXTRA_INDEX_URL=(\S+)", demo)
    assert f"TORCH_INDEX={index}" in arguments("ARG")


def test_what_is_copied_is_there_and_in_the_context() -> None:
    context = (ROOT / ".dockerignore").read_text("utf-8").split()
    names = [name for line in arguments("COPY") for name in line.split()[:-1]]
    assert {"pyproject.toml", "setup.py", "genfilt", "trainer", "prompts"} <= set(names)
    for name in names:
        assert (ROOT / name).exists(), name
        assert f"!{name}" in context, name


def test_the_form_is_sound() -> None:
    known = {"FROM", "ARG", "ENV", "RUN", "WORKDIR", "COPY", "USER", "VOLUME", "CMD"}
    assert {word for word, _ in INSTRUCTIONS} <= known
    (base,) = arguments("FROM")
    assert re.fullmatch(r"python:3\.\d+-[a-z-]+", base), "a pinned release"
    for line in arguments("RUN"):
        if "apt-get install" in line:
            assert "--no-install-recommends" in line
            assert "rm -rf /var/lib/apt/lists" in line
    last = max(at for at, (word, _) in enumerate(INSTRUCTIONS) if word == "RUN")
    assert last < [word for word, _ in INSTRUCTIONS].index("USER"), "nothing runs as root later"
    (command,) = arguments("CMD")
    assert command.startswith("[")
