"""Errors that the user can correct."""


class UserError(ValueError):
    """An error that the user can correct. Its message is one line: what was given, what is expected, the nearest valid value."""
