"""Pooling in exported ONNX models, made right, portable and fast."""

__version__ = "0.1.0"
