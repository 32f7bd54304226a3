"""Processes, file locks, and where a run comes from."""
