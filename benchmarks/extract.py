"""Titles a second: our client against vLLM's own benchmark client, same requests, same server.

    python benchmarks/extract.py --model artifacts/extractor

One server is started and both clients take turns on it. vLLM's client (vllm.benchmarks.serve) runs
with as many requests in flight as ours settled at, and without a limit; the better of the two
counts. The titles are those that the model answers well at once, so that both clients send exactly
the same requests: ours would ask again for a bad reply.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from genfilt.generators.llm.chat_client import ChatServer
from genfilt.generators.llm.reply import Reply, parse_title_reply
from genfilt.generators.llm.request_run import Ask
from genfilt.generators.llm.served import VllmReader
from genfilt.generators.llm.title_request import FIRST_LIMIT, schema_constraint, title_messages
from genfilt.generators.llm.vllm_server import VllmServer
from genfilt.generators.protocols import Attributes, Failure

GOAL = 0.95
# The `vllm` command refuses to run under the CPU package's name; this is its `bench serve`.
BENCH = """
from vllm.benchmarks.serve import add_cli_args, main
from vllm.utils.argparse_utils import FlexibleArgumentParser
parser = FlexibleArgumentParser()
add_cli_args(parser)
main(parser.parse_args())
"""


class OneTurnReader(VllmReader):
    """Sends what vLLM's client can send: one user message, bound to the JSON schema."""

    _grammar_urls = frozenset()

    @asynccontextmanager
    async def _open(self, server: ChatServer) -> AsyncIterator[Ask[str, Attributes | Failure]]:
        async with server.connect() as chat:

            async def ask(title: str) -> Attributes | Failure:
                message = {"role": "user", "content": one_message(title)}
                reply = await chat.ask([message], FIRST_LIMIT, schema_constraint())
                return parse_title_reply(title, reply, 1) if isinstance(reply, Reply) else reply

            yield ask


def one_message(title: str) -> str:
    """Return the turns of a request as one text."""
    return "\n".join(str(message["content"]) for message in title_messages(title))


def titles_that_work(reader: VllmReader, count: int) -> dict[str, str]:
    """Return titles that the model answers well at once; this also warms the server up."""
    words = ["red", "navy", "wool", "cotton", "Acme", "Orbisoft", "lamp", "shirt", "phone", "64GB"]
    titles = {
        str(n): f"{words[n % 10]} {words[n // 10 % 10]} {words[n // 100 % 10]} {n}".title()
        for n in range(2 * count)
    }
    good = {
        key
        for key, found in reader.read(titles)
        if isinstance(found, Attributes) and json.loads(found.raw)["attempts"] == 1
    }
    return {key: titles[key] for key in titles if key in good}


def ours(reader: VllmReader, titles: dict[str, str]) -> float:
    """Return titles per second through our client."""
    asked, started = reader.usage.requests, time.perf_counter()
    results = dict(reader.read(titles))
    seconds = time.perf_counter() - started
    if len(results) != len(titles) or reader.usage.requests - asked != len(titles):
        sys.exit("our client did not send one request a title; the comparison would be unfair")
    return len(titles) / seconds


def theirs(server: VllmServer, url: str, titles: dict[str, str], in_flight: int | None) -> float:
    """Return requests per second through vLLM's benchmark client."""
    extra = {**schema_constraint(), "temperature": 0}
    with tempfile.TemporaryDirectory() as folder:
        data, result = Path(folder) / "prompts.jsonl", Path(folder) / "result.json"
        prompts = [{"prompt": one_message(title)} for title in titles.values()]
        data.write_text("".join(json.dumps(prompt) + "\n" for prompt in prompts))
        command = [server.python, "-c", BENCH]
        command += ["--backend", "openai-chat", "--endpoint", "/v1/chat/completions"]
        command += ["--host", "127.0.0.1", "--port", str(urlsplit(url).port)]
        command += ["--model", server.model, "--extra-body", json.dumps(extra)]
        command += ["--dataset-name", "custom", "--dataset-path", str(data)]
        command += ["--skip-chat-template", "--custom-output-len", str(FIRST_LIMIT)]
        command += ["--num-prompts", str(len(prompts)), "--disable-tqdm"]
        command += ["--save-result", "--result-filename", str(result)]
        if in_flight is not None:
            command += ["--max-concurrency", str(in_flight)]
        ran = subprocess.run(command, capture_output=True, text=True)
        if ran.returncode or not result.exists():
            sys.exit(f"vLLM's client failed:\n{ran.stderr[-3000:]}")
        figures = json.loads(result.read_text())
    if figures["completed"] != len(prompts):
        sys.exit(f"vLLM's client completed {figures['completed']} of {len(prompts)} requests")
    return float(figures["request_throughput"])


def main() -> None:
    """Run both clients in turns and print their medians and the ratio."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("--model", required=True, help="what to serve: a folder or hub name")
    options.add_argument("--titles", type=int, default=1000)
    options.add_argument("--rounds", type=int, default=3)
    given = options.parse_args()
    with VllmServer(given.model) as server, OneTurnReader(server.url) as reader:
        titles = dict(list(titles_that_work(reader, given.titles).items())[: given.titles])
        if len(titles) < given.titles:
            sys.exit(
                "the model answers few titles well; use that of examples/train_small_extractor.py"
            )
        ours(reader, titles)
        settings = {
            f"vLLM's, {reader.in_flight} in flight": reader.in_flight,
            "vLLM's, no limit": None,
        }
        rates: dict[str, list[float]] = {"ours": [], **{name: [] for name in settings}}
        for number in range(given.rounds):
            rates["ours"].append(ours(reader, titles))
            for name, in_flight in settings.items():
                rates[name].append(theirs(server, server.url, titles, in_flight))
            print(
                f"round {number + 1}:",
                {name: round(r[-1], 1) for name, r in rates.items()},
                flush=True,
            )
    medians = {name: statistics.median(found) for name, found in rates.items()}
    ratio = medians["ours"] / max(medians[name] for name in settings)
    print(f"titles a second, median of {given.rounds}, {len(titles)} titles:")
    for name, rate in medians.items():
        print(f"  {name}: {rate:.1f}")
    print(f"ratio: {ratio:.3f} (goal {GOAL})")
    sys.exit(0 if ratio >= GOAL else 1)


if __name__ == "__main__":
    main()
