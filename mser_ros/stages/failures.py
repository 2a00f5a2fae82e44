"""What becomes of an error that cost one utterance, where nobody asks to be told of it."""

from __future__ import annotations

import logging


def log_failure(error: Exception) -> None:
    """To Python's log, with its traceback."""
    logging.getLogger("mser_ros").error("an utterance was not understood: %s", error, exc_info=error)
