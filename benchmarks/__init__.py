"""Measurements, one command each: `python -m benchmarks <name>`. Results are written as JSON and Markdown in results/."""
