"""One file for each runtime: `version()`, and `load(model)`, which gives what runs the model.

A driver is loaded by worker.py from its file, in an environment that need not have onnxpool. What
`load` gives takes the values of the inputs, in the order of the graph, and gives those of the
outputs.
"""
