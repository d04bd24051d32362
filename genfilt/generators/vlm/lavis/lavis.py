"""Pictures described by a LAVIS model in a worker process with a separate environment."""

from __future__ import annotations

import itertools
import json
import os
import queue
import subprocess
import tempfile
import threading
from collections.abc import Generator, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Self

from genfilt.common.console import say
from genfilt.common.errors import UserError
from genfilt.generators.llm.reply import caption_prompt_key, check_caption, parse_json
from genfilt.generators.prompts import caption_prompt
from genfilt.generators.protocols import Caption, Failure
from genfilt.generators.vlm.lavis.lavis_setup import lavis_folder, lavis_python

MODEL = "blip2_t5:pretrain_flant5xl"
WORKER = Path(__file__).with_name("lavis_worker.py")
BATCH = 16
MAX_DEATHS = 5  # in a row: then the worker is at fault and not a picture
_LAST_LINES = 6


class WorkerDiedError(Exception):
    """The worker ended, stopped answering or broke its protocol."""


class Worker:
    """A worker process and the two pipes to it; the protocol stands in lavis_worker.py."""

    def __init__(
        self, command: list[str], *, folder: Path | None, startup: float, silence: float
    ) -> None:
        """Start it and wait until it is ready.

        Args:
            folder: the process's working folder.
            startup: seconds in which it must be ready; a first run downloads its model.
            silence: seconds that it may need for a batch.

        Raises:
            UserError: it does not get ready; with the last lines of its log.
        """
        self._silence = silence
        handle, name = tempfile.mkstemp(prefix="genfilt-lavis-", suffix=".log")
        self._log = Path(name)
        with os.fdopen(handle, "wb") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                encoding="utf-8",
                cwd=folder,
            )
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._reader = threading.Thread(
            target=_read_lines, args=(self._process.stdout, self._lines), daemon=True
        )
        self._reader.start()
        self._wait(startup)

    def describe(self, pictures: Mapping[str, Path]) -> Iterator[tuple[str, dict[str, object]]]:
        """Yield (key, message) for each picture; raises WorkerDiedError when it cannot go on."""
        request = {"pictures": {key: str(path.absolute()) for key, path in pictures.items()}}
        stdin = self._process.stdin
        if stdin is None:
            raise WorkerDiedError("its pipe is closed")
        try:
            stdin.write(json.dumps(request) + "\n")
            stdin.flush()
        except OSError as error:
            raise WorkerDiedError(self._death_report(str(error))) from None
        asked = set(pictures)
        while "done" not in (message := self._receive(self._silence)):
            key = message.get("key")
            if not isinstance(key, str) or key not in asked:
                raise self._broken(f"it answered for an unknown picture: {message}")
            asked.discard(key)
            yield key, message
        if asked:
            raise self._broken(f"it left {len(asked)} pictures without an answer")

    def stop(self) -> None:
        """End the process; it ends by itself when its input does."""
        with suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._log.unlink(missing_ok=True)

    def _wait(self, startup: float) -> None:
        try:
            message = self._receive(startup)
        except WorkerDiedError as death:
            self.stop()
            raise UserError(f"The LAVIS worker did not start: {death}") from None
        if "ready" not in message:
            self.stop()
            raise UserError(
                f"LAVIS cannot load the model: {message.get('fatal', message)}; check "
                "--captioner-model (ARCH:TYPE, or a LAVIS configuration file)."
            )

    def _receive(self, seconds: float) -> dict[str, object]:
        try:
            line = self._lines.get(timeout=seconds)
        except queue.Empty:
            raise self._broken(f"no answer for {seconds:.0f} s") from None
        if line is None:
            raise WorkerDiedError(self._death_report("it ended"))
        try:
            message = parse_json(line)
        except ValueError:
            message = None
        if not isinstance(message, dict):
            raise self._broken(f"it wrote {line.strip()[:200]!r}")
        return message

    def _broken(self, what: str) -> WorkerDiedError:
        """End a worker that is alive but out of step with its protocol."""
        self._process.kill()
        return WorkerDiedError(what)

    def _death_report(self, what: str) -> str:
        with suppress(subprocess.TimeoutExpired):
            what += f" with code {self._process.wait(10)}"
        lines = self._log.read_text(errors="replace").splitlines()[-_LAST_LINES:]
        log = "\n".join(lines) or "(nothing)"
        return f"{what}; the last lines of its log:\n{log}"


