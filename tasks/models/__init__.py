"""Networks, one a file, in a package for each use case."""
