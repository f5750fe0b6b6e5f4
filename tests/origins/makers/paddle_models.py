"""PaddlePaddle through paddle2onnx: python paddle_models.py FOLDER.

Its adaptive pools, and the pyramid head of PSPNet as PaddleSeg writes it. The models have an input
`x`.
"""

import os
import sys
import tempfile
import warnings
from pathlib import Path

os.environ["POLYGRAPHY_AUTOINSTALL_DEPS"] = "0"  # paddle2onnx folds constants by it.

import onnx
import paddle
import paddle.nn.functional as F  # noqa: N812 - PyTorch's own convention
import paddle2onnx
from paddle import nn
from written import Folder


class Function(nn.Layer):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


class GeM(nn.Layer):
    """As PaddleClas has it."""

    def __init__(self, p=3.0):
        super().__init__()
        self.p = self.create_parameter([1], default_initializer=nn.initializer.Constant(p))

    def forward(self, x):
        powers = paddle.pow(paddle.clip(x, min=1e-6), self.p)
        return paddle.pow(F.adaptive_avg_pool2d(powers, 1), 1.0 / self.p)


class Pyramid(nn.Layer):
    """PaddleSeg's PPModule: pool, convolve, upsample, concatenate."""

    def __init__(self, channels=4, bins=(1, 2, 3, 6)):
        super().__init__()
        self.stages = nn.LayerList(
            [
                nn.Sequential(
                    nn.AdaptiveAvgPool2D(n), nn.Conv2D(channels, 2, 1), nn.BatchNorm2D(2), nn.ReLU()
                )
                for n in bins
            ]
        )

    def forward(self, x):
        levels = [
            F.interpolate(stage(x), x.shape[2:], mode="bilinear", align_corners=False)
            for stage in self.stages
        ]
        return paddle.concat([x, *levels], axis=1)


def area(x):
    return F.interpolate(x, [6, 6], mode="area")


def export(layer, shape):
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "model"
        spec = [paddle.static.InputSpec(shape, "float32", "x")]
        paddle.onnx.export(layer, str(path), input_spec=spec, opset_version=13)
        return onnx.load(path.with_suffix(".onnx"))


def models():
    """Name, what it is, pools, layer and shape."""
    for size in (12, 13, 15, 33):
        shape, to = [2, 4, size, size], f"{size} to 6"
        yield f"average_{size}", f"AdaptiveAvgPool2D, {to}", 1, nn.AdaptiveAvgPool2D(6), shape
        yield f"max_{size}", f"AdaptiveMaxPool2D, {to}", 1, nn.AdaptiveMaxPool2D(6), shape
    plane, volume = [2, 4, 15, 17], [2, 4, 7, 9, 8]
    yield "average_to_1", "AdaptiveAvgPool2D, to 1", 1, nn.AdaptiveAvgPool2D(1), plane
    oblong = nn.AdaptiveAvgPool2D((4, 6))
    yield "average_oblong", "AdaptiveAvgPool2D, 15x17 to 4x6", 1, oblong, plane
    yield "line", "AdaptiveAvgPool1D, 15 to 4", 1, nn.AdaptiveAvgPool1D(4), [2, 4, 15]
    yield "volume", "AdaptiveAvgPool3D, 7x9x8 to 3", 1, nn.AdaptiveAvgPool3D(3), volume
    yield "area", "interpolate(mode='area'), 15x17 to 6", 1, Function(area), plane
    yield "gem", "GeM", 1, GeM(), plane
    for size in (30, 33):
        yield f"pyramid_{size}", f"PSP head, {size}", 4, Pyramid(), [1, 4, size, size]


def main(path):
    warnings.simplefilter("ignore")
    paddle.seed(0)
    folder = Folder(path, f"Paddle {paddle.__version__}, paddle2onnx {paddle2onnx.__version__}")
    for name, says, pools, layer, shape in models():
        layer.eval()
        runs = {"npz": lambda x, layer=layer: [layer(paddle.to_tensor(x)).numpy()]}
        folder.model(name, says, pools, export(layer, shape), runs, [shape] * 2)
    folder.close()


if __name__ == "__main__":
    main(sys.argv[1])
