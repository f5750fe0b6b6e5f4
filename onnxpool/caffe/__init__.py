"""A model in the words of Caffe: a net of layers, and its weights in a file beside it.

convert    an ONNX model as a net          layers/    one group of ops per file
net        a net, as text and as bytes     message    protobuf messages as bytes
files      its two files
"""

from onnxpool.caffe.convert import convert
from onnxpool.caffe.files import ENDING, save
from onnxpool.caffe.net import Layer, Net

__all__ = ["ENDING", "Layer", "Net", "convert", "save"]
