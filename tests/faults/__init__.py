"""The fault campaign: kills and errors of the disk, flipped bits, mutated inputs, attacks and planted defects, as a program."""
