"""A model against its source: is it right, at which sizes not, and where does it start to differ?

A model comes in, and its PyTorch source or another model; a verdict goes out that compares the
model's error with the source's own. `compare.validate` is for the Python interface and the command
line; the exporters and the benchmark load sources and run models with the modules beside it.
"""
