"""Lift: what construct a region is, and how a node of the dialect takes its place."""
