"""Searching recipes: the space, one trial, and the search for the front of accuracy, latency and bytes."""
