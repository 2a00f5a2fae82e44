"""The figures of a model card: tables from the metrics that a manifest holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .licences import models_of

_HEADER = "| modality | corpus | items | UA | WA | WA of the surest 70 % | ECE | recall |"
_RULE = "|---|---|---|---|---|---|---|---|"


def figures_section(manifest: Mapping[str, Any]) -> list[str]:
    """Lines of Markdown: how good each modality and the fusion are, for whom, and under which conditions."""
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
    lines += [text for note in distinct(modalities, "protocol") for text in (f"Protocol: {note}.", "")]
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
    lines += _households(modalities)
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
        lines += [
            f"| {subset}, every feeling in plain words | {_row(figures)} |"
            for subset, figures in fused.get("plain_words", {}).items()
        ]
        poorer = manifest.get("fallback", {"fusion": {}})["fusion"].get("metrics", {"subsets": {}})
        lines += [f"| {subset}, with the fallback | {_row(figures)} |" for subset, figures in poorer["subsets"].items()]
    lines += _daily_life(fused)
    lines += _decision(manifest)
    lines += _picture(manifest)
    if fused and "ccc" in fused:
        found = [f"{name} {value:.3f} ({low:.3f} to {high:.3f})" for name, (value, low, high) in fused["ccc"].items()]
        lines += [
            "",
            "Valence and arousal are estimated by the fusion graph, not read off the classes; their concordance with "
            f"what people rated, out of fold: {', '.join(found) or 'not measured'}.",
        ]
    return lines


def _daily_life(fused: Mapping[str, Any] | None) -> list[str]:
    """What the classes of training cost in a life that is mostly neutral, and what a setting brings."""
    rows = [
        f"| {name} | {row['neutral_share']:.2f} | {row['alarms']:.1f} | {row['found']:.1f} | {row['right']:.0%} |"
        for name, found in (fused or {}).get("daily_life", {}).items()
        for row in found
    ]
    return _section(
        "Daily life is mostly neutral. Of the same combinations an hour in which somebody says 100 things, 80 of them "
        "neutral and the others of the other classes alike, with the setting `neutral_share` as it is when nobody sets "
        "it and as it fits this life: false alarms, feelings found (of 20), and of what is told as a feeling, how much "
        "is one, and that one.",
        "| modalities | neutral_share | false alarms | found | right |",
        rows,
    )


def _decision(manifest: Mapping[str, Any]) -> list[str]:
    """What became of the promises that go with an estimate."""
    found = manifest.get("decision", {})
    if "metrics" not in found:
        return []
    sets = found["metrics"]["sets"]
    lived = all("mostly_neutral" in row for row in sets.values())
    lines = _section(
        f"What `label_set` promises: it holds the true class of {found['coverage']:.0%} of what new people say, "
        "everybody counting alike, on the average (conformal prediction). Measured on people who fitted nothing, the "
        "mean of several divisions into those who fit and those who are judged:",
        "| modalities | holds the truth | classes in it |"
        + (" holds it where 80 % is neutral, and `neutral_share` says so |" if lived else ""),
        [
            f"| {name} | {row['coverage']:.1%} | {row['size']:.2f} |"
            + (f" {row['mostly_neutral']:.1%} |" if lived else "")
            for name, row in sets.items()
        ],
    )
    if alarms := found["metrics"].get("incongruent"):
        lines += [
            "",
            "`incongruent`, where one modality was put in from somebody of another class: "
            f"AUROC {alarms['auroc']:.3f}, {alarms['found']:.0%} are told, and {alarms['false_alarms']:.1%} of those "
            "where all are of one class.",
        ]
    return lines


def _picture(manifest: Mapping[str, Any]) -> list[str]:
    if "picture" not in manifest:
        return []
    return [
        "",
        "How far confidence can be trusted: above, accuracy over confidence (reliability; bars: 95 % intervals); "
        "below, the share of errors among those that are answered, the surest first (risk-coverage).",
        "",
        f"![Reliability and risk-coverage of each model]({manifest['picture']})",
    ]


def _section(text: str, header: str, rows: Sequence[str]) -> list[str]:
    """A text and the table that it introduces; nothing where there are no rows."""
    rule = "|" + "---|" * (header.count("|") - 1)
    return ["", text, "", header, rule, *rows] if rows else []


def _transfer(modalities: Mapping[str, Any]) -> list[str]:
    rows = [
        f"| {name} | {source} | {_row(figures)} |"
        for name, entry in modalities.items()
        for source, figures in entry.get("transfer", {}).items()
    ]
    return _section(
        "Other recordings, other people, another language: each corpus as judged by a model that learned from the "
        "others alone. Expect this of a corpus that nobody has trained on. What is not like anything learned from "
        "stays unanswered, and counts as wrong here.",
        _HEADER,
        rows,
    )


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
    return _section(
        "Whom they serve worst: the UA of the person with the lowest, of those with twenty items or more, and of women "
        "and men where the corpus tells.",
        "| modality | corpus | the worst | UA and recall of women | of men |",
        rows,
    )


def _robustness(modalities: Mapping[str, Any]) -> list[str]:
    """What changed inputs are worth."""
    rows = [
        f"| {name} | {source} | {condition} | {row['items']} | {_with_interval(row['ua'], row['interval'])} "
        f"| {'–' if row['share'] is None else format(row['share'], '.0%')} |"
        for name, entry in modalities.items()
        for source, conditions in entry.get("robustness", {}).items()
        for condition, row in conditions.items()
    ]
    return _section(
        "As robots get their input (`mser robustness`): the same people by the same folds, on the same items, changed. "
        "They are cut as in the corpus: what noise does to finding speech in a stream is not in these figures.",
        "| modality | corpus | input | items | UA | of the unchanged one's |",
        rows,
    )


def _households(modalities: Mapping[str, Any]) -> list[str]:
    """What a few labelled clips of somebody are worth."""
    rows = [
        f"| {name} | {source} | {row['people']} | {row['clips']:.0f} | {row['before']:.3f} | {row['after']:.3f} "
        f"| {_with_interval(row['gain'][0], row['gain'][1:])} | {row['better']}, {row['worse']} |"
        for name, entry in modalities.items()
        for source, row in entry.get("household", {}).items()
    ]
    return _section(
        "A household (`mser household`): UA, the mean over people, where a few labelled clips of somebody are learned "
        "from beside everybody else (`mser train --add`), judged on other clips of that person.",
        "| modality | corpus | people | clips of each | without | with | gain | people better, worse |",
        rows,
    )


def _baselines(modalities: Mapping[str, Any]) -> list[str]:
    """What it is worth to know how a voice usually sounds."""
    entries = {name: entry["baseline_metrics"] for name, entry in modalities.items() if entry.get("baseline_metrics")}
    lines = []
    for name, found in entries.items():
        counts = {key for one in found.values() for row in one["order"].values() for key in row}
        columns = sorted(counts, key=lambda key: [int(part) for part in key.split() if part.isdigit()] or [1 << 30])
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


def _with_interval(value: float, interval: Sequence[float | None]) -> str:
    low, high = interval
    if low is None or high is None:
        return f"{value:.3f} (all of one: no interval)"
    return f"{value:.3f} ({low:.3f} to {high:.3f})"


def _recall(by_label: Mapping[str, float | None]) -> str:
    return ", ".join(f"{label} {value:.2f}" for label, value in by_label.items() if value is not None)


def _checklists(modalities: Mapping[str, Any]) -> list[str]:
    """What models of words make of sentences of daily life, kind by kind."""
    found = {name: entry["checklist"] for name, entry in modalities.items() if "checklist" in entry}
    if not found:
        return []
    kinds: dict[str, list[int]] = {}
    for one in found.values():  # one that was exported earlier may have been asked less
        kinds = {**one["kinds"], **kinds}
    count = sum(total for _, total in kinds.values())

    def passed(asked: Mapping[str, Sequence[int]], kind: str) -> str:
        right, total = asked.get(kind, (0, 0))
        return f"{right / total:.0%}" if total else "–"

    return [
        "",
        "Sentences of daily life, by what they ask of a model (`mser checklist`, composed of templates, none of which "
        "was trained on): how many were judged right.",
        "",
        f"| kind | sentences | {' | '.join(found)} |",
        f"|---|---|{'---|' * len(found)}",
        *(
            " | ".join([f"| {kind}", str(total), *(passed(one["kinds"], kind) for one in found.values())]) + " |"
            for kind, (_, total) in kinds.items()
        ),
        " | ".join(["| all kinds alike", str(count), *(f"{one['passed']:.1%}" for one in found.values())]) + " |",
    ]


def export_section(manifest: Mapping[str, Any]) -> list[str]:
    """Lines of Markdown: how far the graphs agree with the networks that they were made of."""
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


def distinct(modalities: Mapping[str, Mapping[str, Any]], key: str) -> list[Any]:
    """What the modalities' entries say under `key`, each once."""
    found: list[Any] = []
    for entry in modalities.values():
        if key in entry and entry[key] not in found:
            found.append(entry[key])
    return found
