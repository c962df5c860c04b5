"""Reruns a recorded training run in sealed containers and says whether its numbers still come out."""

__version__ = "0.1.0"
