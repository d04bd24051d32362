"""The genfilt command: the app, and its commands in the order of the method."""

from __future__ import annotations

from genfilt.cli import (
    extract_command,
    filter_command,
    ingest_command,
    inspect_command,
    migrate_command,
    review_command,
    synth_command,
)
from genfilt.common.command import make_app, run_command

app = make_app("Find the false negatives in e-commerce click logs before contrastive training.")
for part in (ingest_command, synth_command, extract_command, filter_command, inspect_command):
    part.register(app)
review_command.register(app)
migrate_command.register(app)
extract_command.register_setup(app)


def main() -> None:
    """Run the command; see `run_command` for its exit codes."""
    run_command(app, "genfilt")
