"""The rules that score a query and a product: settings, the protocol, the choice and the audit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

import pyarrow as pa

from genfilt.common.arrays import Floats, Rows
from genfilt.common.console import say
from genfilt.common.errors import UsageError, UserError
from genfilt.features.corpus import Corpus, load_corpus
from genfilt.features.embed import Embedder
from genfilt.filter.audit import Audit, check_base_rate
from genfilt.filter.join_work import JoinWork
from genfilt.filter.joining import Watermark
from genfilt.filter.precision_curve import TARGET_PRECISION
from genfilt.store.store import Store

if TYPE_CHECKING:
    from genfilt.filter.calibrated.fit_record import FitRecord

MAX_PAIRS = 100_000_000
IMAGE_TITLE_SIGMA = 0.9  # the paper's
# Known train pairs from which auto chooses the calibrated rule. On Luma, by whole queries, 0.9
# had a precision of 0.55 from 100 known pairs, and of 1.0, with few corrections, from 200 and 400.
MIN_KNOWN_PAIRS = 200

# At sigma 0.9 on train products of Luma and of generated shops with clicks alone, from one click a
# query to nine (docs/sigma.md).
CLICKS_ALONE_PRECISION = "0.77 to 0.99"


class RuleName(StrEnum):
    """Rule that scores a query and a product."""

    auto = "auto"
    paper = "paper"
    calibrated = "calibrated"


class Rule(Protocol):
    """A fitted rule on the texts of a database.

    Attributes:
        name: as `filters.rule` stores it.
        incremental: whether the scores of joined pairs stay when queries or products are added.
    """

    name: str
    incremental: bool

    @property
    def record(self) -> FitRecord | None:
        """Return the fit that is stored with the filter, None for a rule without one."""
        ...

    def sigma_for(self, precision: float) -> float:
        """Return the sigma with the largest recall at a precision on train.

        Raises:
            UserError: no sigma reaches it.
        """
        ...

    def query_candidates(
        self, floor: float, since: Watermark, work: JoinWork
    ) -> Iterator[pa.Table]:
        """Yield the (q, f) that score the floor or more and were not joined before."""
        ...

    def title_candidates(
        self, sigma: float, since: Watermark, work: JoinWork
    ) -> Iterator[pa.Table]:
        """Yield the (f_image, f_title) whose cosine is sigma or more and were not joined before."""
        ...

    def expected_candidates(self, floor: float) -> int | None:
        """Return how many pairs of train products are expected from a floor on.

        None where the fit does not tell; the joins estimate what they find by themselves.
        """
        ...

    def scored_pairs(
        self, queries: Rows, texts: Rows, floor: float
    ) -> Iterator[tuple[Rows, Rows, Floats]]:
        """Yield q, f and score of all pairs from the floor on that are not vetoed, (K,) each.

        Args:
            queries: (M,) q of the queries that are looked at.
            texts: (N,) f of the feature texts.
            floor: the lowest score.
        """
        ...

    def sampling_floors(self, sigma: float) -> tuple[float, ...]:
        """Return the floors, descending, below sigma that a review draws from; the first with a
        pair counts.
        """
        ...

    def scores(self, q: Rows, f: Rows) -> Floats:
        """Return the scores of pairs of numbers, -inf for those that can never pass, (K,)."""
        ...

    def audit(self, split: str, target_precision: float, base_rate: float | None = None) -> Audit:
        """Return precision and recall over sigma, measured or estimated on a split."""
        ...


@dataclass(frozen=True)
class FilterSettings:
    """What decides a filter's result, beside the data.

    Attributes:
        sigma: the threshold of a correction: a cosine in [-1, 1], or under the calibrated rule a
            probability; None for the one that audit proposes.
        floor: the lowest score that is stored; None for sigma.
        rule: "auto", "paper" or "calibrated".
        max_pairs: stop before more query-product candidates than this are stored.
        max_title_pairs: the same of image-title candidates.
        max_per_query: store the best candidates of each query, at most so many; None for all.
        base_rate: share of relevant pairs, where it is known, for the calibrated rule.
        image_title_sigma: the cosine of an image-title correction under every rule.
    """

    sigma: float | None = 0.9
    floor: float | None = None
    rule: str = "auto"
    max_pairs: int = MAX_PAIRS
    base_rate: float | None = None
    image_title_sigma: float = IMAGE_TITLE_SIGMA
    max_title_pairs: int = MAX_PAIRS
    max_per_query: int | None = None

    def __post_init__(self) -> None:
        if self.rule not in list(RuleName):
            raise UsageError(f"--rule must be one of {', '.join(RuleName)}, got {self.rule}.")
        check_base_rate(self.base_rate)
        for option, cosine in (
            ("--sigma", self.sigma),
            ("--floor", self.floor),
            ("--image-title-sigma", self.image_title_sigma),
        ):
            if cosine is not None and not -1 <= cosine <= 1:
                raise UsageError(f"{option} must be from -1 to 1, got {cosine}; give 0.9, say.")
        if self.sigma is None:
            return
        if self.rule == RuleName.calibrated and not 0 < self.sigma < 1:
            raise UsageError(
                f"--sigma must be a probability between 0 and 1 under the calibrated rule, got "
                f"{self.sigma}; give 0.9, say, or auto."
            )
        if self.lowest > self.sigma:
            raise UsageError(
                f"--floor must be at most --sigma {self.sigma}, got {self.floor}; give one below."
            )

    @property
    def lowest(self) -> float:
        """The floor that holds once sigma is known."""
        assert self.sigma is not None
        return self.sigma if self.floor is None else self.floor


@dataclass(frozen=True)
class Choice:
    """The rule that runs, and why."""

    name: RuleName
    why: str

    def sentence(self, sigma: float | None) -> str:
        """Return which rule runs, why, and what sigma means under it."""
        number = "auto" if sigma is None else f"{sigma:g}"
        meaning = {
            RuleName.paper: "the mean cosine of the query with title and caption",
            RuleName.calibrated: "the estimated probability that a pair is relevant",
        }[self.name]
        return f"rule {self.name} ({self.why}); sigma {number} is {meaning}"


KNOWN = """
SELECT count(*) FILTER (source = 'click'), count(*) FILTER (source <> 'click')
FROM (SELECT q, f, min(source) AS source FROM verdicts JOIN product_no USING (p)
      WHERE positive AND verdicts.split = 'train' AND f IS NOT NULL GROUP BY q, f)
