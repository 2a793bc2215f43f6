"""Plug-ins for disbench: a method, a metric and a data set."""
