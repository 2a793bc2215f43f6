"""Which cells are trained, in which process, on which machine, and until when.

May import protocols, datasets, training, scoring and runs.
"""
