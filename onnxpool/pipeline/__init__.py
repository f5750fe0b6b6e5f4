"""One rewrite, from file to file.

A model comes in, and what is wanted of it; a `Result` goes out, the model with its report, or a
report alone (`inspect`). `rewrite.py` takes the steps in turn, each a module: input_shapes,
frozen_sizes, survey, conform, check, report. The Python interface, the command line and the
exporters call it.
"""
