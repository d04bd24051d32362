"""README's first five minutes, run as written on a shop of README's own form."""

from __future__ import annotations

import csv
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from genfilt import synthesize
from tests.docs.pages import blocks

SECTION = "Five minutes with your own data"
PRODUCTS, LOG = blocks("README.md", "csv")[SECTION]
TITLES, PICTURES, LOOK = [
    [line.split(" #")[0].strip() for line in text.splitlines()]
    for text in blocks("README.md", "")[SECTION]
    if "genfilt " in text
]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """README's lines, and below them a generated shop's: query text, product id, clicks."""
    folder = tmp_path_factory.mktemp("readme")
    synthesize(220, folder / "made", seed=4)
    (folder / "made" / "images").rename(folder / "pictures")
    queries = {row["query_id"]: row["query"] for row in rows(folder / "made" / "queries.csv")}
    with (folder / "log.csv").open("w", newline="", encoding="utf-8") as file:
        file.write(LOG)
        write = csv.writer(file)
        for row in rows(folder / "made" / "clicks.csv"):
            write.writerow([queries[row["query_id"]], row["product_id"], row["clicks"]])
    write_products(folder, pictures=False)
    return folder


def write_products(folder: Path, *, pictures: bool) -> None:
    with (folder / "products.csv").open("w", newline="", encoding="utf-8") as file:
        first, *own = PRODUCTS.splitlines()
        file.write(first + (",image" if pictures else "") + "\n")
        file.writelines(line + ("," if pictures else "") + "\n" for line in own)
        write = csv.writer(file)
        for row in rows(folder / "made" / "products.csv"):
            image = [Path(row["image"]).name] if pictures else []
            write.writerow([row["product_id"], row["title"], *image])


def run(folder: Path, line: str) -> subprocess.CompletedProcess[str]:
    commands = Path(sys.executable).parent
    first, *words = shlex.split(line)
    done = subprocess.run(
        [str(commands / first), *words],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, (line, done.stderr)
    return done


def test_the_first_five_minutes(shop: Path) -> None:
    ran = {line: run(shop, line) for line in TITLES}
    (filtered,) = (done for line, done in ran.items() if line.startswith("genfilt filter"))
    assert filtered.stderr.startswith("rule calibrated")
    (found,) = (done for line, done in ran.items() if line.startswith("genfilt sql"))
    assert re.match(r"query +title +score +reasons\n", found.stdout)
    write_products(shop, pictures=True)
    described = [run(shop, line) for line in PICTURES]
    assert "220 pictures described" in described[1].stderr
    assert re.search(r"learning from [1-9]\d* train pictures", described[1].stderr)
    for line in LOOK:
        if line != "genfilt review":  # which serves until it is interrupted
            assert run(shop, line).stdout
