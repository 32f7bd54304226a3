"""Text classification: metrics, baselines, label errors, explanation."""
