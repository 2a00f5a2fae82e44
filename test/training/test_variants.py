"""Hearing every voice once before training costs the process nothing of its own settings."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from mser_ros.training.config.files import build_config
from mser_ros.training.config.settings import ExperimentConfig
from mser_ros.training.models.front_end import FrontEnd
from mser_ros.training.samples.inputs import Sample
from mser_ros.training.samples.variants import with_variants

VOICE = Sample(0, speech=np.random.default_rng(0).integers(-3000, 3000, 4000).astype(np.int16))


@pytest.fixture
def config() -> Iterator[ExperimentConfig]:
    """Two variants of each voice, in a process that computes with three threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    speech = {"kind": "log_mel", "variants": 2}
    yield build_config({"corpora": [{"name": "x"}], "model": {"streams": {"speech": speech}}})
    torch.set_num_threads(before)


def test_one_thread_hears_and_the_process_keeps_its_number(
    config: ExperimentConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[int] = []
    forward = FrontEnd.forward

    def note(self: FrontEnd, waveform: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        found.append(torch.get_num_threads())
        return forward(self, waveform, lengths)

    monkeypatch.setattr(FrontEnd, "forward", note)
    (sample,) = with_variants(config, [VOICE])
    assert len(sample.spectra) == 3
    assert found == [1, 1, 1]
    assert torch.get_num_threads() == 3


def test_the_process_keeps_its_number_of_threads_where_hearing_fails(
    config: ExperimentConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(FrontEnd, "forward", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        with_variants(config, [VOICE])
    assert torch.get_num_threads() == 3
