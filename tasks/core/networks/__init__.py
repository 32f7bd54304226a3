"""Networks that every use case can take: those of a person's own, and networks whose layers were resized."""
