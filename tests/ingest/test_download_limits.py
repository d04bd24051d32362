"""Limits of a download: time, bytes, redirects, and what is no picture."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from genfilt.generators.protocols import Failure
from genfilt.ingest import download as module
from genfilt.ingest.download import Limits
from tests.ingest.picture_shop import Shop, fetch


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("gone", "download failed"),
        ("page", "no picture at the address"),
        ("large", "picture too large"),
        ("cut", "download failed"),
        ("busy", "download failed"),
        ("nowhere", "download failed"),
        ("hop3", "too many redirects"),
        ("to-file", "address refused"),
        ("to-inside", "address refused"),
    ],
)
def test_what_is_no_picture_leaves_nothing_behind(
    picture_shop: str, tmp_path: Path, kind: str, reason: str
) -> None:
    found = fetch(f"{picture_shop}/{kind}", tmp_path)
    assert isinstance(found, Failure)
    assert found.reason == reason
    assert not list(tmp_path.iterdir())


def test_redirects_are_followed_up_to_the_limit(picture_shop: str, tmp_path: Path) -> None:
    assert isinstance(fetch(f"{picture_shop}/hop2", tmp_path), Path)


def test_a_busy_server_is_asked_again(picture_shop: str, tmp_path: Path) -> None:
    assert isinstance(fetch(f"{picture_shop}/busy-once", tmp_path), Path)
    assert Shop.asked["busy-once"] == 2
    fetch(f"{picture_shop}/busy", tmp_path)
    assert Shop.asked["busy"] == module.ATTEMPTS


def test_a_slow_server_is_left(picture_shop: str, tmp_path: Path) -> None:
    found = fetch(f"{picture_shop}/endless", tmp_path, Limits(seconds=0.3, silence=2, workers=1))
    assert isinstance(found, Failure)
    assert found.reason in ("download too slow", "download failed")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["headers", "trailers"])
def test_dripped_headers_and_trailers_are_left(
    picture_shop: str, tmp_path: Path, kind: str
) -> None:
    started = time.monotonic()
    limits = Limits(seconds=0.4, silence=2, size=20_000, workers=1, pause=0.01)
    found = fetch(f"{picture_shop}/{kind}", tmp_path, limits)
    assert isinstance(found, Failure)
    assert found.reason in ("download too slow", "download failed")
    assert time.monotonic() - started < 2.5
    assert not list(tmp_path.iterdir())


def test_headers_count_against_the_bytes(picture_shop: str, tmp_path: Path) -> None:
    found = fetch(f"{picture_shop}/wide-headers", tmp_path)
    assert isinstance(found, Failure)
