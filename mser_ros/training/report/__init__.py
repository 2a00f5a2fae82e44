"""One page that holds runs against the papers."""
