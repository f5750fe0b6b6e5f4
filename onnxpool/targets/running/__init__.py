"""Running a model in the runtime of a target, in a process of its own.

worker.py is the program of that process, which a Python runs that has the runtime; what is
particular to one is its driver, in drivers/. process.py starts it, and asks.
"""
