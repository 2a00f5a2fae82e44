"""From finished runs to a bundle."""
