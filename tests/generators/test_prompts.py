"""Prompts in a checkout, in an sdist and in a wheel; prompts of the user's own."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from genfilt.common.errors import UserError
from genfilt.generators.prompts import caption_prompt, prompt_file, render

ROOT = Path(__file__).parents[2]
FILES = {file.name for file in (ROOT / "prompts").iterdir() if file.suffix in (".txt", ".jsonl")}


def test_a_checkout_reads_the_files_at_its_top() -> None:
    assert {"image_caption.txt", "title_attributes.txt", "title_examples.jsonl"} <= FILES
    assert render("image_caption") == (ROOT / "prompts" / "image_caption.txt").read_text().strip()


def test_no_link_is_committed() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-s"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("this is not a git checkout")
    assert [line for line in listed.stdout.splitlines() if line.startswith("120000")] == []


def test_a_wheel_carries_the_prompts(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for folder in ("genfilt", "prompts", "trainer"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / folder, source / folder, ignore=ignored)
    for file in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, source / file)
    code = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])"
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(tmp_path)],
        cwd=source,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as opened:
        opened.extractall(tmp_path / "installed")
    module = "genfilt.generators.prompts"
    code = f"from {module} import prompt_file; print(prompt_file('image_caption.txt'))"
    found = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path / "installed",
        check=True,
        capture_output=True,
        text=True,
    )
    installed = tmp_path / "installed" / "genfilt" / "prompts"
    assert found.stdout.strip() == str(installed / "image_caption.txt")
    assert {file.name for file in installed.iterdir()} == FILES


def test_a_caption_prompt_of_the_users_own_replaces_ours(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("Name it for $5.\n")
    assert caption_prompt(tmp_path / "mine.txt") == "Name it for $5."
    assert caption_prompt() == render("image_caption")


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff\xfe\xfa", b"x" * 30_000])
def test_a_prompt_that_cannot_be_used_is_named(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "mine.txt").write_bytes(content)
    with pytest.raises(UserError, match=r"mine\.txt"):
        caption_prompt(tmp_path / "mine.txt")


def test_a_word_without_a_value_is_named() -> None:
    with pytest.raises(UserError, match="names 'title'"):
        render("title_attributes")
    assert prompt_file("none.txt") == ROOT / "prompts" / "none.txt"


def test_the_caption_prompt_asks_for_a_few_words_color_before_kind() -> None:
    """A sentence never reaches the paper's sigma of 0.9: benchmarks/caption_forms.py."""
    prompt = render("image_caption").lower()
    assert prompt.index("colour") < prompt.index("kind")
    assert "words" in prompt
    assert "material" not in prompt
