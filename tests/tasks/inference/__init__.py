"""Tests of `tasks.inference`."""
