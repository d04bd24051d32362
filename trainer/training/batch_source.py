"""The batches of a stage, with pictures or the cached features of a frozen tower."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from trainer.batches.feature_cache import FeatureCache
from trainer.batches.picture_pack import PicturePack
from trainer.batches.reader import BatchReader
from trainer.config import FitConfig
from trainer.database.catalogue import Rows
from trainer.model.query_life import QueryLife
from trainer.training.stage_data import StageData
from trainer.training.vision_features import cache_features


def batch_reader(
    config: FitConfig, data: StageData, model: QueryLife, cache: Path, pack: PicturePack | None
) -> BatchReader:
    """Return the reader of a stage's batches.

    Args:
        config: of the stage.
        data: the stage's rows and catalogue.
        model: computes the features of a frozen tower where config asks for their cache.
        cache: the folder of the cached features.
        pack: the pictures, decoded; None where there is none.

    Raises:
        UsageError: the cache is asked for without a frozen tower.
    """
    augmented = config.augment and not model.vision.frozen
    cached = _features(data, model, cache, config, pack) if config.cache_vision else None
    return BatchReader(
        data.rows,
        data.catalogue.images,
        model.image_transform,
        seed=config.seed if augmented else None,
        features=cached,
        pack=pack,
    )


def _features(
    data: StageData, model: QueryLife, cache: Path, config: FitConfig, pack: PicturePack | None
) -> FeatureCache:
    products = np.unique(data.rows.product)
    once = Rows(np.full_like(products, -1), products, np.ones(len(products), dtype=np.bool_))
    reader = BatchReader(once, data.catalogue.images, model.image_transform, seed=None, pack=pack)
    return cache_features(model, products, reader, cache, config.workers)
