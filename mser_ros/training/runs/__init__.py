"""What a run leaves in its folder: settings, weights, predictions, people."""
