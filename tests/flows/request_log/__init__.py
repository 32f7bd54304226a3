"""Tests of `flows.request_log`."""
