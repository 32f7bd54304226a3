"""Views of the page Your data."""