class LavisCaptioner:
    """Describes pictures with LAVIS.

    Args:
        model: ARCH:TYPE of LAVIS's model zoo, or a LAVIS configuration file; its folder is then the
            worker's, so that the paths in it may be relative.
        environment: the folder that `genfilt setup lavis` made, by default where it makes it.
        worker: the script that the environment's Python runs.
        silence: seconds that a batch may take.
        prompt: a file with another prompt, for models that take instructions.

    Raises:
        UserError: the environment or the prompt is missing.
    """

    def __init__(
        self,
        model: str | None = None,
        *,
        environment: Path | None = None,
        worker: Path = WORKER,
        batch: int = BATCH,
        silence: float = 900.0,
        prompt: Path | None = None,
    ) -> None:
        named = model or MODEL
        self.name = f"lavis:{named}"
        # BLIP-2 continues a text and has no use for instructions.
        self._prompt = caption_prompt(prompt) if "instruct" in named else ""
        self.prompt_key = caption_prompt_key(self._prompt)
        self._batch, self._silence = batch, silence
        config = Path(named)
        self._folder = config.parent.absolute() if config.is_file() else None
        options = {"model": config.name if self._folder else named, "prompt": self._prompt}
        python = lavis_python(environment or lavis_folder())
        # -P keeps the modules beside the script from hiding LAVIS itself.
        self._command = [str(python), "-P", str(worker), json.dumps(options)]
        self._deaths = 0
        self._worker: Worker | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the worker."""
        if self._worker is not None:
            self._worker.stop()
            self._worker = None

    def describe(self, pictures: Mapping[str, Path]) -> Iterator[tuple[str, Caption | Failure]]:
        """Yield (image key, result) for each picture.

        When the worker dies, the pictures in flight are tried once more, one by one in a new one,
        so that the picture that killed it fails alone.

        Raises:
            UserError: the model cannot be loaded, or one worker after the other dies.
        """
        rest = iter(pictures.items())
        while batch := dict(itertools.islice(rest, self._batch)):
            death = yield from self._try(batch)
            if death is None:
                continue
            say(f"The LAVIS worker died: {death}\nIts {len(batch)} pictures are tried once more.")
            for key, path in list(batch.items()):
                death = yield from self._try({key: path})
                if death is not None:
                    yield key, Failure("worker died", death)

    def _try(
        self, batch: dict[str, Path]
    ) -> Generator[tuple[str, Caption | Failure], None, str | None]:
        """Yield the worker's answers and remove them from the batch; return why it died, if so."""
        worker = self._worker = self._worker or self._start()
        try:
            for key, message in worker.describe(dict(batch)):
                del batch[key]
                self._deaths = 0
                yield key, self._result(message)
        except WorkerDiedError as death:
            self.close()
            self._deaths += 1
            if self._deaths >= MAX_DEATHS:
                raise UserError(
                    f"The LAVIS worker died {self._deaths} times without describing a picture: "
                    f"{death}\nWhat was described is kept; mend the cause and run the same "
                    "command again."
                ) from None
            return str(death)
        return None

    def _result(self, message: dict[str, object]) -> Caption | Failure:
        caption = message.get("caption")
        if isinstance(caption, str):
            return check_caption(self._prompt, caption)
        return Failure(str(message.get("reason", "no caption")), str(message.get("detail", "")))

    def _start(self) -> Worker:
        return Worker(self._command, folder=self._folder, startup=7200.0, silence=self._silence)


def _read_lines(stdout: IO[str] | None, lines: queue.SimpleQueue[str | None]) -> None:
    """Pass on the worker's lines, None at the end; in a thread, since pipes have no time-outs."""
    with suppress(ValueError, OSError):
        for line in stdout or ():
            lines.put(line)
    lines.put(None)
