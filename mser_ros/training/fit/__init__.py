"""Training: one network, and a whole experiment of folds."""
