"""The parts of pages, a package per page."""
