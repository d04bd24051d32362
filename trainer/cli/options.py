"""The options that several of the trainer's commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from genfilt.common.output import OutputFormat
from genfilt.engines.choice import EngineName

DEFAULT_DB, DEFAULT_OUT = Path("artifacts/genfilt.duckdb"), Path("artifacts/run")
Db = Annotated[
    Path, typer.Option("--db", envvar="GENFILT_DB", help="The database file.", metavar="FILE")
]
Out = Annotated[Path, typer.Option("--out", help="The run's folder; stage n is OUT/stageN.")]
EngineOption = Annotated[
    EngineName, typer.Option("--engine", help="Where the work runs: this host, or a Ray cluster.")
]
Address = Annotated[
    str | None,
    typer.Option(
        help="The Ray cluster: HOST:PORT, auto for the one that runs here, or local for a new one "
        "on this host; by default auto where there is one, else local."
    ),
]
Gpus = Annotated[
    float, typer.Option("--gpus-per-worker", help="GPUs of a Ray worker, or a share of one.")
]
Form = Annotated[OutputFormat, typer.Option("--format", help="How the answer is printed.")]


class Part(StrEnum):
    """Part of the method that can be left out."""

    qma = "qma"
    qmf = "qmf"
    genfilt = "genfilt"


class PresetName(StrEnum):
    """Set of sizes and rates to start from."""

    tiny = "tiny"
    small = "small"
    paper = "paper"


class Precision(StrEnum):
    """Number format that the layers compute in."""

    no = "no"
    bf16 = "bf16"


class Split(StrEnum):
    """Part of the data, by product."""

    train = "train"
    val = "val"
    test = "test"
