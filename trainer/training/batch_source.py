"""The batches of a stage, with pictures or the cached features of a frozen tower."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from trainer.batches.feature_cache import FeatureCache
from trainer.batches.reader import BatchPlan, BatchReader, loader
from trainer.config import FitConfig
from trainer.database.catalogue import Rows
from trainer.model.query_life import QueryLife
from trainer.training.stage_data import StageData
from trainer.training.vision_features import cache_features

if TYPE_CHECKING:
    from accelerate import Accelerator

CACHED_AT_ONCE = 32  # pictures of a batch while the cache is filled


def batch_reader(
    config: FitConfig, data: StageData, model: QueryLife, accelerator: Accelerator, cache: Path
) -> BatchReader:
    """Return the reader of a stage's batches.

    Args:
        config: of the stage.
        data: the stage's rows and catalogue.
        model: computes the features of a frozen tower where config asks for their cache.
        accelerator: the first process fills the cache, the others wait for it.
        cache: the folder of the cached features.

    Raises:
        UsageError: the cache is asked for without a frozen tower.
    """
    augmented = config.augment and not model.vision.frozen
    cached = _features(data, model, accelerator, cache, config) if config.cache_vision else None
    return BatchReader(
        data.rows,
        data.catalogue.images,
        model.image_transform,
        seed=config.seed if augmented else None,
        features=cached,
    )


def _features(
    data: StageData, model: QueryLife, accelerator: Accelerator, cache: Path, config: FitConfig
) -> FeatureCache:
    images, products = data.catalogue.images, np.unique(data.rows.product)
    paths = dict(zip(products.tolist(), images.take(products).to_pylist(), strict=True))
    once = Rows(np.full_like(products, -1), products, np.ones(len(products), dtype=np.bool_))
    reader = BatchReader(once, images, model.image_transform, seed=None)
    plan = BatchPlan(len(products), CACHED_AT_ONCE, 1, 0)
    with accelerator.main_process_first():
        return cache_features(model, paths, loader(reader, plan, 0, config.workers), cache)
