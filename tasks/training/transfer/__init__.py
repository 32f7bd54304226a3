"""Transfer learning: features of a pretrained network, a linear head on them, and fine-tuning from there."""
