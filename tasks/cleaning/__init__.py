"""The parts of clean: partitions, deduplication, the data quality report."""
