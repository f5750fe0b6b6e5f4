"""The passes, on graphs in memory: no file is read or written here.

`find` finds pooling (lift, repair, on the evidence of region), `plan` says what is to become of it,
lower writes the dialect as standard ops; legalize and convert rewrite standard nodes for a target
and for another opset. The pipeline calls them in turn.
"""
