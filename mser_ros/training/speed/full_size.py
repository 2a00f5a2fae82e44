"""Full-size architectures with random weights: what they cost does not depend on what they have learned.

So speed and memory can be measured, and the way to the robot tested, where nothing can be downloaded.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...labels import LABELS
from ...mocap.layouts import JOINTS, MARKER_BINS, MARKERS
from ...recognition.bundle import write_manifest
from ...types import SAMPLE_RATE
from ..config.files import load_config
from ..config.settings import ExperimentConfig
from ..export.graphs import write_fusion_graph, write_graph
from ..export.manifest import representation
from ..export.quantise import quantise
from ..fit.fitting import fit
from ..models.build import build_model
from ..models.fusion import FusionNetwork
from ..models.pretrained import PACKAGED, model_source
from ..progress import track
from ..samples.features import kept_modalities
from ..samples.inputs import Sample
from .serving import WORDS, sentence

#: Frames a second that a wav2vec 2.0 gives before any averaging.
_FRAME_RATE_HZ = 50


def write_sources(folder: Path, *, layers: int = 12) -> Path:
    """wav2vec2-base in `folder`/speech and BERT-base in `folder`/text, as folders that look like downloads; with fewer
    `layers` all but the number of these is of full size."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    from ..models import torchaudio_guard  # noqa: F401  before transformers

    import transformers  # isort: skip

    transformers.utils.logging.disable_progress_bar()
    torch.manual_seed(0)
    hearing = transformers.Wav2Vec2Config(num_hidden_layers=layers)
    transformers.Wav2Vec2Model(hearing).save_pretrained(folder / "speech")
    transformers.Wav2Vec2FeatureExtractor().save_pretrained(folder / "speech")
    transformers.BertModel(transformers.BertConfig(num_hidden_layers=layers)).save_pretrained(folder / "text")
    known = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *dict.fromkeys(WORDS)]
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(known)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = [("[CLS]", known.index("[CLS]")), ("[SEP]", known.index("[SEP]"))]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=special)
    tokenizer.save(str(folder / "text" / "tokenizer.json"))
    named = {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "[UNK]", "pad_token": "[PAD]"}
    (folder / "text" / "tokenizer_config.json").write_text(json.dumps(named), encoding="utf-8")
    return folder


def full_size_config(source: Path | str, sources: Path, overrides: Sequence[str] = ()) -> ExperimentConfig:
    """An experiment that starts from nothing: `sources` stand for the transformers that it would download, earlier runs
    are left out."""
    config = load_config(source, overrides=overrides)
    own = []
    for name in config.modalities:
        stream = getattr(config.model.streams, name)
        own.append(f"model.streams.{name}.weights=''")
        is_here = stream.source in PACKAGED or Path(stream.source).expanduser().is_dir()
        if stream.kind == "pretrained" and not is_here:
            own.append(f"model.streams.{name}.source={sources / name}")
    return load_config(source, overrides=[*overrides, *own])


def write_bundle(config: ExperimentConfig, folder: Path) -> FusionNetwork:
    """An int8 bundle of a network of several streams that has learned nothing; the network."""
    network = build_model(config).eval()
    assert isinstance(network, FusionNetwork)
    folder.mkdir(parents=True, exist_ok=True)
    whole = folder / "whole.onnx"
    for name in network.modalities:
        write_graph(network, name, config, whole)
        quantise(whole, folder / f"{name}.onnx")
    whole.unlink()
    write_fusion_graph(network, folder / "fusion.onnx")
    entries = {name: {"graph": f"{name}.onnx", **representation(config, name, folder)} for name in network.modalities}
    fusion = {"kind": "graph", "graph": "fusion.onnx", "modalities": list(network.modalities), "temperature": 1.0}
    manifest = {"name": "untrained", "version": "1", "labels": list(LABELS), "modalities": entries, "fusion": fusion}
    write_manifest(folder, manifest)
    return network


def time_epoch(config: ExperimentConfig, folder: Path, *, utterances: int, mean_s: float) -> dict[str, Any]:
    """Train one epoch on made-up utterances. `mean_s`: their mean length [s]; it is 4.6 in IEMOCAP's four classes.

    What a frozen transformer would give of them is made up as well, as files that are read as kept features are.
    """
    optimiser = replace(config.optimiser, epochs=1, patience=0)
    config = replace(config, optimiser=optimiser)
    samples = _made_up(config, folder / "features", utterances, mean_s)
    _, fitted = fit(config, train=samples, validation=None, folder=folder / "run", title="one epoch", epochs=1)
    found = dict(fitted.throughput)
    return {"utterances": utterances, "epoch_s": round(utterances / found["utterances_per_s"], 1), **found}


def _made_up(config: ExperimentConfig, folder: Path, count: int, mean_s: float) -> list[Sample]:
    rng = np.random.default_rng(0)
    sigma = 0.6
    lengths_s = rng.lognormal(np.log(mean_s) - sigma**2 / 2, sigma, count).clip(0.6, config.inputs.max_s)
    frames, joints = (
        (MARKER_BINS, MARKERS) if config.reads_markers else (round(mean_s * config.inputs.rate_hz), len(JOINTS))
    )
    motion = rng.normal(size=(frames, joints, 3)).astype(np.float32)
    noise = rng.integers(-3000, 3000, round(config.inputs.max_s * SAMPLE_RATE)).astype(np.int16)
    kept = [name for name in kept_modalities(config) if getattr(config.model.streams, name).kind == "pretrained"]
    folder.mkdir(parents=True, exist_ok=True)
    out = []
    for index, seconds in enumerate(track(lengths_s.tolist(), "making utterances up")):
        sample = Sample(int(rng.integers(len(LABELS))))
        files = {}
        for name in config.modalities:
            if name == "speech":
                sample = replace(sample, speech=noise[: round(seconds * SAMPLE_RATE)])
            elif name == "text":
                sample = replace(sample, text=sentence(seconds))
            else:
                sample = replace(sample, positions=motion, seen=np.ones((frames, joints), bool))
            if name in kept:
                files[name] = folder / f"{name}{index}.npy"
                np.save(files[name], _features(config, name, seconds, rng))
        out.append(replace(sample, frames=files))
    return out


def _features(config: ExperimentConfig, modality: str, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """float16 (T, D), of the size that a frozen transformer would give."""
    settings = getattr(config.model.streams, modality)
    width = json.loads((Path(model_source(settings.source)) / "config.json").read_text(encoding="utf-8"))["hidden_size"]
    length = len(sentence(seconds).split()) + 2
    if modality == "speech":
        length = max(1, round(seconds * _FRAME_RATE_HZ) // settings.average)
    return rng.standard_normal((length, width), np.float32).astype(np.float16)
