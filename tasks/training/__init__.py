"""The parts of train: the loop, batches, optimizers, precision, validation, checkpoints, several processes."""
