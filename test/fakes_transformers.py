"""Transformers with random weights, small enough for a test, as folders that look like downloads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from mser_ros.training.models import torchaudio_guard  # noqa: F401  before the first use of transformers

TEXT = "well it is a table go away now how lovely we won i miss her hm"
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *TEXT.split()]
BERT: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "vocab_size": len(WORDS),
}
SPEECH: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "conv_dim": (16, 16, 16, 16, 16, 16, 16),
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}


def write_wav2vec2(folder: Path, *, norm: str = "group", seed: int = 0, **settings: Any) -> Path:
    """wav2vec 2.0: its base model has `norm` 'group', its large ones 'layer'."""
    torch.manual_seed(seed)
    config = transformers.Wav2Vec2Config(
        **(settings or SPEECH), feat_extract_norm=norm, do_stable_layer_norm=norm == "layer", conv_bias=norm == "layer"
    )
    transformers.Wav2Vec2Model(config).save_pretrained(folder)
    return folder


def write_wavlm(folder: Path) -> Path:
    torch.manual_seed(0)
    transformers.WavLMModel(
        transformers.WavLMConfig(**SPEECH, feat_extract_norm="layer", do_stable_layer_norm=True)
    ).save_pretrained(folder)
    return folder


def write_hubert(folder: Path) -> Path:
    """Its base model has group norm, as wav2vec 2.0's has."""
    torch.manual_seed(0)
    transformers.HubertModel(transformers.HubertConfig(**SPEECH, feat_extract_norm="group")).save_pretrained(folder)
    return folder


def write_roberta(folder: Path) -> Path:
    """BERT's words and size in RoBERTa's architecture, whose padding is token 1 and whose positions begin at 2."""
    write_bert(folder)
    torch.manual_seed(0)
    transformers.RobertaModel(transformers.RobertaConfig(**BERT)).save_pretrained(folder)
    return folder


def write_mpnet(folder: Path, *, layers: int = 2) -> Path:
    """BERT's words in MPNet's architecture, whose positions relate tokens to each other."""
    write_bert(folder)
    torch.manual_seed(0)
    config = transformers.MPNetConfig(**{**BERT, "num_hidden_layers": layers})
    transformers.MPNetModel(config).save_pretrained(folder)
    return folder


def write_bert(folder: Path, *, seed: int = 0, **settings: Any) -> Path:
    """BERT with a tokenizer of a few words."""
    torch.manual_seed(seed)
    config = transformers.BertConfig(**(settings or BERT))
    transformers.BertModel(config).save_pretrained(folder)
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "[UNK]", "pad_token": "[PAD]"})
    )
    return folder
