"""The parts of release: the decision and the model card."""
