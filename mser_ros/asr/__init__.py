"""Reading the words of an utterance: one `Transcriber` protocol, several recognisers behind it."""
