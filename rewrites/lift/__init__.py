"""What construct a region is, one construct or exporter form per file.

A region comes in, or a node that says by itself what it computes; a `Construct` goes out (the op of
the dialect, and its regions), or a `Declined` with the reason, or None where the rule has nothing
to say. `find` tries the rules in order; `construct.replace` puts a node of the dialect in the place
of a construct.
"""
