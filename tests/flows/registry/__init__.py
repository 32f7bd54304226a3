"""Tests of `flows.registry`."""
