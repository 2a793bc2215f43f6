"""All that knows a run's folder: what is written into it, read from it, kept of it and told of its making.

May import protocols, datasets, training and scoring.
"""
