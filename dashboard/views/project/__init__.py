"""Views of the pages Versions and About."""
