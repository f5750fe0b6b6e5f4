"""Pooling that an exporter froze at the traced size: what it was, and what follows from that.

What lift found in a graph comes in, with what is known besides (hints: metadata, what the user
said); constructs of the source's op go out, or a finding that lists the sizes that fit. `find`
calls `frozen.settle`; the pipeline calls `retarget` once the nodes are replaced, for what was
computed of the frozen plane.
"""
