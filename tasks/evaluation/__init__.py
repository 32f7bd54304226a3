"""The parts of evaluate: statistics, comparison with dense, latency, model size."""
