"""Starting from encoders that earlier runs trained, without letting anybody's voice into their own test."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from torch import nn

from ...errors import SettingsError
from ..config.files import read_config
from ..config.settings import ExperimentConfig
from .checkpoints import read_weights

#: Who is on which side of a fold, in its folder.
FOLD = "fold.json"
BEST = "best.safetensors"

#: (corpus, person).
People = set[tuple[str, str]]
#: Settings that an encoder shares with the run it comes from.
_ENCODER = ("kind", "source", "layers", "joined", "width", "depth", "mels", "average")
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
    wanted, stored = set(encoder.state_dict()), read_weights(path)
    prefixes = ("encoder.", f"encoders.{modality}.")
    prefix = next((prefix for prefix in prefixes if all(prefix + name in stored for name in wanted)), None)
    if prefix is None:
        raise SettingsError(f"{path} does not hold one {modality} encoder like this: name a run of a single network")
    encoder.load_state_dict({name: stored[prefix + name] for name in wanted})


def load_head(head: nn.Module, modality: str, experiment: ExperimentConfig, fold: str) -> bool:
    """Put the classifier of a run of this modality alone into `head`; False where the run has no such classifier.

    Raises `SettingsError` where it does not fit.
    """
    run = Path(getattr(experiment.model.streams, modality).weights).expanduser()
    config = read_config(run)
    if config.modalities != (modality,) or config.model.ensemble > 1:
        return False
    stored = read_weights(weights_of(run, fold))
    mine, prefix = head.state_dict(), "classifier."
    theirs = {name.removeprefix(prefix): value for name, value in stored.items() if name.startswith(prefix)}
    if {name: value.shape for name, value in mine.items()} != {name: value.shape for name, value in theirs.items()}:
        name, model = f"model.streams.{modality}", config.model
        pooling = getattr(model.streams, modality).pooling or model.pooling
        raise SettingsError(
            f"the head of {run} is of another shape: set {name}.pooling={pooling} {name}.head_hidden={model.hidden} "
            f"{name}.head_norm={str(model.norm).lower()}"
        )
    head.load_state_dict(theirs)
    return True


def weights_of(run: Path, fold: str) -> Path:
    """The weights of a run's fold, or 'final'. Raises `SettingsError` where they do not exist."""
    path = run / fold / BEST
    if fold == "final" and not (run / "fold1").exists():
        path = run / "fold0" / BEST  # a run of a single fold has no other model
    if not path.is_file():
        raise SettingsError(
            f"there are no trained weights {path}: finish that run with 'mser train', with the same folds"
        )
    return path


def encoder_runs(experiment: ExperimentConfig) -> list[Path]:
    """The runs that an experiment takes encoders from."""
    named = [getattr(experiment.model.streams, modality).weights for modality in experiment.modalities]
    return [Path(run).expanduser() for run in dict.fromkeys(named) if run]


def write_fold(folder: Path, sides: Mapping[str, People]) -> None:
    """Note in a fold's folder who was on which side ('train', 'validation', 'test')."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({side: sorted(map(list, people)) for side, people in sides.items()}, indent=1)
    (folder / FOLD).write_text(text + "\n", encoding="utf-8")


def check_tested(fold: Path, people: People) -> None:
    """Raise `SettingsError` where these are not the people whom a trained fold is tested on."""
    path = fold / FOLD
    if not path.is_file():
        raise SettingsError(f"{path} is gone, so that nobody knows whom the fold has met: train the run again")
    tested = {(corpus, person) for corpus, person in json.loads(path.read_text(encoding="utf-8"))["test"]}
    if tested != people:
        names = ", ".join(sorted({person for _, person in tested ^ people})[:5])
        raise SettingsError(
            f"the data are dealt into other folds than when {fold} was trained, which may have met whom it would judge "
            f"({names}): restore the data, or train anew in another folder"
        )


def check_folds(experiment: ExperimentConfig, fold: str, sides: Mapping[str, People]) -> dict[str, People]:
    """Who trained ('train') and chose ('validation') the encoders that this fold starts from.

    Raises `SettingsError` where they know somebody whom they must not: nobody held out may have trained them, and
    nobody tested may have chosen their epoch, unless that is the experiment's own protocol.
    """
    inherited: dict[str, People] = {"train": set(), "validation": set()}
    for run in encoder_runs(experiment):
        path = run / fold / FOLD
        if not path.is_file():
            raise SettingsError(f"the run {run} has no {fold}: train it first, with the same folds")
        stored = json.loads(path.read_text(encoding="utf-8"))
        theirs = {side: {(corpus, person) for corpus, person in stored[side]} for side in inherited}
        held_out = sides["validation"] | sides["test"]
        known = theirs["train"] & held_out
        if experiment.folds.validation != "test":
            known |= theirs["validation"] & sides["test"]
        if known:
            names = ", ".join(sorted({person for _, person in known})[:5])
            raise SettingsError(
                f"the encoder of {run} was trained on people who are held out here ({names}): "
                "use the same corpus, folds and seed in both"
            )
        inherited = {side: people | theirs[side] for side, people in inherited.items()}
    return inherited
