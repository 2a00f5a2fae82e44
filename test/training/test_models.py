"""What every network promises: padding changes nothing, masks hide, gradients reach each branch."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fakes_transformers import WORDS, write_bert, write_hubert, write_roberta, write_wav2vec2, write_wavlm
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from mser_ros.errors import SettingsError
from mser_ros.labels import LABELS
from mser_ros.training.config.files import build_config
from mser_ros.training.config.settings import ExperimentConfig
from mser_ros.training.fit.learning import affect_loss
from mser_ros.training.fit.stacking import set_weights
from mser_ros.training.models.build import build_model
from mser_ros.training.models.cross_modal_attention import CrossModalAttention
from mser_ros.training.models.fusion import FusionNetwork, drop_modalities
from mser_ros.training.models.pooling import POOLING, Encoded, average_frames
from mser_ros.training.models.pretrained import PretrainedEncoder, model_source
from mser_ros.training.samples.inputs import load_tokenizer

CLASSES = len(LABELS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def group_norm(folder: Path) -> Path:
    return write_wav2vec2(folder / "group", norm="group")


@pytest.fixture(scope="module")
def layer_norm(folder: Path) -> Path:
    return write_wav2vec2(folder / "layer", norm="layer")


@pytest.fixture(scope="module")
def bert(folder: Path) -> Path:
    return write_bert(folder / "bert")


def experiment(streams: dict[str, Any], **model: Any) -> ExperimentConfig:
    inputs = model.pop("inputs", {})
    return build_config(
        {"corpora": [{"name": "x"}], "inputs": inputs, "model": {"streams": streams, **model}}, where="test"
    )


def encoder(modality: str, source: Path, **settings: Any) -> PretrainedEncoder:
    config = experiment({modality: {"kind": "pretrained", "source": str(source), **settings}})
    return PretrainedEncoder(modality, getattr(config.model.streams, modality)).eval()


#: Of results that are equal by design and were computed in double precision (though a softmax was not): whatever a
#: processor rounds stays far below, and what padding would change lies far above.
SAME: dict[str, float] = {"atol": 1e-6, "rtol": 1e-6}


def exact(network: nn.Module) -> Any:
    """The network in double precision."""
    return network.double()


def doubled(inputs: dict[str, dict[str, Tensor]]) -> dict[str, dict[str, Tensor]]:
    """The inputs in double precision."""
    return {
        modality: {name: value.double() if value.is_floating_point() else value for name, value in fed.items()}
        for modality, fed in inputs.items()
    }


def speaking_by_heads(network: FusionNetwork) -> FusionNetwork:
    """The network without its joint classifier: what it says of several modalities is the sum of what each head says,
    as far as it is trusted."""
    set_weights(network, joint=0.0, heads=np.ones(len(network.modalities)), alone=np.ones(len(network.modalities)))
    return network


def three_streams(group_norm: Path, bert: Path, **fusion: Any) -> FusionNetwork:
    torch.manual_seed(0)
    network = build_model(
        experiment(
            {
                "speech": {"kind": "pretrained", "source": str(group_norm)},
                "text": {"kind": "pretrained", "source": str(bert)},
                "mocap": {"kind": "motion", "width": 16},
            },
            fusion={"kind": "cross_attention", "width": 16, "heads": 2, **fusion},
            hidden=24,
            dropout=0.0,
        )
    )
    assert isinstance(network, FusionNetwork)
    for vector in network.absent.values():
        nn.init.normal_(vector)
    return network


def inputs_of(rows: int = 3) -> dict[str, dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    return {
        "speech": {
            "waveform": torch.randn(rows, 3200, generator=generator) * 0.1,
            "lengths": torch.tensor([3200, 2500, 3200][:rows]),
        },
        "text": {
            "input_ids": torch.randint(4, 15, (rows, 6), generator=generator),
            "attention_mask": torch.tensor([[1] * 6, [1] * 6, [1] * 4 + [0] * 2][:rows]),
        },
        "mocap": {
            "positions": torch.randn(rows, 20, 15, 3, generator=generator),
            "mask": torch.ones(rows, 20, 15),
        },
    }


# -- encoders


@pytest.mark.parametrize("kind", ["group", "layer", "wavlm", "hubert"])
def test_padding_a_waveform_changes_nothing(folder: Path, kind: str) -> None:
    source = folder / f"padding-{kind}"
    write = {"wavlm": write_wavlm, "hubert": write_hubert}.get(kind, lambda folder: write_wav2vec2(folder, norm=kind))
    network = exact(encoder("speech", write(source)))
    waves = [torch.randn(length).double() * 0.1 for length in (4000, 2600, 4000, 700)]
    padded = torch.zeros(4, 6000).double()
    for row, wave in zip(padded, waves, strict=True):
        row[: len(wave)] = wave
    with torch.inference_mode():
        together = network(waveform=padded, lengths=torch.tensor([len(wave) for wave in waves]))
        for row, wave in enumerate(waves):
            alone = network(waveform=wave[None])
            assert alone.mask.all()
            found = together.frames[row][together.mask[row]]
            assert found.shape == alone.frames[0].shape
            torch.testing.assert_close(found, alone.frames[0], **SAME)


@pytest.mark.parametrize("write", [write_bert, write_roberta])
def test_padding_tokens_changes_nothing(write: Callable[[Path], Path], tmp_path: Path) -> None:
    network = exact(encoder("text", write(tmp_path / "text")))
    ids = torch.tensor([[2, 5, 6, 3]])
    padded = torch.tensor([[2, 5, 6, 3, 0, 0, 0]])
    with torch.inference_mode():
        alone = network(input_ids=ids, attention_mask=torch.ones_like(ids))
        found = network(input_ids=padded, attention_mask=(padded > 0).long())
    assert found.mask.tolist() == [[True] * 4 + [False] * 3]
    torch.testing.assert_close(found.frames[:, :4], alone.frames, **SAME)


def test_a_waveform_shorter_than_a_frame_gives_one_frame(group_norm: Path) -> None:
    network = encoder("speech", group_norm)
    assert network.least == 400
    with torch.inference_mode():
        found = network(waveform=torch.randn(2, 100), lengths=torch.tensor([100, 30]))
    assert found.frames.shape == (2, 1, 32)
    assert found.mask.all()
    assert found.frames.isfinite().all()


def test_layers_are_weighed_evenly_at_first(bert: Path) -> None:
    ids = torch.tensor([[2, 5, 6, 3]])
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    network = encoder("text", bert, layers="weighted")
    with torch.inference_mode():
        layers = network.model(**inputs, output_hidden_states=True).hidden_states
        torch.testing.assert_close(network(**inputs).frames, torch.stack(layers).mean(0))


@pytest.mark.parametrize(("train", "trained"), [("all", 2), ("top", 1), ("none", 0)])
@pytest.mark.parametrize("modality", ["speech", "text"])
def test_as_many_layers_are_trained_as_asked_for(
    layer_norm: Path, bert: Path, modality: str, train: str, trained: int
) -> None:
    network = encoder(modality, layer_norm if modality == "speech" else bert, train=train, top_layers=1)
    layers = network.model.encoder.layers if modality == "speech" else network.model.encoder.layer
    assert [all(w.requires_grad for w in layer.parameters()) for layer in layers] == [
        number >= len(layers) - trained for number in range(len(layers))
    ]
    assert network.train().model.training == (train != "none")  # a frozen one has no dropout


def test_a_checkpoint_that_lacks_weights_is_refused(layer_norm: Path, tmp_path: Path) -> None:
    for file in layer_norm.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    tensors = load_file(tmp_path / "model.safetensors")
    lost = next(name for name in tensors if "layers.1.attention" in name)
    save_file(
        {name: value for name, value in tensors.items() if name != lost},
        tmp_path / "model.safetensors",
        {"format": "pt"},
    )
    with pytest.raises(SettingsError, match=r"lacks weights \(encoder\.layers\.1\.attention"):
        encoder("speech", tmp_path)


def test_a_model_of_another_modality_is_refused(layer_norm: Path, bert: Path) -> None:
    with pytest.raises(SettingsError, match="a bert, which reads tokens: it is no encoder of speech"):
        encoder("speech", bert)
    with pytest.raises(SettingsError, match="a wav2vec2, which reads waveforms: it is no encoder of text"):
        encoder("text", layer_norm)


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    for source in (str(tmp_path), str(tmp_path / "nowhere")):
        with pytest.raises(SettingsError, match=r"there is no model in .*: name a folder that holds config\.json"):
            model_source(source)
    assert model_source("facebook/wav2vec2-base") == "facebook/wav2vec2-base"


def test_broken_weights_are_one_sentence(bert: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text((bert / "config.json").read_text())
    with pytest.raises(SettingsError, match=r"the weights of .* cannot be loaded"):
        encoder("text", tmp_path)
    (tmp_path / "model.safetensors").write_bytes((bert / "model.safetensors").read_bytes()[:1000])
    with pytest.raises(SettingsError, match=r"the weights of .* cannot be loaded"):
        encoder("text", tmp_path)
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "no such family"}))
    with pytest.raises(SettingsError, match="cannot be loaded"):
        encoder("text", tmp_path)


def test_a_pickle_of_weights_is_never_read(bert: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text((bert / "config.json").read_text())
    torch.save(load_file(bert / "model.safetensors"), tmp_path / "pytorch_model.bin")
    with pytest.raises(SettingsError, match=r"only a pytorch_model\.bin, convert it in an environment that you trust"):
        encoder("text", tmp_path)


def test_code_that_comes_with_a_model_is_refused_and_not_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    classes = {"AutoConfig": "odd.OddConfig", "AutoModel": "odd.OddModel"}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "odd", "auto_map": classes}))
    (tmp_path / "odd.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(SettingsError, match="cannot be loaded"):
        encoder("text", tmp_path)
    assert not (tmp_path / "ran").exists()


# -- tokenizers


def without_tokenizer(bert: Path, folder: Path) -> Path:
    for name in ("config.json", "model.safetensors"):
        (folder / name).write_bytes((bert / name).read_bytes())
    return folder


def test_a_model_without_a_tokenizer_is_refused(bert: Path, tmp_path: Path) -> None:
    config = experiment({"text": {"kind": "pretrained", "source": str(without_tokenizer(bert, tmp_path))}})
    with pytest.raises(SettingsError, match=r"no usable tokenizer \(there is no tokenizer\.json\)"):
        load_tokenizer(config)
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS[:4]))
    with pytest.raises(SettingsError, match="its tokenizer knows no word"):
        load_tokenizer(config)
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS))
    assert load_tokenizer(config).encode("go away").tokens == ["[CLS]", "go", "away", "[SEP]"]


@pytest.mark.parametrize("content", [b"{}", b"no JSON", b"\xff"])
def test_a_broken_tokenizer_is_one_sentence(bert: Path, tmp_path: Path, content: bytes) -> None:
    config = experiment({"text": {"kind": "pretrained", "source": str(without_tokenizer(bert, tmp_path))}})
    (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(SettingsError, match="no usable tokenizer"):
        load_tokenizer(config)


# -- pooling


@pytest.mark.parametrize("name", ["mean", "statistics", "attentive"])
def test_pooling_ignores_padding(name: str) -> None:
    pool = exact(POOLING[name](8)).eval()
    frames = torch.randn(2, 9, 8).double()
    mask = torch.arange(9)[None] < torch.tensor([[9], [5]])
    junk = torch.where(mask[..., None], frames, torch.full_like(frames, 1e3))
    torch.testing.assert_close(pool(junk, mask)[1], pool(frames[1:, :5], mask[1:, :5])[0], **SAME)


def test_averaged_frames_are_means_of_real_ones() -> None:
    frames = torch.tensor([[[1.0], [3.0], [5.0], [99.0], [99.0]]])
    mask = torch.tensor([[True, True, True, False, False]])
    found = average_frames(Encoded(frames, mask), 2)
    assert found.mask.tolist() == [[True, True, False]]
    assert found.frames[0, :2, 0].tolist() == [2.0, 5.0]


# -- fusion


@pytest.fixture
def attention() -> CrossModalAttention:
    """Of two streams, between which nothing is normalised: what is found is what comes on top."""
    made = exact(CrossModalAttention(("speech", "text"), width=8, heads=2, dropout=0.0))
    made.norms.update({name: nn.Identity() for name in made.modalities})
    return made


def test_every_frame_attends_to_real_frames_only(attention: CrossModalAttention) -> None:
    speech = Encoded(torch.randn(1, 5, 8).double(), torch.ones(1, 5, dtype=torch.bool))
    words = torch.randn(1, 3, 8).double()
    short = Encoded(words, torch.ones(1, 3, dtype=torch.bool))
    padded = Encoded(nn.functional.pad(words, (0, 0, 0, 4), value=50.0), torch.tensor([[True] * 3 + [False] * 4]))
    weight = torch.ones(1, 2)
    one = attention({"speech": speech, "text": short}, weight)
    other = attention({"speech": speech, "text": padded}, weight)
    torch.testing.assert_close(one["speech"].frames, other["speech"].frames, **SAME)
    torch.testing.assert_close(one["text"].frames, other["text"].frames[:, :3], **SAME)


def test_what_a_stream_finds_in_another_counts_as_far_as_that_is_trusted(attention: CrossModalAttention) -> None:
    """Of frames that are all alike every query finds the same, whatever the weights: their value, projected."""
    pair = attention.pairs["speech_from_text"]
    for layer, shift in ((pair.key_value, 1.0), (pair.out, 0.0)):
        nn.init.zeros_(layer.weight)
        nn.init.constant_(layer.bias, shift)
    pair.out.weight.data.copy_(0.25 * torch.eye(8))
    there = torch.ones(1, 3, dtype=torch.bool)
    streams = {name: Encoded(torch.randn(1, 3, 8).double(), there) for name in attention.modalities}
    for trust in (0.0, 0.3, 1.0):
        found = attention(streams, torch.tensor([[1.0, trust]]))["speech"].frames - streams["speech"].frames
        torch.testing.assert_close(found, torch.full_like(found, 0.25 * trust), **SAME)


@pytest.mark.parametrize("kind", ["concat", "cross_attention"])
def test_padding_of_one_stream_changes_no_logit(group_norm: Path, bert: Path, kind: str) -> None:
    network = exact(three_streams(group_norm, bert, kind=kind, auxiliary=1.0)).eval()
    inputs = doubled(inputs_of())
    with torch.inference_mode():
        together = network(inputs).logits
        for row, (samples, tokens) in enumerate([(3200, 6), (2500, 6), (3200, 4)]):
            alone = {
                "speech": {"waveform": inputs["speech"]["waveform"][row : row + 1, :samples]},
                "text": {name: value[row : row + 1, :tokens] for name, value in inputs["text"].items()},
                "mocap": {name: value[row : row + 1] for name, value in inputs["mocap"].items()},
            }
            torch.testing.assert_close(network(alone).logits[0], together[row], **SAME)


@pytest.mark.parametrize("kind", ["concat", "cross_attention"])
def test_what_a_missing_modality_holds_never_matters(group_norm: Path, bert: Path, kind: str) -> None:
    network = three_streams(group_norm, bert, kind=kind, auxiliary=1.0).eval()
    inputs, other = inputs_of(), inputs_of()
    other["mocap"]["positions"] = torch.full_like(other["mocap"]["positions"], float("nan"))
    present = torch.tensor([[1.0, 1.0, 0.0]] * 3)
    with torch.inference_mode():
        found = network(inputs, present)
        torch.testing.assert_close(network(other, present).logits, found.logits, atol=0, rtol=0)
        assert found.logits.isfinite().all()
        head = speaking_by_heads(network).heads["mocap"].classes
        nn.init.zeros_(head.weight)
        nn.init.constant_(head.bias, 5.0)
        added = network(inputs).logits - network(inputs, present).logits
        torch.testing.assert_close(added, torch.full_like(added, 5.0))  # while it is there it counts


def test_gradient_reaches_every_branch(group_norm: Path, bert: Path) -> None:
    network = three_streams(group_norm, bert, auxiliary=1.0, affect=1.0).train()
    output = network(inputs_of(), torch.ones(3, 3), torch.ones(3))
    loss = output.logits.sum() + sum(rows.square().sum() for rows in output.unimodal.values()) + output.affect.sum()
    loss.backward()
    silent = [name for name, weight in network.named_parameters() if weight.grad is None or not weight.grad.any()]
    expected = {f"absent.{name}" for name in network.modalities}  # nothing is missing in this batch
    # Softmax does not see a constant added to all keys, so their bias may be without gradient.
    assert {name for name in silent if not name.endswith(("key_value.bias", "k_proj.bias", "key.bias"))} <= expected


@pytest.mark.parametrize("missing", ["speech", "text", "mocap"])
def test_a_missing_modality_gets_no_gradient_and_its_place_holder_does(
    group_norm: Path, bert: Path, missing: str
) -> None:
    network = three_streams(group_norm, bert).train()
    present = torch.tensor([[float(name != missing) for name in network.modalities]] * 3)
    network(inputs_of(), present).logits.square().sum().backward()
    weights = dict(network.encoders[missing].named_parameters())
    assert not any(weight.grad is not None and weight.grad.any() for weight in weights.values())
    assert network.absent[missing].grad is not None
    assert network.absent[missing].grad.any()


def test_one_modality_alone_speaks_through_its_own_head(group_norm: Path, bert: Path) -> None:
    network = three_streams(group_norm, bert, auxiliary=1.0).eval()
    with torch.inference_mode():
        for index, name in enumerate(network.modalities):
            present = torch.zeros(3, 3)
            present[:, index] = 1
            output = network(inputs_of(), present)
            torch.testing.assert_close(output.logits, output.unimodal[name])


def test_distrusted_text_counts_less_until_it_counts_as_missing(group_norm: Path, bert: Path) -> None:
    network = speaking_by_heads(three_streams(group_norm, bert, auxiliary=1.0, gate_text=True)).eval()
    inputs, present = inputs_of(), torch.ones(3, 3)
    with torch.inference_mode():
        streams = {name: network.stream(name, inputs[name]) for name in network.modalities}
        sure, half, none = (network.fuse(streams, present, torch.full((3,), c)).logits for c in (1.0, 0.5, 0.0))
        without = network.fuse(streams, torch.tensor([[1.0, 0.0, 1.0]] * 3)).logits
    torch.testing.assert_close(sure, network(inputs).logits)
    torch.testing.assert_close(none, without)
    torch.testing.assert_close(sure - none, streams["text"].logits, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(half - none, streams["text"].logits / 2, atol=1e-5, rtol=1e-5)


def test_modality_dropout_leaves_at_least_one_and_adds_none() -> None:
    present = torch.tensor([[1.0, 1.0, 1.0], [0.0, 1.0, 0.0]]).repeat(200, 1)
    torch.manual_seed(0)
    kept = drop_modalities(present, 0.8)
    assert (kept.sum(1) >= 1).all()
    assert (kept <= present).all()
    assert kept.sum() < present.sum()


def test_unknown_valence_and_arousal_do_not_count() -> None:
    unknown = float("nan")
    truth = torch.tensor([[0.5, unknown], [unknown, unknown]])
    assert affect_loss(torch.tensor([[0.0, 9.0], [9.0, 9.0]]), truth) == pytest.approx(0.25)
    assert affect_loss(torch.ones(1, 2), torch.full((1, 2), unknown)) == 0


def test_paper_a_sizes(folder: Path) -> None:
    """Flattened frames of 15.375 s, of which the published 280.5 million parameters follow."""
    source = write_wav2vec2(folder / "a")
    fixed = {"fixed_s": 15.375, "max_s": 15.375}
    streams = {"speech": {"kind": "pretrained", "source": str(source)}}
    speech = build_model(experiment(streams, inputs=fixed, pooling="flatten", hidden=64))
    assert speech.encoder.fixed_frames == 768
    assert speech.classifier.dense[1].weight.shape == (64, 768 * 32)
    mocap = build_model(experiment({"mocap": {"kind": "paper_a_mocap"}}, pooling="flatten", hidden=128))
    assert mocap.classifier.dense[1].weight.shape == (128, 13 * 12 * 75)
    output = mocap({"mocap": {"positions": torch.randn(2, 200, 63, 3), "mask": torch.ones(2, 200, 63)}})
    assert output.logits.shape == (2, CLASSES)
