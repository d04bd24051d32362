"""The experiment's predictions, and whether its results bear them out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from trainer.ablation.compare import Mean, paired_mean
from trainer.ablation.effect.effect_plan import EffectResult

FIGURE = "cold Q->M auc"
LABELS = "labels Q->M auc"  # where no truth is known
MIN_GAIN = 0.03  # of the oracle, where a few per cent of the relevant pairs are known
MAX_FALSIFYING_GAIN = 0.005
LOW_KNOWN_SHARE = 0.05
ABOVE = (
    ("found", "none"),
    ("drop", "none"),
    ("found", "drop"),
    ("oracle", "found"),
    ("none", "placebo"),
)


@dataclass(frozen=True)
class Prediction:
    """A statement, what was found, and whether it holds."""

    statement: str
    found: str
    conclusion: str  # holds, contradicted, not shown or not run


def paired(
    results: Iterable[EffectResult], first: str, second: str, figure: str = FIGURE
) -> Mean | None:
    """Return the mean over shops and seeds of the first arm's figure less the second's."""
    cells: dict[tuple[str, int, int], dict[str, float | None]] = {}
    for one in results:
        cell = cells.setdefault((one.shop, one.seed, one.batch_size), {})
        cell[one.arm] = one.figures.get(figure)
    return paired_mean(cells.values(), first, second)


def predictions(results: Sequence[EffectResult]) -> list[Prediction]:
    """Return every prediction with what the results of one database group say."""
    figure = FIGURE if any(FIGURE in one.figures for one in results) else LABELS
    sizes = sorted({one.batch_size for one in results})
    largest = [one for one in results if sizes and one.batch_size == sizes[-1]]
    few_known = bool(largest) and max(one.known_share for one in largest) <= LOW_KNOWN_SHARE
    made = [_above(largest, pair, figure) for pair in ABOVE]
    gain = paired(largest, "oracle", "none", figure)
    made.insert(0, _gain(gain, few_known))
    if len(sizes) > 1:
        smallest = [one for one in results if one.batch_size == sizes[0]]
        made.append(_grows(paired(smallest, "oracle", "none", figure), gain, sizes))
    return made


def _gain(gain: Mean | None, few_known: bool) -> Prediction:
    statement = (
        f"oracle above none by {MIN_GAIN} or more, at a known share of {LOW_KNOWN_SHARE} or less"
    )
    if gain is None or not few_known:
        return Prediction(statement, "" if gain is None else f"{gain.value:+.3f}", "not run")
    found = "not shown"
    if gain.value >= MIN_GAIN and conclusion(gain) == "holds":
        found = "holds"
    elif gain.value <= MAX_FALSIFYING_GAIN:
        found = "contradicted"
    return Prediction(statement, str(gain), found)


def _above(results: Sequence[EffectResult], pair: tuple[str, str], figure: str) -> Prediction:
    gap = paired(results, *pair, figure)
    statement = f"{pair[0]} above {pair[1]}"
    return Prediction(statement, "" if gap is None else signed(gap), conclusion(gap))


def _grows(small: Mean | None, large: Mean | None, sizes: Sequence[int]) -> Prediction:
    statement = f"oracle's gain larger in batches of {sizes[-1]} than of {sizes[0]}"
    if small is None or large is None:
        return Prediction(statement, "", "not run")
    found = f"{large.value:+.3f} and {small.value:+.3f}"
    return Prediction(statement, found, "holds" if large.value > small.value else "contradicted")


def conclusion(gap: Mean | None) -> str:
    """Say whether the interval over runs lies above 0, below it, or around it."""
    if gap is None:
        return "not run"
    if gap.half is None or abs(gap.value) <= gap.half:
        return "not shown"
    return "holds" if gap.value > 0 else "contradicted"


def signed(gap: Mean) -> str:
    """Return a difference with its sign, and half its interval where it has one."""
    return f"{gap.value:+.3f}" + ("" if gap.half is None else f" ± {gap.half:.3f}")
