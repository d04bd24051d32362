"""Advice for a filter that found nothing of a kind: the cause if it is known, and what to try."""

from __future__ import annotations

import numpy as np

from genfilt.common.arrays import Floats
from genfilt.features.corpus import Corpus, load_corpus
from genfilt.features.embed import Embedder
from genfilt.features.vector_file import gather
from genfilt.filter.precision_curve import TARGET_PRECISION
from genfilt.filter.rules import MIN_KNOWN_PAIRS, RuleName, stored_record
from genfilt.store.store import Store

CAPTIONS = "SELECT count(*) FROM features WHERE image_text <> ''"
SAMPLED = 1000  # captions, and titles, of which the nearest are looked for
MIN_USEFUL_CORRECTIONS = 10  # estimated at a lower sigma that is worth naming


def advice(store: Store, corrections: int = 0) -> str:
    """Return what to try where no train product has a correction, in a sentence or two.

    `corrections` are those of val and test products.
    """
    rule, sigma = store.rows("SELECT rule, sigma FROM filters WHERE current")[0]
    remedies = _paper(sigma) if rule == RuleName.paper else _calibrated(store, sigma)
    if not store.scalar(CAPTIONS):
        remedies.append("ingest pictures and run genfilt extract: no product has a caption")
    found = f"No pair reaches sigma {sigma:g} under the rule {rule}"
    if corrections:
        found = (
            f"No correction is of a train product, so training will not change ({corrections:,} "
            f"of val and test products reach sigma {sigma:g} under the rule {rule})"
        )
    return f"{found}. Try: {'; '.join(remedies)}."


def _paper(sigma: float) -> list[str]:
    return [
        f"a lower --sigma, such as {max(sigma - 0.1, 0):g}, and look at the pairs",
        f"--rule calibrated, which needs {MIN_KNOWN_PAIRS} or so train pairs with a click or label",
    ]


def _calibrated(store: Store, sigma: float) -> list[str]:
    from genfilt.filter.calibrated.fit_record import audit_of

    record = stored_record(store)
    assert record is not None
    curve = audit_of(record, TARGET_PRECISION).curve
    lower = [
        (each, precision, count)
        for each, precision, count in zip(
            curve.sigma, curve.precision, curve.corrections or [], strict=True
        )
        if 0 < each < sigma and precision is not None and (count or 0) >= MIN_USEFUL_CORRECTIONS
    ]
    remedies = []
    if lower:
        each, precision, count = lower[-1]
        remedies.append(
            f"--sigma {each:g} (about {count:,.0f} corrections at an estimated precision of "
            f"{precision:.2f})"
        )
    return [
        *remedies,
        "genfilt audit --sample 50, whose answers the next fit counts",
        "more labels, or --base-rate if you know the share of relevant pairs",
        "--rule paper with a lower --sigma",
    ]


def title_advice(store: Store, embedder: Embedder, sigma: float, title_pairs: int = 0) -> list[str]:
    """Return why no picture was matched with another product's title, in a sentence or none.

    There is none where pictures were matched, or where there is no caption.

    Args:
        store: of the filter's database.
        embedder: the filter's, which kept the vectors.
        sigma: the cosine of an image-title correction.
        title_pairs: how many pairs were found.
    """
    if title_pairs or not store.scalar(CAPTIONS):
        return []
    nearest = _nearest_titles(load_corpus(store, embedder))
    if not len(nearest):
        return []
    stated = store.scalar("SELECT avg((color IS NOT NULL)::INT) FROM current_attributes")
    middle, most = float(np.median(nearest)), float(nearest.max())
    return [
        f"No picture was matched with another product's title at --image-title-sigma {sigma:g}: "
        f"in a sample of {len(nearest):,} captions the nearest such title has a cosine of "
        f"{middle:.2f} in the middle and {most:.2f} at most. {float(stated or 0):.0%} of the "
        "titles state a colour, as captions do; where titles do not tell what pictures show, "
        "there is nothing to match."
    ]


def _nearest_titles(corpus: Corpus) -> Floats:
    """Return the highest cosine of sampled captions with sampled titles of other products."""
    draw = np.random.default_rng(0)
    images, titles = (
        np.sort(draw.permutation(len(side.numbers))[:SAMPLED])
        for side in (corpus.images, corpus.titles)
    )
    if not len(images) or not len(titles):
        return np.empty(0)
    cosines = gather(corpus.i, images) @ gather(corpus.t, titles).T
    pairs = corpus.features
    width = int(pairs.f_title.max(initial=0)) + 1
    own = pairs.f_image[pairs.pictured] * width + pairs.f_title[pairs.pictured]
    sampled = corpus.images.numbers[images][:, None] * width + corpus.titles.numbers[titles]
    cosines[np.isin(sampled, own)] = -1.0
    nearest = cosines.max(axis=1).astype(np.float64)
    return np.asarray(nearest[nearest > -1.0])
