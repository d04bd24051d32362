"""The meaning of a chat server's answers: completions, lists of models, refusals, redirects."""

from __future__ import annotations

from http import HTTPStatus

from genfilt.common.errors import UserError
from genfilt.generators.llm.bounded_http import Response
from genfilt.generators.llm.reply import Reply, parse_json
from genfilt.generators.llm.request_window import BusyError

LONGEST_WAIT = 120.0  # seconds that a server's Retry-After can ask for
_SUMMARY_CHARS = 400  # of a server's answer that a message repeats
_MAX_COUNT = 1 << 40  # tokens; a larger count is no count


def chat_reply(url: str, response: Response) -> Reply:
    """Return a chat completion's first choice; counts that are no numbers are zero.

    Raises BusyError where the answer is no chat completion.
    """
    try:
        answer = parse_json(response.text)
        if not isinstance(answer, dict):
            raise TypeError("not an object")
        choice, usage = answer["choices"][0], answer.get("usage")
        content = choice["message"].get("content") or ""
        if not isinstance(content, str):
            raise TypeError("content is no text")
        counts = usage if isinstance(usage, dict) else {}
        finish = choice.get("finish_reason")
        return Reply(
            content,
            finish if isinstance(finish, str) else None,
            _count(counts.get("prompt_tokens")),
            _count(counts.get("completion_tokens")),
        )
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        gist = summary(response)
        raise BusyError(f"{url} answered without a chat completion: {gist}", garbled=True) from None


def model_names(response: Response) -> list[str] | None:
    """Return the names in a list of models, None where the answer is none."""
    try:
        answer = parse_json(response.text)
        cards = answer["data"] if isinstance(answer, dict) else None
        names = [card["id"] for card in cards or ()]
    except (ValueError, KeyError, TypeError):
        return None
    usable = all(isinstance(name, str) and name.isprintable() and name for name in names)
    return names if response.status == HTTPStatus.OK and cards is not None and usable else None


def _count(value: object) -> int:
    return value if isinstance(value, int) and 0 <= value < _MAX_COUNT else 0


def refuse_redirect(url: str, response: Response) -> None:
    """Raise UserError on a redirect: following it would send titles and key to another address."""
    if 300 <= response.status < 400:
        raise UserError(
            f"{url} redirects to {response.location or 'another address'}, which is not followed; "
            "give the server's own address with --llm-url (or --captioner-url)."
        )


def summary(response: Response) -> str:
    """Return the status and the gist of a body, on one line."""
    text = response.text
    try:
        body = parse_json(text)
        if isinstance(body, dict):
            error = body.get("error", body)
            text = str(error.get("message", error) if isinstance(error, dict) else error)
    except (ValueError, RecursionError):
        pass
    return f"{response.status}: {' '.join(text.split())[:_SUMMARY_CHARS]}"


def seconds_to_wait(retry_after: str) -> float:
    """Return the seconds that a Retry-After header asks for; 0 where it has none."""
    try:
        return min(LONGEST_WAIT, max(0.0, float(retry_after)))
    except ValueError:
        return 0.0
