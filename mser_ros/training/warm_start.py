"""Starting from encoders that earlier runs trained, without letting anybody's voice into their own test."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from safetensors import safe_open
from torch import nn

from ..errors import SettingsError
from .config import ExperimentConfig
from .config_files import read_config

#: Who is on which side of a fold, in its folder.
FOLD = "fold.json"
BEST = "best.safetensors"

People = Iterable[tuple[str, str]]
#: Settings that an encoder shares with the run it comes from.
_ENCODER = ("kind", "source", "layers", "width", "depth", "mels", "average")
_INPUTS = {
    "speech": ("max_s", "fixed_s", "normalise"),
    "text": ("max_tokens",),
    "mocap": ("rate_hz", "window_s"),
}


def load_encoder(encoder: nn.Module, modality: str, experiment: ExperimentConfig, fold: str) -> None:
    """Put a run's trained encoder into `encoder`. Raises `SettingsError` where it does not fit."""
    ours = getattr(experiment.model.streams, modality)
    run = Path(ours.weights).expanduser()
    config = read_config(run)
    theirs = getattr(config.model.streams, modality)
    pairs = [(f"model.streams.{modality}.{name}", getattr(ours, name), getattr(theirs, name)) for name in _ENCODER]
    pairs += [
        (f"inputs.{name}", getattr(experiment.inputs, name), getattr(config.inputs, name)) for name in _INPUTS[modality]
    ]
    for name, mine, other in pairs:
        if mine != other:
            raise SettingsError(
                f"the {modality} encoder of {run} was trained with {name}={other!r}, not {mine!r}: set it so"
            )
    path = weights_of(run, fold)
    wanted = set(encoder.state_dict())
    with safe_open(str(path), "pt") as stored:
        names = set(stored.keys())
        prefix = next(
            (p for p in ("encoder.", f"encoders.{modality}.") if all(p + name in names for name in wanted)), None
        )
        if prefix is None:
            raise SettingsError(
                f"{path} does not hold one {modality} encoder like this: name a run of a single network"
            )
        encoder.load_state_dict({name: stored.get_tensor(prefix + name) for name in wanted})


def weights_of(run: Path, fold: str) -> Path:
    """The weights of a run's fold, or 'final'. Raises `SettingsError` where they do not exist."""
    path = run / fold / BEST
    if fold == "final" and not path.is_file():
        path = run / "fold0" / BEST  # a run of a single fold has no other model
    if not path.is_file():
        raise SettingsError(
            f"there are no trained weights {path}: finish that run with 'mser train', with the same folds"
        )
    return path


def write_fold(folder: Path, *, train: People, validation: People, test: People) -> None:
    """Note in a fold's folder who was on which side."""
    folder.mkdir(parents=True, exist_ok=True)
    sides = {"train": train, "validation": validation, "test": test}
    text = json.dumps({side: sorted(map(list, set(people))) for side, people in sides.items()}, indent=1)
    (folder / FOLD).write_text(text + "\n", encoding="utf-8")


def check_folds(experiment: ExperimentConfig, fold: str, held_out: People) -> None:
    """Raise `SettingsError` where an encoder that this fold starts from has been trained on `held_out` people."""
    held_out = set(held_out)
    for modality in experiment.modalities:
        run = getattr(experiment.model.streams, modality).weights
        if not run:
            continue
        path = Path(run).expanduser() / fold / FOLD
        if not path.is_file():
            raise SettingsError(f"the run {run} has no {fold}: train it first, with the same folds")
        seen = {(corpus, person) for corpus, person in json.loads(path.read_text(encoding="utf-8"))["train"]}
        if seen & held_out:
            names = ", ".join(sorted({person for _, person in seen & held_out})[:5])
            raise SettingsError(
                f"the {modality} encoder of {run} was trained on people who are held out here ({names}): "
                "use the same corpus, folds and seed in both"
            )
