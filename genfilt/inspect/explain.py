"""The decision on one pair: scores, threshold, veto, verdict and rank, with the reason in words."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from genfilt.common.errors import UserError
from genfilt.features.embed import Embedder
from genfilt.filter.precision_curve import TOLERANCE
from genfilt.inspect.pair_scores import PairScore, score_pair
from genfilt.inspect.pair_texts import (
    PairProduct,
    PairQuery,
    find_product,
    find_query,
    statement,
)
from genfilt.store.store import Store


class Outcome(StrEnum):
    """What the current filter makes of a pair."""

    correction = "correction"
    known = "known"
    vetoed = "vetoed"
    below_sigma = "below sigma"
    below_floor = "below floor"
    not_joined = "not joined"
    no_score = "no score"


@dataclass(frozen=True)
class CurrentSettings:
    """What decides the current filter's corrections."""

    filter_id: int
    rule: str
    sigma: float
    floor: float
    embedder: str


@dataclass(frozen=True)
class Explanation:
    """Why the current filter makes a pair a correction, or why not.

    Attributes:
        query: the query's text.
        query_id: None for a text that the database has not.
        title: the product's title as written.
        product_id: None for a title that the database has not.
        split: of the product; None with product_id.
        title_text: what is embedded for the title.
        caption: what is embedded for the picture, None without one.
        q_i, q_t: cosines of the query with caption and title text.
        cosine: their mean, or q_t without a caption.
        rule: of the current filter.
        score: what sigma is compared with; None where the rule gives none.
        sigma: of the current filter.
        floor: score from which pairs are stored.
        stored: whether the pair is among the candidates.
        vetoed: whether the rule rejects the pair in spite of its score.
        reasons: what speaks for the pair and against it, separated by semicolons.
        verdict: of the train split: "review", "label" or "click", and what it says.
        rank: place of the score among the query's candidates, 1 for the highest.
        candidates: of the query, this pair with them where it is one.
        outcome: what the filter makes of the pair.
        why: the same as one sentence.
    """

    query: str
    query_id: str | None
    title: str
    product_id: str | None
    split: str | None
    title_text: str
    caption: str | None
    q_i: float | None
    q_t: float | None
    cosine: float | None
    rule: str
    score: float | None
    sigma: float
    floor: float
    stored: bool
    vetoed: bool
    reasons: str | None
    verdict: str | None
    rank: int | None
    candidates: int
    outcome: Outcome
    why: str


def explain(store: Store, embedder: Embedder, query: str, product: str) -> Explanation:
    """Explain the current filter's decision on a pair; nothing is written.

    Args:
        store: the tables; read-only suffices.
        embedder: the current filter's, for texts without a vector.
        query: id of a query, else its text; a text that the database has not is embedded.
        product: id of a product, else its title, likewise.

    Raises:
        UsageError: a text is empty.
        UserError: there is no filter yet, or the embedder is another one.
    """
    rows = store.rows(statement("filter"))
    if not rows:
        raise UserError(f"{store.path} has no filter yet; run genfilt filter first.")
    settings = CurrentSettings(*rows[0])
    asked, shown = find_query(store, query), find_product(store, product)
    kept = _stored(store, settings, asked, shown)
    score = kept or score_pair(store, embedder, settings.embedder, asked, shown)
    verdict = _verdict(store, asked, shown)
    rank, others = _rank(store, settings, asked, shown, score)
    outcome = _outcome(settings, score, verdict, stored=kept is not None)
    return Explanation(
        query=asked.text,
        query_id=asked.query_id,
        title=shown.title,
        product_id=shown.product_id,
        split=shown.split,
        title_text=shown.feature,
        caption=shown.caption or None,
        q_i=score.q_i,
        q_t=score.q_t,
        cosine=score.cosine,
        rule=settings.rule,
        score=score.score,
        sigma=settings.sigma,
        floor=settings.floor,
        stored=kept is not None,
        vetoed=score.vetoed,
        reasons=score.reasons,
        verdict=verdict,
        rank=rank,
        candidates=others + (kept is not None),
        outcome=outcome,
        why=_why(outcome, settings, score, verdict, shown),
    )


def _stored(
    store: Store, settings: CurrentSettings, query: PairQuery, product: PairProduct
) -> PairScore | None:
    if query.q is None or product.f is None:
        return None
    pair = {"filter_id": settings.filter_id, "q": query.q, "f": product.f}
    rows = store.rows(statement("stored"), pair)
    return PairScore(*rows[0]) if rows else None


def _verdict(store: Store, query: PairQuery, product: PairProduct) -> str | None:
    if query.q is None or product.p is None:
        return None
    rows = store.rows(statement("verdict"), {"q": query.q, "p": product.p})
    return f"{rows[0][0]}: {'relevant' if rows[0][1] else 'not relevant'}" if rows else None


def _rank(
    store: Store,
    settings: CurrentSettings,
    query: PairQuery,
    product: PairProduct,
    score: PairScore,
) -> tuple[int | None, int]:
    """Return the rank of the score among the query's other candidates, and their number."""
    if query.q is None:
        return None, 0
    pair = {
        "filter_id": settings.filter_id,
        "q": query.q,
        "f": -1 if product.f is None else product.f,
        "score": score.score,
    }
    above, others = store.rows(statement("rank"), pair)[0]
    return (None if score.score is None else int(above) + 1), int(others)


def _outcome(
    settings: CurrentSettings, score: PairScore, verdict: str | None, *, stored: bool
) -> Outcome:
    if verdict is not None:
        return Outcome.known
    if score.score is None:
        return Outcome.no_score
    if score.score < settings.floor - TOLERANCE:
        return Outcome.below_floor
    if score.score < settings.sigma - TOLERANCE:
        return Outcome.below_sigma
    if score.vetoed:
        return Outcome.vetoed
    return Outcome.correction if stored else Outcome.not_joined


def _why(
    outcome: Outcome,
    settings: CurrentSettings,
    score: PairScore,
    verdict: str | None,
    product: PairProduct,
) -> str:
    if outcome is Outcome.known:
        source, says = str(verdict).split(": ")
        return f"No correction, since it is known already: a train {source} calls it {says}."
    if score.score is None:
        if not product.feature:
            return "No correction: the product has no title to compare."
        kind = "with a caption" if product.caption else "without a caption"
        return (
            f"No correction: the stored fit has no part for products {kind}; "
            "run genfilt filter again."
        )
    against = f" Against it: {score.reasons}." if score.vetoed and score.reasons else ""
    if outcome in (Outcome.below_floor, Outcome.below_sigma):
        name = "floor" if outcome is Outcome.below_floor else "sigma"
        limit = settings.floor if outcome is Outcome.below_floor else settings.sigma
        return (
            f"No correction: the score {score.score:.3f} is {limit - score.score:.3f} below "
            f"{name} {limit:g}.{against}"
        )
    if outcome is Outcome.vetoed:
        return f"No correction: vetoed in spite of the score {score.score:.3f}.{against}"
    reaches = f"the score {score.score:.3f} reaches sigma {settings.sigma:g}"
    if outcome is Outcome.not_joined:
        return f"No correction yet: {reaches}, but the last filter has not compared the pair."
    if product.split != "train":
        return f"A correction of the split {product.split}, which training does not use: {reaches}."
    return f"A correction: {reaches} and nothing contradicts the pair."
