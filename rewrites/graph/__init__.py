"""What every pass needs of a graph: constants, pieces cut out and run, nodes written and removed.

graphsurgeon graphs and nodes come in; values, small models and new nodes go out. What pooling is
nobody knows here: `verify` alone looks at nodes of the dialect, by their schemas and shape rules.
All other rooms of rewrites/ build on this one.
"""
