"""The ways to make a model smaller. One callable frozen dataclass a file; none knows another."""
