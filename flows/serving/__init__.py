"""The HTTP server of released models: `bonsai serve`."""
