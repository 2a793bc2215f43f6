"""A method learns: the order of the images, the noise, the strategies and the device.

May import protocols and datasets.
"""
