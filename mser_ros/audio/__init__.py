"""Audio from any source to segments of speech: waveforms, streams, voice activity, segmentation, capture."""
