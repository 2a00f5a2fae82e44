"""The model card of a bundle, written from its manifest: no figure in it is typed by hand."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

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
    "pseudo": "SYNTHETIC: voices, lines and walks of one class but of different people, combined; they agree on the "
    "class and on nothing else.",
}
_UNKNOWN = "this card knows nothing of its people, languages and recordings; expect less of others."
_HEADER = "| modality | corpus | items | UA | WA | WA of the surest 70 % | ECE | recall |"
_RULE = "|---|---|---|---|---|---|---|---|"
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
    lines += ["", *_metrics(manifest), "", *_export_check(manifest), "", *_USE, "", *_failures(manifest), ""]
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


def _checklists(modalities: Mapping[str, Any]) -> list[str]:
    """What models of words make of sentences of daily life, kind by kind."""
    found = {name: entry["checklist"] for name, entry in modalities.items() if "checklist" in entry}
    if not found:
        return []
    kinds = next(iter(found.values()))["kinds"]
    count = sum(total for _, total in kinds.values())
    return [
        "",
        "Sentences of daily life, by what they ask of a model (`mser checklist`, composed of templates, none of which "
        "was trained on): how many were judged right.",
        "",
        f"| kind | sentences | {' | '.join(found)} |",
        f"|---|---|{'---|' * len(found)}",
        *(
            " | ".join([f"| {kind}", str(total), *(f"{one['kinds'][kind][0] / total:.0%}" for one in found.values())])
            + " |"
            for kind, (_, total) in kinds.items()
        ),
        " | ".join(["| all kinds alike", str(count), *(f"{one['passed']:.1%}" for one in found.values())]) + " |",
    ]


def _metrics(manifest: Mapping[str, Any]) -> list[str]:
    modalities, fused = models_of(manifest), manifest["fusion"].get("metrics")
    lines = [
        "## Figures",
        "",
        "Out-of-fold: every person is judged by a model that was trained without them; the shipped weights are then "
        "trained on everybody, or are those of the only fold. UA is the unweighted average recall (chance 0.25), WA "
        "the accuracy, ECE the debiased calibration error after the temperature; 95 % intervals by bootstrap over "
        "people, or over the finer unit that a corpus names.",
        "",
        *_calibration(manifest),
    ]
    lines += [text for note in _each(modalities, "protocol") for text in (f"Protocol: {note}.", "")]
    rows = [
        f"| {name} | {source}{' (SYNTHETIC)' if figures['synthetic'] else ''} | {_row(figures)} |"
        for name, entry in modalities.items()
        for source, figures in entry["metrics"].items()
    ]
    if rows:
        lines += [_HEADER, _RULE, *rows]
    lines += _people(modalities)
    lines += _transfer(modalities)
    lines += _robustness(modalities)
    lines += _judges(modalities)
    lines += _baselines(modalities)
    lines += _checklists(modalities)
    if fused:
        lines += [
            *([""] if rows else []),
            f"Fused. {fused['note']}.",
            "",
            "| modalities | items | UA | WA | WA of the surest 70 % | ECE | recall |",
            "|---|---|---|---|---|---|---|",
        ]
        lines += [f"| {subset} | {_row(figures)} |" for subset, figures in fused["subsets"].items()]
        poorer = manifest.get("fallback", {"fusion": {}})["fusion"].get("metrics", {"subsets": {}})
        lines += [f"| {subset}, with the fallback | {_row(figures)} |" for subset, figures in poorer["subsets"].items()]
    if fused and "ccc" in fused:
        found = [f"{name} {value:.3f} ({low:.3f} to {high:.3f})" for name, (value, low, high) in fused["ccc"].items()]
        lines += [
            "",
            "Valence and arousal are estimated by the fusion graph, not read off the classes; their concordance with "
            f"what people rated, out of fold: {', '.join(found) or 'not measured'}.",
        ]
    return lines


def _transfer(modalities: Mapping[str, Any]) -> list[str]:
    rows = [
        f"| {name} | {source} | {_row(figures)} |"
        for name, entry in modalities.items()
        for source, figures in entry.get("transfer", {}).items()
    ]
    if not rows:
        return []
    return [
        "",
        "Other recordings, other people, another language: each corpus as judged by a model that learned from the "
        "others alone. Expect this of a corpus that nobody has trained on. What is not like anything learned from "
        "stays unanswered, and counts as wrong here.",
        "",
        _HEADER,
        _RULE,
        *rows,
    ]


def _people(modalities: Mapping[str, Any]) -> list[str]:
    """Whom the models serve worst, and how well women and men."""
    rows = []
    for name, entry in modalities.items():
        for source, figures in entry["metrics"].items():
            if not {"worst", "sex"} & set(figures):
                continue
            worst, cells = figures.get("worst"), []
            cells.append(f"{worst['person']}: {worst['ua']:.3f} of {worst['n']} items" if worst else "")
            for sex in ("f", "m"):
                one = figures.get("sex", {}).get(sex)
                cells.append(f"{_with_interval(one['ua'], one['interval'])}; {_recall(one['recall'])}" if one else "")
            rows.append(f"| {name} | {source} | {' | '.join(cells)} |")
    if not rows:
        return []
    return [
        "",
        "Whom they serve worst: the UA of the person with the lowest, of those with twenty items or more, and of women "
        "and men where the corpus tells.",
        "",
        "| modality | corpus | the worst | UA and recall of women | of men |",
        "|---|---|---|---|---|",
        *rows,
    ]


def _robustness(modalities: Mapping[str, Any]) -> list[str]:
    """What changed inputs are worth."""
    rows = [
        f"| {name} | {source} | {condition} | {row['items']} | {_with_interval(row['ua'], row['interval'])} "
        f"| {row['share']:.0%} |"
        for name, entry in modalities.items()
        for source, conditions in entry.get("robustness", {}).items()
        for condition, row in conditions.items()
    ]
    if not rows:
        return []
    return [
        "",
        "As robots get their input (`mser robustness`): the same people by the same folds, on the same items, changed. "
        "They are cut as in the corpus: what noise does to finding speech in a stream is not in these figures.",
        "",
        "| modality | corpus | input | items | UA | of the unchanged one's |",
        "|---|---|---|---|---|---|",
        *rows,
    ]


def _baselines(modalities: Mapping[str, Any]) -> list[str]:
    """What it is worth to know how a voice usually sounds."""
    entries = {name: entry["baseline_metrics"] for name, entry in modalities.items() if entry.get("baseline_metrics")}
    lines = []
    for name, found in entries.items():
        columns = list(dict.fromkeys(key for one in found.values() for row in one["order"].values() for key in row))
        lines += [
            "",
            f"One voice judged by itself ({name}): UA where the offset of a voice is learned while it talks, by how "
            "many utterances it had said before; 'none' is without. Sorted: all of one class first, then the next.",
            "",
            f"| corpus | order | none | {' | '.join(columns)} |",
            "|---|---|---|" + "---|" * len(columns),
        ]
        lines += [
            f"| {source} | {order} | {one['none']:.3f} | "
            + " | ".join(f"{row[key]:.3f}" if key in row else "" for key in columns)
            + " |"
            for source, one in found.items()
            for order, row in one["order"].items()
        ]
    return lines


def _judges(modalities: Mapping[str, Any]) -> list[str]:
    """What the judges make of people and of outliers whom they have not met."""
    lines = []
    for name, entry in modalities.items():
        if not (found := entry.get("judge")):
            continue
        people = [f"{share:.1%} of {corpus}" for corpus, share in found["people_out"].items()]
        people += [
            f"{share:.1%} of {corpus} by a judge that knows only the others"
            for judged in found["transfer"].values()
            for corpus, share in judged.items()
        ]
        lines += [
            "",
            f"In or out of domain ({name}). People whom the judge has not met and takes for something else: "
            f"{', '.join(people)}; of one person at most {found['worst_person_out']:.1%}.{_desk(found)}",
            "",
            "| outliers | AUROC | called out | AUROC, kind never shown | called out, kind never shown |",
            "|---|---|---|---|---|",
        ]
        lines += [
            f"| {kind} | {row['auroc']:.3f} | {row['out']:.1%} | {row['auroc_unmet']:.3f} | {row['out_unmet']:.1%} |"
            for kind, row in found["kinds"].items()
        ]
    return lines


def _desk(found: Mapping[str, Any]) -> str:
    """What becomes of people of whom hips and legs are not seen."""
    people = [f"{share:.1%} of {corpus}" for corpus, share in found.get("desk_out", {}).items()]
    return f" Of the same people, seen above the hips alone: {', '.join(people)}." if people else ""


def _calibration(manifest: Mapping[str, Any]) -> list[str]:
    """How the calibration error was measured, by what was judged so."""
    methods: dict[str, list[str]] = {}
    for name, entry in models_of(manifest).items():
        methods.setdefault(entry.get("judged_by", ""), []).append(name)
    methods.setdefault(manifest["fusion"].get("metrics", {}).get("judged_by", ""), []).append("fused")
    parts = [f"{', '.join(names)} with {how}" for how, names in methods.items() if how]
    return [f"ECE is measured of {'; of '.join(parts)}. What ships is fitted on all of these predictions.", ""]


def _row(figures: Mapping[str, Any]) -> str:
    surest = f"{figures['accuracy_at_70']:.3f}" if "accuracy_at_70" in figures else ""
    ua, wa, ece = (_with_interval(figures[name], figures["intervals"][name]) for name in ("ua", "wa", "ece"))
    return f"{figures['n']} | {ua} | {wa} | {surest} | {ece} | {_recall(figures['recall'])}"


def _with_interval(value: float, interval: Sequence[float]) -> str:
    low, high = interval
    return f"{value:.3f} ({low:.3f} to {high:.3f})"


def _recall(by_label: Mapping[str, float | None]) -> str:
    return ", ".join(f"{label} {value:.2f}" for label, value in by_label.items() if value is not None)


def _export_check(manifest: Mapping[str, Any]) -> list[str]:
    entries, fusion = list(models_of(manifest).values()), manifest["fusion"]
    flattered = "on real utterances, most of which it was trained on, which flatters the agreement."
    intro = f"Each graph against the network that it was exported from, {flattered}"
    if fusion["kind"] == "graph":
        intro = (
            f"All graphs together against the network that they were exported from, {flattered} A line is with the "
            f"graphs down to it as they ship and those below it in fp32; that of {fusion['graph']} is of what ships."
        )
        entries.append(fusion)
    lines = [
        "## Export",
        "",
        intro,
        "",
        "| graph | precision | utterances | same label | largest difference of a probability |",
        "|---|---|---|---|---|",
    ]
    for entry in entries:
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
    runs = list(_each(modalities, "run"))
    before = [name for names in _each(modalities, "starts_from") for name in names if name not in runs]
    given = {name: values for known in _each(modalities, "overrides") for name, values in known.items() if values}
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


def _each(modalities: Mapping[str, Mapping[str, Any]], key: str) -> list[Any]:
    """What the modalities' entries say under `key`, each once."""
    found: list[Any] = []
    for entry in modalities.values():
        if key in entry and entry[key] not in found:
            found.append(entry[key])
    return found


def _and(names: Any) -> str:
    words = {"speech": "voice", "text": "words", "mocap": "movement"}
    return ", ".join(words.get(name, name) for name in names)
