"""Whatever can give codes meets the metrics: checkpoints, files of codes, encoders of others.

May import protocols, datasets and training.
"""
