"""The trainer command: the app, and its commands in the order of the method."""

from __future__ import annotations

from genfilt.common.command import make_app, run_command
from trainer.cli import (
    ablate_command,
    evaluate_command,
    export_command,
    fit_command,
    judge_command,
    pack_command,
)

app = make_app(
    "Train Query-LIFE, a relevance model of query, title and picture, on a genfilt database.",
)
for part in (
    pack_command,
    fit_command,
    evaluate_command,
    ablate_command,
    export_command,
    judge_command,
):
    part.register(app)


def main() -> None:
    """Run the command; see `run_command` for its exit codes."""
    run_command(app, "trainer")
