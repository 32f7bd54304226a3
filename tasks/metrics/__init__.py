"""Metrics that more than one use case takes."""
