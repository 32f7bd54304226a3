"""Tests of `flows.monitoring`."""
