"""Views of the page Try it."""
