"""Whisper's lower layers as an encoder: the file, padding, frozen parts, rates by layer, the exported graph."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from mser_ros.errors import SettingsError
from mser_ros.mel import mel_filters
from mser_ros.recognition.graph import Graph
from mser_ros.training.config.files import build_config, config_tree
from mser_ros.training.config.settings import ExperimentConfig
from mser_ros.training.export.graphs import write_graph
from mser_ros.training.fit.learning import make_optimiser
from mser_ros.training.models.build import build_model
from mser_ros.training.models.whisper import MELS, WhisperEncoder, read_ctranslate2
from mser_ros.training.runs.folder import check_origin, open_run
from mser_ros.training.samples.data import Data
from mser_ros.training.samples.features import kept_modalities
from mser_ros.training.samples.origin import origin_of

WIDTH, LAYERS = 16, 2


def write_whisper(folder: Path) -> Path:
    """A tiny model in CTranslate2's format; the folder."""
    rng = np.random.default_rng(0)
    shapes = {
        "conv1/weight": (WIDTH, MELS, 3),
        "conv1/bias": (WIDTH,),
        "conv2/weight": (WIDTH, WIDTH, 3),
        "conv2/bias": (WIDTH,),
        "position_encodings/encodings": (1500, WIDTH),
    }
    for number in range(LAYERS):
        for part, rows in (("self_attention/linear_0", 3 * WIDTH), ("self_attention/linear_1", WIDTH)):
            shapes |= {
                f"layer_{number}/{part}/weight": (rows, WIDTH),
                f"layer_{number}/{part}/bias": (rows,),
            }
        for part in ("self_attention", "ffn"):
            shapes |= {f"layer_{number}/{part}/layer_norm/{kind}": (WIDTH,) for kind in ("gamma", "beta")}
        for part, (rows, columns) in {"linear_0": (4 * WIDTH, WIDTH), "linear_1": (WIDTH, 4 * WIDTH)}.items():
            shapes |= {f"layer_{number}/ffn/{part}/weight": (rows, columns), f"layer_{number}/ffn/{part}/bias": (rows,)}
    values = {name: (rng.standard_normal(shape) * 0.2).astype(np.float16) for name, shape in shapes.items()}
    data = struct.pack("<I", 6) + struct.pack("<H", 12) + b"WhisperSpec\0" + struct.pack("<II", 3, len(values) + 1)
    for name, value in [*values.items(), ("num_heads", np.array(2, np.int16))]:
        text = f"encoder/{name}".encode() + b"\0"
        data += struct.pack("<H", len(text)) + text + struct.pack("<B", value.ndim)
        data += struct.pack(f"<{value.ndim}I", *value.shape)
        data += struct.pack("<BI", 4 if value.dtype == np.float16 else 2, value.nbytes) + value.tobytes()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.bin").write_bytes(data)
    return folder


def config(source: Path, **stream: object) -> ExperimentConfig:
    speech = {"kind": "whisper", "source": str(source), "depth": LAYERS, "dropout": 0.0, **stream}
    return build_config(
        {
            "corpora": [{"name": "x"}],
            "model": {"streams": {"speech": speech}, "hidden": 8},
            "optimiser": {"learning_rate": 0.01, "encoder_learning_rate": 0.001, "layer_decay": 0.5},
        }
    )


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_whisper(tmp_path_factory.mktemp("whisper") / "model")


def encoder_of(settings: ExperimentConfig) -> WhisperEncoder:
    encoder = build_model(settings).encoder
    assert isinstance(encoder, WhisperEncoder)
    return encoder.eval()


def test_every_weight_is_that_of_the_file(source: Path) -> None:
    stored, encoder = read_ctranslate2(source / "model.bin"), encoder_of(config(source))
    layer = encoder.layers[1]
    for name, parameter in {
        "conv2/weight": encoder.convolutions[1].weight,
        "layer_1/self_attention/linear_0/weight": layer.query_key_value.weight,
        "layer_1/self_attention/layer_norm/gamma": layer.attention_norm.weight,
        "layer_1/ffn/linear_1/bias": layer.down.bias,
    }.items():
        assert np.array_equal(parameter.detach().numpy(), stored[f"encoder/{name}"].astype(np.float32)), name


def test_what_an_utterance_gives_does_not_depend_on_its_company(source: Path) -> None:
    encoder = encoder_of(config(source))
    waves = torch.randn(2, 8000, generator=torch.Generator().manual_seed(0)) * 0.1
    waves[0, 4801:] = 0
    with torch.inference_mode():
        both = encoder(waves, torch.tensor([4801, 8000]))
        alone = encoder(waves[:1, :4801])
    assert both.mask.sum(1).tolist() == [15, 25]
    np.testing.assert_allclose(both.frames[0, :15], alone.frames[0, :15], atol=1e-4)
    assert not both.frames[0, 15:].any()


