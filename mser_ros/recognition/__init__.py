"""From a bundle and an utterance to an estimate: graphs, readers of each modality, the recogniser."""
