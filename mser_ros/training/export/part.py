"""A bundle of some of another's modalities: those that a company may use, say."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from ...errors import SettingsError
from ...recognition.bundle import Bundle, load_bundle, write_manifest
from .card import model_card
from .licences import PERMISSIVE, licence_notices, models_of
from .target import check_target, replacing


def permissive_modalities(manifest: Mapping[str, Any]) -> list[str]:
    """Those whose weights, and those of what takes their place, may be used commercially."""
    models = models_of(manifest)
    refused = {name.partition(",")[0] for name, entry in models.items() if entry.get("licence") not in PERMISSIVE}
    return [name for name in manifest["modalities"] if name not in refused]


def export_part(bundle: Bundle, modalities: Collection[str], out: Path) -> Bundle:
    """Write those modalities of `bundle` to folder `out`, with a card, a fusion and a decision of their own figures.

    Nothing is fitted anew: each part judges as it does in the whole. The part is called as its folder.

    Raises `SettingsError`: a modality that the bundle lacks, none, a fusion that needs all of them, or `out` is
    something else than a bundle.
    """
    whole = bundle.manifest
    kept = [item for item in whole["modalities"] if item in modalities]
    if unknown := sorted(set(modalities) - set(kept)):
        raise SettingsError(f"bundle {bundle.path} has no '{unknown[0]}': choose of {', '.join(whole['modalities'])}")
    if not kept:
        raise SettingsError(f"nothing of bundle {bundle.path} would be left: name a modality that it has")
    if bundle.fusion.kind == "graph" and len(kept) < len(whole["modalities"]):
        raise SettingsError(f"the fusion graph of bundle {bundle.path} needs all of its modalities: export one of each")
    if out.resolve() == bundle.path.resolve():
        raise SettingsError(f"{out} is the bundle itself: name another folder")
    check_target(out)
    manifest = {**_part(whole, kept), "name": out.name, "version": whole["version"], "labels": whole["labels"]}
    poorer = whole.get("fallback")
    if poorer and any("graph" in poorer["modalities"].get(item, {}) for item in kept):
        manifest["fallback"] = _part(poorer, kept)
    with replacing(out) as folder:
        graph = manifest["fusion"].get("graph")
        for file in [*files_of(models_of(manifest).values()), *([graph] if graph else [])]:
            shutil.copy2(bundle.file(file), folder / file)
        (folder / "MODEL_CARD.md").write_text(model_card(manifest), encoding="utf-8")
        for file, text in licence_notices(manifest).items():
            (folder / file).write_text(text, encoding="utf-8")
        write_manifest(folder, manifest)
    return load_bundle(out)


def _part(entry: Mapping[str, Any], kept: Collection[str]) -> dict[str, Any]:
    """What a manifest, or its fallback, says of these modalities alone."""
    fusion, decision = dict(entry["fusion"]), dict(entry.get("decision", {}))
    if "metrics" in fusion:
        fusion["metrics"] = {
            key: _subsets(value, kept) if key in ("subsets", "plain_words", "daily_life") else value
            for key, value in fusion["metrics"].items()
        }
    if decision:
        decision["largest_miss"] = _subsets(decision["largest_miss"], kept)
        metrics = dict(decision["metrics"])
        metrics["sets"] = _subsets(metrics["sets"], kept)
        if len(kept) == 1:  # nothing is there that could contradict it
            metrics.pop("incongruent", None)
        decision["metrics"] = metrics
    modalities = {item: entry["modalities"][item] for item in kept if item in entry["modalities"]}
    return {"modalities": modalities, "fusion": fusion, "decision": decision}


def _subsets(figures: Mapping[str, Any], kept: Collection[str]) -> dict[str, Any]:
    """Of figures by sets of modalities, those of sets that can still be."""
    return {key: value for key, value in figures.items() if set(key.split("+")) <= set(kept)}


def files_of(entries: Iterable[Mapping[str, Any]]) -> list[str]:
    """The files of models, by their entries in a manifest."""
    keys = ("graph", "tokenizer", "predictions")
    found = [file for entry in entries for file in (*map(entry.get, keys), entry.get("weights", {}).get("recipe"))]
    return list(dict.fromkeys(file for file in found if file))
