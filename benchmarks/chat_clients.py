"""Requests a second: our chat client against openai's AsyncOpenAI over aiohttp, same server.

    pip install openai httpx-aiohttp
    python benchmarks/chat_clients.py

The server is a process of its own on loopback that answers at once, so that the clients alone are
measured; they take turns and send the same bodies, 64 in flight. Needed for AsyncOpenAI to replace
ours: redirects off, bytes and total time limited below it, and 0.95 of our rate.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import time

from genfilt.generators.llm.chat_client import Chat, ChatServer
from genfilt.generators.llm.title_request import FIRST_LIMIT, schema_constraint, title_messages

GOAL = 0.95
IN_FLIGHT = 64
SERVER = """
import json, sys
from aiohttp import web
FIELDS = ("core_word", "material", "brand", "color", "model_parameters")
TEXT = json.dumps({**dict.fromkeys(FIELDS), "core_word": "coat"})
ANSWER = {"id": "1", "object": "chat.completion", "created": 1, "model": "m",
          "choices": [{"index": 0, "message": {"role": "assistant", "content": TEXT},
                       "finish_reason": "stop"}],
          "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}
async def models(request): return web.json_response({"data": [{"id": "m"}]})
async def chat(request):
    await request.read()
    return web.json_response(ANSWER)
app = web.Application()
app.add_routes([web.get("/v1/models", models), web.post("/v1/chat/completions", chat)])
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)
"""


async def ours(server: ChatServer, count: int) -> float:
    """Return requests a second of our client."""
    async with server.connect() as chat:
        return await rate(lambda n: ask(chat, n), count)


async def ask(chat: Chat, number: int) -> None:
    """Send one request."""
    await chat.ask(title_messages(f"coat {number}"), FIRST_LIMIT, schema_constraint())


async def theirs(url: str, count: int) -> float:
    """Return requests a second of AsyncOpenAI over aiohttp, redirects off."""
    from openai import AsyncOpenAI, DefaultAioHttpClient

    async with AsyncOpenAI(
        api_key="none",
        base_url=f"{url}/v1",
        max_retries=0,
        http_client=DefaultAioHttpClient(follow_redirects=False, trust_env=False),
    ) as client:

        async def send(number: int) -> None:
            await client.chat.completions.create(
                model="m",
                messages=title_messages(f"coat {number}"),  # type: ignore[arg-type]
                temperature=0,
                max_tokens=FIRST_LIMIT,
                **schema_constraint(),  # type: ignore[arg-type]
            )

        return await rate(send, count)


async def rate(send, count: int) -> float:  # type: ignore[no-untyped-def]
    """Send `count` requests, IN_FLIGHT at once, and return how many a second."""
    room = asyncio.Semaphore(IN_FLIGHT)

    async def one(number: int) -> None:
        async with room:
            await send(number)

    started = time.perf_counter()
    await asyncio.gather(*(one(number) for number in range(count)))
    return count / (time.perf_counter() - started)


def main() -> None:
    """Measure both in turns and print medians and the ratio."""
    port, count, rounds = 38471, 400, 3
    process = subprocess.Popen([sys.executable, "-c", SERVER, str(port)])
    try:
        time.sleep(3)
        url = f"http://127.0.0.1:{port}"
        server = ChatServer(url)
        rates: dict[str, list[float]] = {"ours": [], "AsyncOpenAI": []}
        for _ in range(rounds):
            rates["ours"].append(asyncio.run(ours(server, count)))
            rates["AsyncOpenAI"].append(asyncio.run(theirs(url, count)))
    finally:
        process.terminate()
        process.wait()
    medians = {name: round(statistics.median(found), 1) for name, found in rates.items()}
    ratio = medians["AsyncOpenAI"] / medians["ours"]
    print(json.dumps({"requests a second": medians, "ratio": round(ratio, 3), "goal": GOAL}))


if __name__ == "__main__":
    main()