def test_the_mel_filters_cover_the_band_with_unit_area() -> None:
    banks = mel_filters(80)
    assert banks.shape == (80, 201)
    assert (banks >= 0).all()
    assert (banks.argmax(1)[1:] >= banks.argmax(1)[:-1]).all()
    np.testing.assert_allclose(banks[40:].sum(1) * 40, 1.0, atol=0.1)  # a bin is 40 Hz wide


def test_each_layer_has_its_rate_and_frozen_ones_none(source: Path) -> None:
    settings = config(source)
    groups = make_optimiser(build_model(settings), settings.optimiser).param_groups
    # The rest, then two layers and two convolutions from the top down.
    assert sorted({group["lr"] for group in groups}) == [0.000125, 0.00025, 0.0005, 0.001, 0.01]
    top = encoder_of(config(source, train="top", top_layers=1))
    free = {name.split(".")[1] for name, one in top.named_parameters() if one.requires_grad and "layers." in name}
    assert free == {"1"}
    frozen = encoder_of(config(source, train="none"))
    assert [name for name, one in frozen.named_parameters() if one.requires_grad] == ["layer_scores"]


@pytest.mark.parametrize(("joined", "kept"), [(0, ()), (1, ("speech",))])
def test_features_are_kept_where_nothing_of_the_encoder_is_learned(
    source: Path, joined: int, kept: tuple[str, ...]
) -> None:
    settings = config(source, train="none", joined=joined)
    assert any(weight.requires_grad for weight in encoder_of(settings).parameters()) == (not kept)
    assert kept_modalities(settings) == kept


def test_the_longest_voice_that_the_settings_allow_is_heard(source: Path) -> None:
    tree = config_tree(config(source))
    tree["inputs"]["max_s"] = 29.99
    heard = encoder_of(build_config(tree))(torch.zeros(1, round(29.99 * 16000)))
    assert heard.frames.shape[1] == 1500
    for settings in (
        {"inputs": {"max_s": 30.0}},
        {"inputs": {"max_s": 28.0}, "augment": {"speech": {"speed": 0.1}}},
    ):
        with pytest.raises(SettingsError, match=r"speech hears less than 30 s, and .* 30\.[08] s: lower inputs\.max_s"):
            build_config({**config_tree(config(source)), **settings})
    build_config({**config_tree(config(source)), **settings, "augment": {"speech": {"speed": 0.1, "crop_s": 20.0}}})


def test_the_exported_graph_says_what_the_network_says(source: Path, tmp_path: Path) -> None:
    settings = config(source)
    network = build_model(settings).eval()
    write_graph(network, "speech", settings, tmp_path / "speech.onnx")
    graph = Graph(tmp_path / "speech.onnx")
    for samples in (3200, 11111, 40000):
        wave = np.random.default_rng(samples).standard_normal((1, samples)).astype(np.float32) * 0.1
        with torch.inference_mode():
            expected = network({"speech": {"waveform": torch.from_numpy(wave)}}).logits
        np.testing.assert_allclose(graph(waveform=wave)["logits"], expected, atol=1e-3)


def test_a_run_does_not_go_on_with_another_model(source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    mine = config(shutil.copytree(source, tmp_path / "whisper"))
    open_run(mine, origin_of(mine, Data((), (), (), {}), []), folder)
    check_origin(origin_of(mine, Data((), (), (), {}), []), folder)
    with (tmp_path / "whisper" / "model.bin").open("ab") as stream:
        stream.write(b" ")
    with pytest.raises(SettingsError, match=rf"begun with other weights of {tmp_path / 'whisper'} than there are now"):
        check_origin(origin_of(mine, Data((), (), (), {}), []), folder)
    (folder / "origin.json").write_text("{}", encoding="utf-8")  # as in a run of an earlier version
    check_origin(origin_of(mine, Data((), (), (), {}), []), folder)


def test_what_is_no_whisper_model_is_one_sentence(source: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="there is no Whisper model in"):
        encoder_of(config(tmp_path))
    (tmp_path / "model.bin").write_bytes((source / "model.bin").read_bytes()[:500])
    with pytest.raises(SettingsError, match=r"is no Whisper model of CTranslate2 .*: get it again"):
        encoder_of(config(tmp_path))
