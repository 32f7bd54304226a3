"""The parts of train: the loop, batches, optimizers, precision, validation, resuming, several processes."""
