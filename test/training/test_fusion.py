"""How streams are joined: who may speak alone, and who counts as company."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes_transformers import write_bert, write_wav2vec2

from mser_ros.training.config.files import build_config
from mser_ros.training.fit.learning import make_optimiser
from mser_ros.training.fit.stacking import fit_weights, mean_weights, set_weights
from mser_ros.training.models.build import UnimodalModel, build_model
from mser_ros.training.models.fusion import AttentionFusion, Stream
from mser_ros.training.models.pooling import Encoded
from mser_ros.training.runs.checkpoints import save_weights
from mser_ros.training.samples.features import kept_modalities

WIDTH = 16


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> AttentionFusion:
    torch.manual_seed(0)
    text = write_bert(tmp_path_factory.mktemp("network") / "text")
    streams = {"speech": {"kind": "log_mel", "width": 8}, "text": {"kind": "pretrained", "source": str(text)}}
    fusion = {"kind": "cross_attention", "width": WIDTH, "heads": 2, "auxiliary": 1.0, "gate_text": True}
    model = {"streams": streams, "fusion": fusion, "hidden": WIDTH}
    made = build_model(build_config({"corpora": [{"name": "x"}], "model": model}))
    assert isinstance(made, AttentionFusion)
    return made.eval()


#: What the two heads say.
SPEECH, TEXT = np.array([2.0, 0.0, -1.0, 0.5]), np.array([-1.0, 1.5, 0.0, 0.25])


def fuse(
    network: AttentionFusion,
    present: list[float],
    confidence: float,
    heads: tuple[np.ndarray, np.ndarray] = (SPEECH, TEXT),
) -> np.ndarray:
    """What the network says of any frames and of what its heads say."""
    generator = torch.Generator().manual_seed(1)
    there = torch.ones(1, 5, dtype=torch.bool)
    streams = {
        name: Stream(Encoded(torch.randn(1, 5, WIDTH, generator=generator), there), torch.tensor(logits[None]).float())
        for name, logits in zip(network.modalities, heads, strict=True)
    }
    with torch.inference_mode():
        return (
            network.fuse(streams, torch.tensor([present], dtype=torch.float32), torch.tensor([confidence]))
            .logits[0]
            .numpy()
        )


def test_a_transcript_that_is_not_trusted_is_as_good_as_missing(network: AttentionFusion) -> None:
    alone = fuse(network, [1, 0], 1.0)
    np.testing.assert_allclose(fuse(network, [1, 1], 0.0), alone, atol=1e-5)
    np.testing.assert_allclose(alone, SPEECH, atol=1e-6)


def test_trust_in_a_transcript_changes_the_answer_smoothly(network: AttentionFusion) -> None:
    """From what speech says alone to what all say together: in between the text counts, and is company, as far as it
    is trusted."""
    constant = copy.deepcopy(network)
    joint = np.array([0.5, -2.0, 1.0, 0.0])
    torch.nn.init.zeros_(constant.classes.weight)
    constant.classes.bias.data.copy_(torch.from_numpy(joint))
    for trust in np.linspace(0, 1, 101):
        heads = SPEECH + trust * TEXT
        expected = trust * (joint + heads) + (1 - trust) * heads / (1 + trust)
        np.testing.assert_allclose(fuse(constant, [1, 1], trust), expected, atol=1e-5)


def test_what_stands_for_missing_text_fades_as_trust_grows(network: AttentionFusion) -> None:
    """A joint classifier that says nothing but the mean of the text's vector, which attention leaves alone."""
    mean = copy.deepcopy(network)
    for pair in mean.attention.pairs.values():
        torch.nn.init.zeros_(pair.out.weight)
        torch.nn.init.zeros_(pair.out.bias)
    mean.dense = torch.nn.Identity()
    mean.classes = torch.nn.Linear(4 * WIDTH, 4)
    torch.nn.init.zeros_(mean.classes.bias)
    torch.nn.init.zeros_(mean.classes.weight)
    mean.classes.weight.data[:, 2 * WIDTH :] = 1 / (2 * WIDTH)
    torch.nn.init.constant_(mean.absent["text"], 7.0)
    silent = (np.zeros(4), np.zeros(4))
    read = fuse(mean, [1, 1], 1.0, silent)
    for trust in np.linspace(0, 1, 101):
        expected = trust * (trust * read + (1 - trust) * 7.0)
        np.testing.assert_allclose(fuse(mean, [1, 1], trust, silent), expected, atol=1e-5)


