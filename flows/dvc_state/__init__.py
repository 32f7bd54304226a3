"""The pipeline as DVC sees it: its graph, what changed, its object cache."""
