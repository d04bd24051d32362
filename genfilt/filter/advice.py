"""Advice for a filter that corrects no train product: the cause if it is known, and what to try."""

from __future__ import annotations

from genfilt.filter.precision_curve import TARGET_PRECISION
from genfilt.filter.rules import MIN_KNOWN_PAIRS, RuleName, stored_record
from genfilt.store.store import Store

MIN_USEFUL_CORRECTIONS = 10  # estimated at a lower sigma that is worth naming


def advice(store: Store, corrections: int = 0) -> str:
    """Return what to try where no train product has a correction, in a sentence or two.

    `corrections` are those of val and test products.
    """
    rule, sigma = store.rows("SELECT rule, sigma FROM filters WHERE current")[0]
    remedies = _paper(sigma) if rule == RuleName.paper else _calibrated(store, sigma)
    if not store.scalar("SELECT count(*) FROM features WHERE image_text <> ''"):
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
