"""The commands of `disbench`, one file for what belongs together."""
