"""The LAVIS worker with a small vision tower in place of ViT-g; runs in LAVIS's environment."""

from __future__ import annotations

import importlib.util
from pathlib import Path

WORKER = Path(__file__).parents[2] / "genfilt" / "generators" / "vlm" / "lavis" / "lavis_worker.py"


def load_worker():
    spec = importlib.util.spec_from_file_location("lavis_worker", WORKER)
    worker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(worker)
    return worker


worker = load_worker()
worker.define_torchvision_operators()


def use_small_tower() -> None:
    """LAVIS knows two towers, both of which it downloads."""
    from lavis.models.blip2_models import blip2
    from lavis.models.eva_vit import VisionTransformer

    def small_tower(img_size, drop_path_rate, use_checkpoint, precision):
        return VisionTransformer(
            img_size=img_size, patch_size=14, embed_dim=32, depth=2, num_heads=4, qkv_bias=True
        )

    blip2.create_eva_vit_g = small_tower


if __name__ == "__main__":
    use_small_tower()
    worker.main()
