"""The settings of an experiment, and reading them."""
