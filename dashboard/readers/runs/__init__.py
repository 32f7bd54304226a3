"""Reads the records, the events and the states of runs."""
