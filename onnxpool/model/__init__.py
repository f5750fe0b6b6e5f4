"""A model on disk and in memory: read without its weights, worked on as graphs, saved without loss.

A path or a `ModelProto` comes in; a `ModelFile` goes out, with a `Scope` for each of its graphs
(main graph, bodies of control flow, functions), and `shapes.infer` fills in what is known of their
tensors. What the passes changed in a scope, `splice` puts back in the proto, and `save` writes it.
All rooms above take models from here.
"""
