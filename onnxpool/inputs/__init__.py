"""What to run a model on: sizes for the axes that it leaves open, seeded values for its inputs.

The declared inputs of a model come in, or sizes as a user writes them; shapes and NumPy arrays go
out. Validation, the pipeline's checks and the benchmark draw from here.
"""