def test_a_doubtful_transcript_alone_is_still_heard(network: AttentionFusion) -> None:
    for trust in (0.2, 1.0):
        np.testing.assert_allclose(fuse(network, [0, 1], trust), TEXT, atol=1e-6)


def test_a_head_counts_as_much_as_held_out_people_bear_it_out(network: AttentionFusion) -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(4, size=400)
    right = np.eye(4)[truth]
    boasting = 20.0 * np.eye(4)[rng.integers(4, size=400)]  # always sure, right by chance
    modest = right + rng.normal(scale=0.5, size=right.shape)
    boasting[:50] = np.nan  # not there
    logits = {
        ("speech", "text"): np.where(np.isnan(boasting), modest, 0.3 * modest),
        ("speech",): modest,
        ("text",): boasting,
    }
    fit_weights(network, truth, lambda subsets: [logits[subset] for subset in subsets])
    speech, text = network.head_weight.tolist()
    alone = network.alone_weight.tolist()
    assert alone[1] < 0.1 < 1 < alone[0]
    assert alone[1] * text < 0.02 * alone[0] * speech
    assert alone[0] * speech + 0.3 * float(network.joint_weight) > 1
    set_weights(network, joint=1.0, heads=np.ones(2), alone=np.ones(2))


def test_without_anybody_held_out_the_folds_decide(network: AttentionFusion, tmp_path: Path) -> None:
    for number, value in enumerate((0.5, 1.5)):
        set_weights(network, joint=value, heads=np.array([value, 2.0]), alone=np.ones(2))
        save_weights(network, tmp_path / f"{number}.safetensors")
    mean_weights(network, sorted(tmp_path.iterdir()))
    assert float(network.joint_weight) == 1.0
    assert network.head_weight.tolist() == [1.0, 2.0]
    set_weights(network, joint=1.0, heads=np.ones(2), alone=np.ones(2))


@pytest.fixture(scope="module")
def frozen(tmp_path_factory: pytest.TempPathFactory) -> UnimodalModel:
    source = write_wav2vec2(tmp_path_factory.mktemp("frozen") / "speech")
    stream = {"kind": "pretrained", "source": str(source), "train": "none", "layers": "weighted"}
    config = build_config({"corpora": [{"name": "x"}], "model": {"streams": {"speech": stream}}})
    assert kept_modalities(config) == ()
    made = build_model(config)
    assert isinstance(made, UnimodalModel)
    return made


def test_the_layers_of_a_frozen_encoder_learn_their_weights(frozen: UnimodalModel) -> None:
    out = frozen({"speech": {"waveform": torch.randn(2, 4000), "lengths": torch.tensor([4000, 4000])}})
    out.logits.square().sum().backward()
    scores = frozen.encoder.layer_scores
    assert scores.grad is not None
    assert scores.grad.abs().max() > 0
    assert all(weight.grad is None for weight in frozen.encoder.model.parameters())  # type: ignore[union-attr]


def test_the_weights_of_layers_learn_as_fast_as_the_head(frozen: UnimodalModel) -> None:
    settings = build_config(
        {
            "corpora": [{"name": "x"}],
            "model": {"streams": {"speech": {"kind": "log_mel"}}},
            "optimiser": {"learning_rate": 1e-3, "encoder_learning_rate": 1e-5},
        }
    ).optimiser
    rates = {
        id(weight): group["lr"] for group in make_optimiser(frozen, settings).param_groups for weight in group["params"]
    }
    assert rates[id(frozen.encoder.layer_scores)] == 1e-3
