"""What a piece of a graph computes, and the evidence for it.

A graph comes in, with shapes; out go its regions (what lies between a tensor X and a later tensor Y
that depends on nothing else), what their nodes can do (roles), and whether one computes what an op
of the dialect computes, or in words what differs. The rules in lift/ and the judgement of frozen
pools in repair/ call it; which op to ask for is theirs to say.
"""
