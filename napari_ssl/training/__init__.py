"""Sampling, augmentation, losses, checkpoints and the one training loop that every strategy uses."""
