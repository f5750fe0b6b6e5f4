"""Standard nodes that a target does not take, as other standard nodes that compute the same.

A node comes in, and a `Builder` to write with; tensors in the place of its outputs go out, or
`Unsupported` with the reason. Each file has one or a few `Replacement`s: an entry of
`onnxpool.targets` names those that its runtime needs, and the pipeline (conform) applies them.
"""
