"""The model card and the licence notices of a bundle, written from its manifest: no figure in it is typed by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Whose data a corpus is, as its licence asks to be told.
ATTRIBUTION: Mapping[str, str] = {
    "ravdess": "RAVDESS, the Ryerson Audio-Visual Database of Emotional Speech and Song, by S. R. Livingstone and "
    "F. A. Russo (2018), https://zenodo.org/record/1188976, CC BY-NC-SA 4.0",
    "nemo": "nEMO, a dataset of emotional speech in Polish, by I. Christop (2024), "
    "https://huggingface.co/datasets/amu-cai/nEMO, CC BY-NC-SA 4.0",
    "goemotions": "GoEmotions, by D. Demszky et al. (2020), Google Research, CC BY 4.0",
    "egait": "Emotion-Gait (E-Gait), by U. Bhattacharya et al. (2020), University of Maryland: research data, "
    "no licence stated",
    "bandai_namco": "Bandai-Namco Research Motion Dataset, by Bandai Namco Research Inc., CC BY-NC 4.0",
    "iemocap": "IEMOCAP, by C. Busso et al. (2008), University of Southern California: licensed to each user",
}
#: Whose weights a model started from.
BASE_MODELS: Mapping[str, str] = {
    "minilm": "all-MiniLM-L6-v2, by the sentence-transformers project (N. Reimers and I. Gurevych) after Microsoft's "
    "MiniLM, Apache License 2.0",
}
#: Full names and addresses of licences, the most restrictive first; weights take the first that their data carries.
LICENCES: Mapping[str, str] = {
    "not stated": "",
    "CC-BY-NC-SA-4.0": "Creative Commons Attribution-NonCommercial-ShareAlike 4.0 International, "
    "https://creativecommons.org/licenses/by-nc-sa/4.0/legalcode",
    "CC-BY-NC-4.0": "Creative Commons Attribution-NonCommercial 4.0 International, "
    "https://creativecommons.org/licenses/by-nc/4.0/legalcode",
    "Apache-2.0": "Apache License, Version 2.0, https://www.apache.org/licenses/LICENSE-2.0",
}


def weights_licence(corpora: Mapping[str, Mapping[str, Any]]) -> str:
    """The licence of weights: that of the most restrictive corpus, else Apache-2.0."""
    carried = {str(entry["licence"]) for entry in corpora.values()}
    unknown = sorted(carried - set(LICENCES) - {"CC-BY-4.0", "CC-BY-SA-4.0", "CC0-1.0", "MIT"})
    return next((name for name in LICENCES if name in carried), unknown[0] if unknown else "Apache-2.0")


def licence_notices(manifest: Mapping[str, Any]) -> dict[str, str]:
    """File name and text of a notice for each licence that a modality of the bundle carries."""
    notices: dict[str, list[str]] = {}
    for name, entry in manifest["modalities"].items():
        notices.setdefault(entry["licence"], []).append(name)
    out = {}
    for licence, names in notices.items():
        entries = [manifest["modalities"][name] for name in names]
        files = ", ".join(f"{entry['graph']}{', tokenizer.json' if 'tokenizer' in entry else ''}" for entry in entries)
        corpora = dict.fromkeys(corpus for entry in entries for corpus in entry["trained_on"])
        lines = [f"Files: {files}", ""]
        if LICENCES.get(licence):
            lines += [f"These weights are licensed under the {LICENCES[licence]}.", ""]
        else:
            lines += [
                f"The licence of the data behind these weights is: {licence}. They are given for research; whoever "
                "wants to use them for anything else has to ask the owners of the data.",
                "",
            ]
        lines += ["They were trained on:"]
        lines += [f"- {ATTRIBUTION.get(corpus, corpus)}" for corpus in corpora]
        bases = dict.fromkeys(entry["base"] for entry in entries if entry.get("base"))
        if bases:
            lines += ["", "They were adapted from (fine-tuned and quantised):"]
            lines += [f"- {BASE_MODELS.get(base, base)}" for base in bases]
        short = licence.replace(" ", "-")
        prefix = "LICENSE" if LICENCES.get(licence) else "NOTICE"
        out[f"{prefix}-{short}.txt"] = "\n".join(lines) + "\n"
    return out


def model_card(manifest: Mapping[str, Any]) -> str:
    """Markdown."""
    modalities = manifest["modalities"]
    lines = [
        f"# Model card: {manifest['name']} {manifest['version']}",
        "",
        "This file is written by `mser export`; every figure comes from stored predictions.",
        "",
        f"What it does: tells which of {', '.join(manifest['labels'])} a person's {_and(modalities)} most resemble, "
        "with probabilities. It reads expression, not inner states: it cannot know what a person feels.",
        "",
        "## Parts",
        "",
        "| modality | graph | precision | trained on | licence of the weights | languages |",
        "|---|---|---|---|---|---|",
    ]
    for name, entry in modalities.items():
        languages = ", ".join(entry.get("languages", [])) or ("not a matter" if name == "mocap" else "any, see below")
        lines.append(
            f"| {name} | {entry['graph']} | {entry['precision']} | {', '.join(entry['trained_on'])} "
            f"| {entry['licence']} | {languages} |"
        )
    lines += ["", "Data and models behind them:", ""]
    corpora = dict.fromkeys(corpus for entry in modalities.values() for corpus in entry["trained_on"])
    lines += [f"- {ATTRIBUTION.get(corpus, corpus)}" for corpus in corpora]
    bases = dict.fromkeys(entry["base"] for entry in modalities.values() if entry.get("base"))
    lines += [f"- {BASE_MODELS.get(base, base)}" for base in bases]
    lines += ["", *_metrics(manifest), "", *_export_check(manifest), "", *_USE, "", *_failures(manifest), "", *_RETRAIN]
    return "\n".join(lines) + "\n"


def _metrics(manifest: Mapping[str, Any]) -> list[str]:
    lines = [
        "## Figures",
        "",
        "Out-of-fold: every person is judged by a model that was trained without them; the shipped weights are then "
        "trained on everybody. UA is the unweighted average recall (chance 0.25), WA the accuracy, ECE the debiased "
        "calibration error after the temperature; 95 % intervals by bootstrap over people.",
        "",
        "| modality | corpus | items | UA | WA | ECE | recall |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, entry in manifest["modalities"].items():
        for source, figures in entry["metrics"].items():
            lines.append(f"| {name} | {source} | {_row(figures)} |")
    fused = manifest["fusion"].get("metrics")
    if fused:
        lines += [
            "",
            f"Fused. {fused['note']}.",
            "",
            "| modalities | items | UA | WA | ECE | recall |",
            "|---|---|---|---|---|---|",
        ]
        lines += [f"| {subset} | {_row(figures)} |" for subset, figures in fused["subsets"].items()]
    return lines


def _row(figures: Mapping[str, Any]) -> str:
    def with_interval(name: str) -> str:
        low, high = figures["intervals"][name]
        return f"{figures[name]:.3f} ({low:.3f} to {high:.3f})"

    recall = ", ".join(f"{label} {value:.2f}" for label, value in figures["recall"].items() if value is not None)
    return f"{figures['n']} | {with_interval('ua')} | {with_interval('wa')} | {with_interval('ece')} | {recall}"


def _export_check(manifest: Mapping[str, Any]) -> list[str]:
    lines = [
        "## Export",
        "",
        "Each graph against the network that it was exported from, on real utterances.",
        "",
        "| graph | precision | utterances | same label | largest difference of a probability |",
        "|---|---|---|---|---|",
    ]
    for entry in manifest["modalities"].values():
        check = entry["export_check"]
        lines.append(
            f"| {entry['graph']} | {entry['precision']} | {check['items']} | {check['label_agreement']:.3f} "
            f"| {check['largest_probability_difference']:.3f} |"
        )
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

_FAILURES: Mapping[str, str] = {
    "speech": "Acted, studio speech of adults in two languages: everyday speech is weaker and mostly neutral, and "
    "balanced training data over-alarms there. Children, old age, dialects, illness, other languages, shouting "
    "over noise and several voices at once are untested.",
    "text": "Written English comments of an internet forum: irony, quotation and context are lost on it, and errors of "
    "a speech recogniser turn into errors here. Its classes are those of readers, not of writers.",
    "mocap": "Whole-body walks of few people: sitting, gesturing or partly hidden people are covered by augmentation "
    "only. The frame rate of the corpus is a guess (30 Hz).",
}


def _failures(manifest: Mapping[str, Any]) -> list[str]:
    lines = ["## Known failures and limits", ""]
    lines += [f"- {name}: {_FAILURES[name]}" for name in manifest["modalities"] if name in _FAILURES]
    lines += [
        "- Four classes only; fear, surprise, pain, boredom or a mixture end up in one of them.",
        "- No corpus here holds voice, words and body of the same people: fused figures are synthetic.",
    ]
    return lines


_RETRAIN = [
    "## Retraining",
    "",
    "```",
    "export MSER_DATA_DIR=FOLDER_OF_CORPORA",
    "mser train config/train/default_speech.yaml",
    "mser train config/train/default_text.yaml",
    "mser train config/train/default_mocap.yaml",
    "mser export runs/default_speech runs/default_text runs/default_mocap -o models/default",
    "```",
    "",
    "With your own recordings: a folder with a `manifest.tsv` (columns label, speaker, and file, text or skeleton), "
    "named under `corpora` of a copied configuration.",
]


def _and(names: Any) -> str:
    words = {"speech": "voice", "text": "words", "mocap": "movement"}
    return ", ".join(words.get(name, name) for name in names)