"""


def choose_rule(store: Store, settings: FilterSettings) -> Choice:
    """Return the rule of the settings; auto is calibrated where train has enough known pairs."""
    if settings.rule != RuleName.auto:
        return Choice(RuleName(settings.rule), "as --rule says")
    clicked, labelled = store.rows(KNOWN)[0]
    found = f"{clicked + labelled:,} train pairs are known to be relevant"
    probability = settings.sigma is None or 0 < settings.sigma < 1
    if clicked + labelled < MIN_KNOWN_PAIRS:
        return Choice(RuleName.paper, f"{found}, calibrated needs {MIN_KNOWN_PAIRS}")
    if not probability:
        return Choice(RuleName.paper, f"sigma {settings.sigma:g} is not a probability")
    if labelled:
        return Choice(RuleName.calibrated, found)
    return Choice(
        RuleName.calibrated,
        f"{found}, by clicks alone, so the share of relevant pairs is known as a range; 0.9 had a "
        f"precision of {CLICKS_ALONE_PRECISION} on trial shops of one to nine clicks a query, and "
        "of 0.27 and 0.49 on two sizes of one whose brands and kinds the lexicon half knew: judge "
        "a sample (genfilt audit --sample 50)",
    )


def fit_rule(
    store: Store, corpus: Corpus, embedder: Embedder, choice: Choice, base_rate: float | None
) -> Rule:
    """Return the chosen rule, fitted on train where it has a fit."""
    if choice.name is RuleName.paper:
        from genfilt.filter.paper import PaperRule

        return PaperRule(store, corpus)
    from genfilt.filter.calibrated.rule import fit_calibrated

    return fit_calibrated(store, corpus, embedder, base_rate)


def current_rule(store: Store, embedder: Embedder) -> Rule:
    """Return the rule of the current filter with its stored fit, the paper's without a filter."""
    corpus = load_corpus(store, embedder)
    record = stored_record(store)
    if record is None:
        from genfilt.filter.paper import PaperRule

        return PaperRule(store, corpus)
    from genfilt.filter.calibrated.rule import load_calibrated

    return load_calibrated(store, corpus, embedder, record)


def audit_filter(
    store: Store,
    embedder: Embedder,
    *,
    split: str = "train",
    target_precision: float = TARGET_PRECISION,
    base_rate: float | None = None,
) -> Audit:
    """Return the audit of the current filter, the paper's rule without one.

    The estimates of a calibrated filter on train were stored with it: nothing is fitted or read
    but them. Everything else is measured on the labels and reviews of the split.

    Raises:
        UsageError: a target or base rate that is not a share, or a base rate for a stored fit.
        UserError: nothing is judged in the split, or the filter has no stored fit.
    """
    record = stored_record(store)
    if record is not None and split == "train":
        from genfilt.filter.calibrated.fit_record import audit_of
        from genfilt.filter.calibrated.rule import change_since, check_no_base_rate

        check_no_base_rate(base_rate)
        change = change_since(store, record)
        if change is not None:
            say(f"{change} changed since the fit; run genfilt filter again to use it")
        sigma = float(store.scalar("SELECT sigma FROM filters WHERE current"))
        return audit_of(record, target_precision, sigma)
    return current_rule(store, embedder).audit(split, target_precision, base_rate)


def stored_record(store: Store) -> FitRecord | None:
    """Return the stored fit of the current filter, None where its rule has none.

    Raises:
        UserError: the rule has a fit and it is not stored.
    """
    rows = store.rows(
        "SELECT rule, fit, audit, reliability FROM filters LEFT JOIN filter_fits "
        "USING (filter_id) WHERE current"
    )
    if not rows or rows[0][0] == RuleName.paper:
        return None
    _, fit, audit, reliability = rows[0]
    if None in (fit, audit, reliability):
        raise UserError(
            f"{store.path} has no stored fit for its current filter; run genfilt filter again."
        )
    from genfilt.filter.calibrated.fit_record import FitRecord

    return FitRecord(fit, audit, reliability)


def announce(choice: Choice, settings: FilterSettings) -> None:
    """Print the first line of `genfilt filter`, and which option the rule does not heed."""
    say(choice.sentence(settings.sigma))
    if choice.name is RuleName.paper and settings.base_rate is not None:
        say("--base-rate is for the calibrated rule and changes nothing under the paper's")
