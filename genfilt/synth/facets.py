"""True facets of generated products, needs of queries, and rates of catalogue errors."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Facets:
    """A product's true properties, as the vocabulary names them; None where a type has none."""

    type: str
    category: str
    color: str
    color_family: str
    material: str
    brand: str
    pattern: str
    gender: str | None
    model: str | None


@dataclass(frozen=True, slots=True)
class Need:
    """The facets that a query names, None for the others. Without a type it names a brand alone."""

    type: str | None = None
    color: str | None = None
    material: str | None = None
    brand: str | None = None
    pattern: str | None = None
    gender: str | None = None
    model: str | None = None

    @property
    def brand_only(self) -> bool:
        """Whether the query names nothing but a brand."""
        return self.type is None


@dataclass(frozen=True, slots=True)
class Traps:
    """Shares of listings and queries with a trap; `falsified` multiplies a category's share."""

    near_duplicate: float = 0.12
    stuffed: float = 0.04
    misleading: float = 0.03
    wrong_picture: float = 0.02
    falsified: float = 1.0
    brand_only: float = 0.05


ATTACK = Traps(
    near_duplicate=0.30,
    stuffed=0.22,
    misleading=0.20,
    wrong_picture=0.15,
    falsified=4.0,
    brand_only=0.20,
)
