"""From corpora to batches: samples, augmentation, kept features."""
