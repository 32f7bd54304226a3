"""Searches for recipes and hyperparameters: their processes, and what they have found so far."""
