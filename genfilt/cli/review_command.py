"""The command review: corrections in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genfilt.cli.options import DEFAULT_DB, Db, check_exists, check_output
from genfilt.common import command
from genfilt.common.console import say
from genfilt.common.output import check_ending

if TYPE_CHECKING:
    from genfilt.review.session import ReviewSession

REVIEW_EXAMPLES = (
    "genfilt review",
    "genfilt review --sample 100 --around 0.9 --reviewer ann",
    'genfilt review --query shoes --link "https://shop.example/p/{product_id}"',
    "genfilt review --out review.html",
)


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    command.register(app, review, *REVIEW_EXAMPLES)


def review(
    sample: Annotated[
        int | None,
        typer.Option(min=1, help="Draw so many corrections; else an unfinished draw goes on."),
    ] = None,
    query: Annotated[str | None, typer.Option(help="Only of this query, by id or words.")] = None,
    reason: Annotated[str | None, typer.Option(help="Only with these words as reason.")] = None,
    category: Annotated[str | None, typer.Option(help="Only products of this category.")] = None,
    around: Annotated[float | None, typer.Option(help="Only scores within 0.05 of this.")] = None,
    new: Annotated[bool, typer.Option("--new", help="Only pairs never drawn before.")] = False,
    disagreed: Annotated[
        bool, typer.Option("--disagreed", help="Only pairs on which reviewers disagree.")
    ] = False,
    reviewer: Annotated[str, typer.Option(help="Your name, stored with your answers.")] = "",
    link: Annotated[
        str | None, typer.Option(help="A product's page, https://shop/p/{product_id}.")
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 finds a free one.")] = 0,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page in the browser.")
    ] = True,
    out: Annotated[
        Path | None, typer.Option(help="Write the page as one file that works offline.")
    ] = None,
    db: Db = DEFAULT_DB,
) -> None:
    """Review corrections in the browser; each answer is stored at once and overrules the filter."""
    from genfilt.review.selection import Selection
    from genfilt.review.session import ReviewSession

    check_exists(db)
    selection = Selection(query, reason, category, around, new, disagreed)
    if out is None:
        _serve(ReviewSession(db, sample, selection, link), port, reviewer, browser=browser)
        return
    from genfilt.review.offline import write_offline_page

    check_output(out, db)
    check_ending(out, (".html", ".htm"))
    count = write_offline_page(ReviewSession(db, sample, selection, link), out, reviewer)
    say(
        f"{count:,} corrections in {out}; it works without a network and saves review.csv for: "
        "genfilt ingest --reviews review.csv"
    )


def _serve(session: ReviewSession, port: int, reviewer: str, *, browser: bool) -> None:
    """Serve the page until Ctrl-C."""
    from genfilt.review.server import ReviewServer

    server = ReviewServer(session, port, reviewer)
    if session.remark:
        say(session.remark)
    server.open_and_serve(f"Review the {session.title}", browser=browser)
    waiting = session.apply_waiting()
    if waiting:
        say(
            f"Ended; {waiting:,} answers wait in {session.journal} since another command has the "
            "database. They are applied when genfilt review runs again."
        )
    else:
        say("Ended; every answer is in the table reviews.")
