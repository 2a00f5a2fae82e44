"""What tests share. Lying here, it also lets them import the fakes beside it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real recordings; tests that need it are skipped without it."""
    folder = os.environ.get("MSER_DATA_DIR", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("real recordings are missing: set MSER_DATA_DIR to the folder that holds ravdess, nemo, egait ...")
    return Path(folder)
