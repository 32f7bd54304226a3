"""The problems. One frozen dataclass a file, named for the file; none knows another."""
