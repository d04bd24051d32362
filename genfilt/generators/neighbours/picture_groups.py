"""Groups of pictures: those of one title, and those of titles that share a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def picture_groups(titles: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Return image key -> group number; groups are numbered by their smallest image key.

    Args:
        titles: image key -> titles of the products that show the picture.
    """
    import numpy as np
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    keys = sorted(titles)
    number: dict[str, int] = {}
    rows, columns = [], []
    for row, key in enumerate(keys):
        for title in titles[key]:
            rows.append(row)
            columns.append(len(keys) + number.setdefault(title, len(number)))
    size = len(keys) + len(number)
    links = coo_array((np.ones(len(rows), dtype=np.int8), (rows, columns)), shape=(size, size))
    _, labels = connected_components(links, directed=False)
    groups: dict[int, int] = {}
    return {
        key: groups.setdefault(int(label), len(groups))
        for key, label in zip(keys, labels[: len(keys)], strict=True)
    }
