"""Pre-trained models that are too large for this package: a catalogue, where to get them, a folder of the user's."""
