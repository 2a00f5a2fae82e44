"""What an export takes over from a bundle: the modalities that no run gives."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ...errors import SettingsError
from ...recognition.bundle import load_bundle
from ..runs.predictions import OutOfFold
from .part import files_of


class Exported(NamedTuple):
    """The model of a modality: its `entry` in a manifest, and in `rows` what it said of people whom it had not met."""

    entry: dict[str, Any]
    rows: OutOfFold


def keep_predictions(entry: dict[str, Any], rows: OutOfFold, folder: Path) -> None:
    """Put them beside a modality's graph, so that a fusion can be fitted later with other models beside it."""
    entry["predictions"] = f"{Path(entry['graph']).stem}_predictions.npz"
    rows.save(folder / entry["predictions"])


@dataclass(frozen=True)
class Rest:
    """Models of a bundle by modality, and those that take their place where one is missing. `order`: the bundle's
    modalities."""

    path: Path
    order: tuple[str, ...]
    models: Mapping[str, Exported]
    fallback: Mapping[str, Exported]

    @classmethod
    def read(cls, path: Path, *, without: Collection[str], without_fallback: Collection[str]) -> Rest:
        """All but these modalities of the bundle in this folder, and all of its fallback but those.

        Raises `SettingsError`: its modalities were trained together, or a model's predictions are missing;
        `BundleError`.
        """
        manifest = deepcopy(dict(load_bundle(path).manifest))
        if manifest["fusion"]["kind"] == "graph":
            raise SettingsError(f"the modalities of bundle {path} were trained together: none of them can stay alone")
        modalities = manifest["modalities"]
        poorer = manifest.get("fallback", {"modalities": {}})["modalities"]
        kept, instead = (
            {
                name: Exported(entry, _predictions(entry, path))
                for name, entry in entries.items()
                if name not in left_out and "graph" in entry
            }
            for entries, left_out in ((modalities, without), (poorer, without_fallback))
        )
        return cls(path, tuple(modalities), kept, instead)

    def copy(self, folder: Path) -> None:
        """Copy the files of these models."""
        for file in files_of(model.entry for model in [*self.models.values(), *self.fallback.values()]):
            shutil.copy2(self.path / file, folder / file)


def _predictions(entry: Mapping[str, Any], path: Path) -> OutOfFold:
    if "predictions" not in entry:
        raise SettingsError(
            f"bundle {path} does not keep what {entry['graph']} predicted, which versions before this one left out: "
            "export it again from its runs"
        )
    return OutOfFold.load(path / entry["predictions"])
