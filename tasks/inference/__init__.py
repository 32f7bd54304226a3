"""Predictions of a released model for raw inputs: the same checks and the same encoding as in the pipeline."""
