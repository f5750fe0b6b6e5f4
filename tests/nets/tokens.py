"""Transformers on images: tokens that are viewed as a map, and back."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from tests.nets.net import AROUND_64, Net

FROM_224 = ((224, 224), (256, 256), (192, 256), (224, 160), (320, 224), (288, 352), (448, 448))
FROM_96X128 = ((96, 128), *(size for size in AROUND_64 if size != (128, 96)))


class Logits(nn.Module):
    """A model of transformers by its first input, without its output class."""

    def __init__(self, model: nn.Module, **options: Any) -> None:
        super().__init__()
        self.model = model
        self.options = options

    def forward(self, x: Tensor) -> Tensor:
        return self.model(pixel_values=x, **self.options).logits


def beit() -> nn.Module:
    import transformers

    config = transformers.BeitConfig(
        hidden_size=16,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=24,
        image_size=64,
        patch_size=8,
        out_indices=[1, 2, 3, 4],
        num_labels=4,
        use_absolute_position_embeddings=True,
        use_auxiliary_head=False,
    )
    model = transformers.BeitForSemanticSegmentation(config)
    return Logits(model, interpolate_pos_encoding=True)


def upernet() -> nn.Module:
    import transformers

    backbone = transformers.ConvNextConfig(
        hidden_sizes=[8, 16, 16, 32],
        depths=[1, 1, 1, 1],
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    config = transformers.UperNetConfig(
        backbone_config=backbone, hidden_size=16, use_auxiliary_head=False, num_labels=4
    )
    return Logits(transformers.UperNetForSemanticSegmentation(config))


PVT: dict[str, Any] = {
    "depths": (1, 1, 1, 1),
    "mlp_ratios": (2, 2, 2, 2),
    "num_heads": (1, 1, 2, 2),
}


def pvt_of_transformers() -> nn.Module:
    import transformers

    config = transformers.PvtV2Config(
        hidden_sizes=[8, 16, 16, 32],
        depths=[1, 1, 1, 1],
        num_attention_heads=[1, 1, 2, 2],
        mlp_ratios=[2, 2, 2, 2],
        linear_attention=True,
        num_labels=4,
    )
    return Logits(transformers.PvtV2ForImageClassification(config))


def pvt_of_timm() -> nn.Module:
    from timm.models.pvt_v2 import PyramidVisionTransformerV2

    return PyramidVisionTransformerV2(embed_dims=(8, 16, 16, 32), linear=True, num_classes=4, **PVT)


def efficientvit() -> nn.Module:
    from timm.models.efficientvit_mit import EfficientVit

    return EfficientVit(
        widths=(8, 8, 16, 16, 32),
        depths=(1, 1, 1, 1, 1),
        head_dim=8,
        head_widths=(32, 32),
        num_classes=4,
    )


NETS = (
    Net("Beit, segmentation, traced at its own size", beit, AROUND_64, packages=("transformers",)),
    Net("Beit, segmentation, traced at 96x128", beit, FROM_96X128, packages=("transformers",)),
    Net("UPerNet of transformers", upernet, AROUND_64, packages=("transformers",)),
    Net("PVTv2-linear of transformers", pvt_of_transformers, FROM_224, packages=("transformers",)),
    Net("PVTv2-linear of timm", pvt_of_timm, FROM_224, packages=("timm",)),
    Net("EfficientViT of timm", efficientvit, AROUND_64, packages=("timm",)),
)
