"""The model card of a bundle, written from its manifest: no figure in it is typed by hand."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from .figures import distinct, export_section, figures_section
from .licences import ATTRIBUTION, base_model, models_of

#: What a corpus holds, and so what a model of it cannot know.
_CORPORA: Mapping[str, str] = {
    "ravdess": "acted English speech in a studio, two fixed sentences, no class rare: everyday speech is weaker and "
    "mostly neutral, and a model of such data over-alarms there.",
    "nemo": "acted Polish speech of a few actors, the same sentences in every class and no class rare: everyday speech "
    "is weaker and mostly neutral.",
    "goemotions": "written English comments of an internet forum; its classes are those of readers, not of writers.",
    "meld": "lines of one television series, written for actors: people at home speak otherwise.",
    "egait": "whole-body walks of few people; nobody sits, gestures or is partly hidden, and its frame rate is a guess "
    "(30 Hz).",
    "bandai_namco": "gestures and gaits acted by three people, who are not told apart: its figures say nothing of new "
    "people.",
    "iemocap": "ten actors in pairs, in English, in a laboratory; its words were typed by people and not recognised, "
    "its motion capture is of markers on face, head and hands of one of the two, which a robot's camera does not give.",
    "phrases": "sentences that were composed for this project: they mean what their words say, without irony.",
    "neutral_voices": "prompts of telephones and games, read aloud and taken for neutral, which nobody has checked; "
    "it shows no other class, and a large share of it makes whatever is unlike the other corpora neutral.",
    "pseudo": "SYNTHETIC: voices, lines and walks of one class but of different people, combined; they agree on the "
    "class and on nothing else.",
}
_UNKNOWN = "this card knows nothing of its people, languages and recordings; expect less of others."
#: What holds whatever a model was trained on.
_FAILURES: Mapping[str, str] = {
    "speech": "Whatever these data do not hold is untested, be it children, old age, dialects, illness, other "
    "languages, shouting over noise or several voices at once.",
    "text": "Irony, quotation and context are lost on it, and errors of a speech recogniser turn into errors here.",
    "mocap": "People who move or are seen in other ways than in these data are untested.",
}


def model_card(manifest: Mapping[str, Any]) -> str:
    """Markdown."""
    modalities = models_of(manifest)
    lines = [
        f"# Model card: {manifest['name']} {manifest['version']}",
        "",
        "This file is written by `mser export`; every figure comes from stored predictions.",
        "",
        f"What it does: tells which of {', '.join(manifest['labels'])} a person's {_and(manifest['modalities'])} most "
        "resemble, with probabilities. It reads expression, not inner states: it cannot know what a person feels.",
        "",
        "## Parts",
        "",
        "| modality | graph | precision | trained on | licence of the weights | languages |",
        "|---|---|---|---|---|---|",
    ]
    for name, entry in modalities.items():
        languages = ", ".join(entry.get("languages", [])) or (
            "not a matter" if name.startswith("mocap") else "any, see below"
        )
        lines.append(
            f"| {name} | {entry['graph']} | {entry['precision']} | {', '.join(entry['trained_on'])} "
            f"| {entry['licence']} | {languages} |"
        )
    lines += _left(manifest)
    lines += ["", "Data and models behind them:", ""]
    corpora = dict.fromkeys(corpus for entry in modalities.values() for corpus in entry["trained_on"])
    lines += [f"- {ATTRIBUTION.get(corpus, corpus)}" for corpus in corpora]
    bases = dict.fromkeys(entry["base"] for entry in modalities.values() if entry.get("base"))
    lines += [f"- {base_model(base)}" for base in bases]
    lines += ["", *figures_section(manifest), "", *export_section(manifest), "", *_USE, "", *_failures(manifest), ""]
    return "\n".join([*lines, *_retraining(manifest)]) + "\n"


def _left(manifest: Mapping[str, Any]) -> list[str]:
    """What a bundle leaves to the store of models."""
    lines = []
    for name, entry in manifest["modalities"].items():
        if weights := entry.get("weights"):
            lines += [
                "",
                f"Most of the weights for {_and([name])} are not here: `mser models get {weights['name']}` makes them "
                f"of {base_model(entry['base'])}, and of {weights['recipe']}, and keeps "
                f"{weights['bytes'] / 1e6:.0f} MB (SHA-256 {weights['sha256']}).",
            ]
            if "fallback" in manifest:
                lines[-1] += " Until then a smaller model takes its place, and the evidence in each message names it."
    return lines


_USE = [
    "## Intended use",
    "",
    "Research and development of robots that adapt their behaviour to people who know and agree: wait, repeat, soften, "
    "ask. A person must be able to switch it off, and a wrong answer must do no harm.",
    "",
    "## Excluded use",
    "",
    "- Medical, psychological or forensic judgement; hiring, firing, grading, credit, insurance; policing, border "
    "control, surveillance; lie detection; anything that decides about a person.",
    "- Emotion inference at work and in education, which Article 5 of the EU AI Act (Regulation (EU) 2024/1689) "
    "prohibits except for medical or safety reasons; elsewhere the Act asks that people are told.",
    "- Commercial use of weights whose licence excludes it (table above).",
]


def _failures(manifest: Mapping[str, Any]) -> list[str]:
    modalities = manifest["modalities"]
    lines = ["## Known failures and limits", ""]
    corpora = dict.fromkeys(corpus for entry in modalities.values() for corpus in entry["trained_on"])
    lines += [f"- Data of {corpus}: {_CORPORA.get(corpus, _UNKNOWN)}" for corpus in corpora]
    lines += [f"- {name}: {_FAILURES[name]}" for name in modalities if name in _FAILURES]
    lines.append("- Four classes only; fear, surprise, pain, boredom or a mixture end up in one of them.")
    kept = [figures for entry in modalities.values() for figures in entry["metrics"].values()]
    if any(figures["synthetic"] for figures in [*kept, manifest["fusion"].get("metrics", {"synthetic": False})]):
        lines.append(
            "- Figures marked SYNTHETIC are of voices, words and movements of different people, put together: they say "
            "nothing of one real person."
        )
    return lines


def _retraining(manifest: Mapping[str, Any]) -> list[str]:
    modalities = models_of(manifest)
    runs = list(distinct(modalities, "run"))
    before = [name for names in distinct(modalities, "starts_from") for name in names if name not in runs]
    given = {name: values for known in distinct(modalities, "overrides") for name, values in known.items() if values}
    otherwise = "What stands behind a name was set otherwise than in its file, which alone trains another model."
    shipped = [entry["run"] for entry in manifest["modalities"].values()]
    folders = " ".join(f"runs/{shlex.quote(name)}" for name in dict.fromkeys(shipped))
    if any("weights" in entry for entry in modalities.values()):
        folders += " --delta"
    folders += "".join(f" --fallback runs/{shlex.quote(name)}" for name in runs if name not in shipped)
    return [
        "## Retraining",
        "",
        "```",
        "export MSER_DATA_DIR=FOLDER_OF_CORPORA",
        *(shlex.join(["mser", "train", name, *given.get(name, [])]) for name in dict.fromkeys([*before, *runs])),
        f"mser export {folders} -o models/{shlex.quote(manifest['name'])}",
        "```",
        "",
        *([otherwise, ""] if given else []),
        "A configuration that `config/train` does not hold is of whoever exported this. With your own recordings: a "
        "folder with a `manifest.tsv` (columns label, speaker, and file, text or skeleton), named under `corpora` of a "
        "copied configuration.",
    ]


def _and(names: Any) -> str:
    words = {"speech": "voice", "text": "words", "mocap": "movement"}
    return ", ".join(words.get(name, name) for name in names)
