"""Type words of pictures, voted by their nearest neighbours in a fitted reference set.

Pictures that share a title, or whose titles share a picture, are one group: it has one vote, by
its nearest picture, so that a title with many pictures weighs no more than another. Groups are
dealt to folds. A picture of a known group is compared in the metric of its fold, which was learnt
without the fold, with references of other folds alone: no title votes on its own picture.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from genfilt.generators.neighbours.abstention import CheckedVote, certain_shares
from genfilt.generators.neighbours.metric import Basis, fit_basis, fit_metric
from genfilt.generators.neighbours.segmentation import Floats
from genfilt.vocabulary.terms import core_word_family

FOLDS = 10
VOTING_GROUPS = 15  # groups that vote
NEAREST_PICTURES = 400  # pictures among which these groups are looked for
VOTE_WIDTH = 4.0  # of the votes' Gaussian, in squared distances where a class has variance one
KEY_BYTES = 8  # of an image key, enough to recognise a picture
MAX_REFERENCES = 20_000  # views that vote; mirror images are views where there is room
VALIDATED = 2000  # groups whose votes are compared with their titles: 0.8 is known to 0.02

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Vote:
    """What the neighbours call a picture."""

    word: str
    family: str
    share: float  # of the weighted votes, for the family


@dataclass(frozen=True)
class References:
    """The fitted state of the vote."""

    basis: Basis
    reduced: Floats  # (N, C)
    words: Ints  # (N,) indices of `names`
    groups: Ints  # (N,)
    metrics: tuple[Floats, ...]  # FOLDS of (C, K), and one learnt on all
    names: tuple[str, ...]
    certain: Floats  # (names,) share of votes from which a kind is named; inf for never
    known_keys: npt.NDArray[np.uint64]  # (M,) ascending: pictures whose titles were read
    known_groups: Ints  # (M,)

    def fold(self, image_key: str) -> int:
        """Return the fold of a picture, FOLDS of one whose titles are not known."""
        key = short_key(image_key)
        at = int(np.searchsorted(self.known_keys, key))
        if at < len(self.known_keys) and self.known_keys[at] == key:
            return int(self.known_groups[at]) % FOLDS
        return FOLDS


class Voters:
    """References made ready to vote."""

    def __init__(self, references: References) -> None:
        self._references = references
        self._families = [core_word_family(name) or name for name in references.names]
        self._allowed = [
            np.flatnonzero(references.groups % FOLDS != fold) for fold in range(FOLDS + 1)
        ]
        self._places = [  # per fold (n, K)
            references.reduced[allowed] @ metric
            for allowed, metric in zip(self._allowed, references.metrics, strict=True)
        ]

    def vote(self, image_key: str, features: Floats) -> Vote | None:
        """Return the vote on a picture's features (D,), None where there is no neighbour."""
        references = self._references
        return self.vote_reduced(
            references.fold(image_key), references.basis.reduce(features[None])[0]
        )

    def vote_reduced(self, fold: int, reduced: Floats) -> Vote | None:
        """Return the vote of the other folds on reduced features (C,)."""
        references = self._references
        if not len(self._allowed[fold]):
            return None
        place = reduced[None] @ references.metrics[fold]
        distances = np.square(self._places[fold] - place).sum(axis=1)
        near = _nearest(distances)
        _, firsts = np.unique(references.groups[self._allowed[fold][near]], return_index=True)
        voting = near[np.sort(firsts)[:VOTING_GROUPS]]
        weights = np.exp((distances[voting[0]] - distances[voting]) / (2 * VOTE_WIDTH))
        return self._count(references.words[self._allowed[fold][voting]], weights)

    def is_certain(self, vote: Vote) -> bool:
        """Tell whether votes like this one were right often enough to name the kind."""
        names = self._references.names
        return vote.share >= float(self._references.certain[names.index(vote.word)])

    def _count(self, words: Ints, weights: Floats) -> Vote:
        names = self._references.names
        families: defaultdict[str, float] = defaultdict(float)
        for word, weight in zip(words, weights, strict=True):
            families[self._families[word]] += float(weight)
        family = max(sorted(families), key=lambda each: families[each])
        inside: defaultdict[str, float] = defaultdict(float)
        for word, weight in zip(words, weights, strict=True):
            if self._families[word] == family:
                inside[names[word]] += float(weight)
        name = max(sorted(inside), key=lambda each: inside[each])
        return Vote(name, family, families[family] / sum(families.values()))


def _nearest(distances: Floats) -> npt.NDArray[np.intp]:
    """Indices of the NEAREST_PICTURES smallest distances, ascending."""
    if len(distances) <= NEAREST_PICTURES:
        return np.argsort(distances, kind="stable")
    near = np.sort(np.argpartition(distances, NEAREST_PICTURES)[:NEAREST_PICTURES])
    return near[np.argsort(distances[near], kind="stable")]


def fit_references(
    blocks: Sequence[Sequence[Floats]], words: Sequence[str], groups: Ints, known: Mapping[str, int]
) -> References:
    """Learn the metrics.

    Args:
        blocks: N lists of feature blocks, whose lengths sum to D.
        words: (N,) canonical core words.
        groups: (N,) the group of each reference.
        known: image key -> group, of all pictures whose titles are known.
    """
    names = tuple(sorted(set(words)))
    number = {name: index for index, name in enumerate(names)}
    families = [core_word_family(word) or word for word in words]
    classes = np.unique(np.array(families), return_inverse=True)[1].astype(np.int64)
    features = np.stack([np.concatenate(each) for each in blocks])
    basis = fit_basis(features, np.array([len(block) for block in blocks[0]]))
    reduced = basis.reduce(features).astype(np.float16).astype(np.float32)
    folds = groups % FOLDS
    everything = fit_metric(reduced, classes)
    metrics = [
        fit_metric(reduced[folds != fold], classes[folds != fold])
        if (folds != fold).any()
        else everything
        for fold in range(FOLDS)
    ]
    keys = {int(short_key(key)): group for key, group in known.items()}
    ordered = sorted(keys)
    references = References(
        basis,
        reduced,
        np.array([number[word] for word in words], dtype=np.int64),
        groups,
        (*metrics, everything),
        names,
        np.full(len(names), np.inf, dtype=np.float32),
        np.array(ordered, dtype=np.uint64),
        np.array([keys[key] for key in ordered], dtype=np.int64),
    )
    return replace(references, certain=_certain_shares(references))


def _certain_shares(references: References) -> Floats:
    """Return (names,): the share of votes from which each kind is named.

    Groups are voted on by the other folds and the votes compared with the groups' own titles.
    """
    families = [core_word_family(name) or name for name in references.names]
    voters = Voters(references)
    _, firsts = np.unique(references.groups, return_index=True)
    step = -(-len(firsts) // VALIDATED)  # groups are numbered by hashes: every step-th is random
    checked = []
    for row in firsts[::step]:
        fold = int(references.groups[row]) % FOLDS
        vote = voters.vote_reduced(fold, references.reduced[row])
        if vote is not None:
            right = vote.family == families[references.words[row]]
            checked.append(CheckedVote(vote.family, vote.share, right))
    shares = certain_shares(checked, set(families))
    return np.array([shares[family] for family in families], dtype=np.float32)


def short_key(image_key: str) -> np.uint64:
    """Return the first bytes of an image key as a number."""
    return np.uint64(int(image_key[: 2 * KEY_BYTES], 16))
