"""Openers of readers for the tests of extract on Ray: slow ones, and one that a title kills."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from genfilt.engines.choice import EngineChoice, EngineName, open_engine
from genfilt.extract import missing
from genfilt.extract.titles import extract_attributes
from genfilt.generators import spread
from genfilt.generators.fitted import fitted_lexicon
from genfilt.generators.protocols import Attributes, Failure
from genfilt.generators.registry import GeneratorChoice, Llm
from genfilt.store.store import Store

POISON = "Title That Kills"


@dataclass(frozen=True)
class KilledOpener(spread.ReaderOpener):
    """Opens a reader whose process the title POISON ends."""

    @contextmanager
    def __call__(self) -> Iterator[spread.Read]:
        with super().__call__() as read:

            def reads(titles: Mapping[str, str]) -> Iterator[tuple[str, Attributes | Failure]]:
                for key, title in titles.items():
                    if title == POISON:
                        os.kill(os.getpid(), signal.SIGKILL)
                    yield from read({key: title})

            yield reads


@dataclass(frozen=True)
class SlowOpener(spread.ReaderOpener):
    """Opens a reader that takes its time."""

    @contextmanager
    def __call__(self) -> Iterator[spread.Read]:
        with super().__call__() as read:

            def reads(titles: Mapping[str, str]) -> Iterator[tuple[str, Attributes | Failure]]:
                for key, title in titles.items():
                    time.sleep(0.02)
                    yield from read({key: title})

            yield reads


def extract_slowly(db: Path, address: str, *, killed_after: int) -> None:
    """Read titles on a cluster; the process kills itself after so many writes."""
    missing.ROWS_PER_WRITE = 8
    spread.TITLES_PER_BATCH = 8
    spread.ReaderOpener = SlowOpener  # type: ignore[misc]
    write, writes = missing.Step.write, 0

    def counted(step: missing.Step[str, Attributes], *written: object) -> int:
        nonlocal writes
        failed: int = write(step, *written)  # type: ignore[arg-type]
        writes += 1
        print("wrote", file=sys.stderr, flush=True)
        if writes == killed_after:
            os.kill(os.getpid(), signal.SIGKILL)
        return failed

    missing.Step.write = counted  # type: ignore[method-assign, assignment]
    choice = EngineChoice(EngineName.ray, address, 2)
    with Store(db) as store, open_engine(choice) as engine:
        lexicon = fitted_lexicon(store)
        reader = spread.spread_reader(lexicon, GeneratorChoice(Llm.lexicon), engine)
        extract_attributes(store, reader)


if __name__ == "__main__":
    extract_slowly(Path(sys.argv[1]), sys.argv[2], killed_after=int(sys.argv[3]))
