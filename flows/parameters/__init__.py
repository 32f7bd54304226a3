"""What is asked of a run: parsed, checked, written."""
