"""The networks: encoders, pooling, classifiers, fusion."""
