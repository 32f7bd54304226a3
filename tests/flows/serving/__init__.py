"""Tests of `flows.serving`."""
