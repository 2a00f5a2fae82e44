"""torchaudio without its native extension, where that extension does not load.

The wheels of torchaudio on PyPI link against CUDA; beside a CPU-only torch their extension raises `OSError` on import,
and transformers, which imports torchaudio when it is installed, fails with it. Everything used here (mel filter banks,
masking) is plain torch. Importing this module before transformers mends both.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType


def import_torchaudio() -> ModuleType:
    """torchaudio, without its extension if that cannot be loaded."""
    try:
        return importlib.import_module("torchaudio")
    except (OSError, RuntimeError):
        for name in [name for name in sys.modules if name.split(".")[0] == "torchaudio"]:
            del sys.modules[name]
        extension = ModuleType("torchaudio._extension")
        vars(extension).update(
            _IS_TORCHAUDIO_EXT_AVAILABLE=False,
            _IS_ALIGN_AVAILABLE=False,
            fail_if_no_align=_without_extension,
        )
        sys.modules["torchaudio._extension"] = extension
        return importlib.import_module("torchaudio")


def _without_extension(function: object) -> object:
    def fail(*_args: object, **_kwargs: object) -> None:
        raise RuntimeError("forced alignment needs torchaudio's extension: install a torchaudio that fits torch")

    return fail


torchaudio = import_torchaudio()
