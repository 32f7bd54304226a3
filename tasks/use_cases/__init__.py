"""Use cases, a package each, found by the package's name."""
