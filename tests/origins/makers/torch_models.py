"""An old torch's exporters: python torch_models.py FOLDER.

`script` is TorchScript's, `aten` the same where it leaves PyTorch's own ops in the file, `dynamo`
is `torch.onnx.dynamo_export`, which writes local functions. Texts that say where they were run are
left out of the files, and so is what an exporter refuses.
"""

import io
import sys
import warnings

import onnx
import torch
import torch.nn.functional as F  # noqa: N812 - PyTorch's own convention
from google.protobuf.message import Message
from torch import nn
from torch.onnx import OperatorExportTypes
from written import Folder

PLANE = (1, 2, 13, 13)


class Module(nn.Module):
    """A function in a module of its own, which `dynamo_export` wants around a module of torch."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


class GeM(nn.Module):
    """The widespread spelling: the kernel is the size of the map."""

    def __init__(self, p=3.0):
        super().__init__()
        self.p = nn.Parameter(torch.full((1,), p))

    def forward(self, x):
        powers = x.clamp(min=1e-6).pow(self.p)
        return F.avg_pool2d(powers, (x.size(-2), x.size(-1))).pow(1.0 / self.p)


def bilinear(x, size):
    return F.interpolate(x, size, mode="bilinear", align_corners=True)


class Pyramid(nn.Module):
    def __init__(self, channels=2, bins=(1, 2, 3, 6)):
        super().__init__()
        self.levels = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(n), nn.Conv2d(channels, 1, 1), nn.ReLU())
            for n in bins
        )

    def forward(self, x):
        size = x.shape[-2:]
        levels = [
            F.interpolate(m(x), size, mode="bilinear", align_corners=True) for m in self.levels
        ]
        return torch.cat([x, *levels], 1)


def attention(x):
    """CBAM's channel attention without its layers."""
    return x * torch.sigmoid(F.adaptive_avg_pool2d(x, 1) + F.adaptive_max_pool2d(x, 1))


FORMS = (
    ("to_1", "AdaptiveAvgPool2d(1)", 1, nn.AdaptiveAvgPool2d(1), PLANE),
    ("even", "AdaptiveAvgPool2d(6), 12", 1, nn.AdaptiveAvgPool2d(6), (1, 2, 12, 12)),
    ("equal", "AdaptiveAvgPool2d(6), 13", 1, nn.AdaptiveAvgPool2d(6), PLANE),
    ("unequal", "AdaptiveAvgPool2d(4), 7x9", 1, nn.AdaptiveAvgPool2d(4), (1, 2, 7, 9)),
    ("line", "AdaptiveAvgPool1d(6), 13", 1, nn.AdaptiveAvgPool1d(6), (1, 2, 13)),
    ("max", "AdaptiveMaxPool2d(6), 12", 1, nn.AdaptiveMaxPool2d(6), (1, 2, 12, 12)),
    ("max_13", "AdaptiveMaxPool2d(6), 13", 1, nn.AdaptiveMaxPool2d(6), PLANE),
    ("gem", "GeM", 1, GeM(), PLANE),
    ("gem_open_p", "GeM, p = 2.87", 1, GeM(2.87), PLANE),
    ("attention", "CBAM's channel attention", 2, attention, PLANE),
    ("mean", "mean over both axes", 1, lambda x: x.mean((2, 3)), PLANE),
    ("pyramid", "pyramid, 12", 4, Pyramid(), (1, 2, 12, 12)),
    ("pyramid_13", "pyramid, 13", 4, Pyramid(), PLANE),
)


def script(module, x, kind=OperatorExportTypes.ONNX):
    buffer = io.BytesIO()
    torch.onnx.export(
        module, (x,), buffer, input_names=["x"], output_names=["y"], operator_export_type=kind
    )
    return onnx.load_model_from_string(buffer.getvalue())


def aten(module, x):
    return script(module, x, OperatorExportTypes.ONNX_FALLTHROUGH)


def dynamo(module, x):
    return torch.onnx.dynamo_export(module, x).model_proto


EXPORTERS = (script, aten, dynamo)


def export(exporter, module, x):
    try:
        return exporter(module, x)
    except Exception as error:  # Each exporter has its own; what it refuses is no model.
        print(f"{exporter.__name__}: {type(error).__name__}: {str(error)[:200]}", file=sys.stderr)
        return None


def without_places(message):
    """The message without the texts that say in which folders it was made."""
    for field, value in message.ListFields():
        if field.name in ("doc_string", "metadata_props"):
            message.ClearField(field.name)
        elif field.message_type:
            for each in [value] if isinstance(value, Message) else value:
                without_places(each)
    return message


def main(path):
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    folder = Folder(path, f"torch {torch.__version__.split('+')[0]}")
    for exporter in EXPORTERS:
        for name, says, pools, function, shape in FORMS:
            module = Module(function).eval()
            model = export(exporter, module, torch.randn(shape))
            runs = {"npz": lambda x, m=module: [m(torch.from_numpy(x)).detach().numpy()]}
            if model is not None:
                name, says = f"{exporter.__name__}_{name}", f"{exporter.__name__}: {says}"
                folder.model(name, says, pools, without_places(model), runs, [shape])
    folder.close()


if __name__ == "__main__":
    main(sys.argv[1])
