"""A model card says of a bundle what its manifest says, and nothing that was true of another bundle."""

from __future__ import annotations

from typing import Any

import pytest

from mser_ros.corpora import CORPORA
from mser_ros.labels import LABELS
from mser_ros.training.export.card import model_card
from mser_ros.training.export.licences import licence_notices, weights_licence

FIGURES: dict[str, Any] = {
    "n": 40,
    "ua": 0.61,
    "wa": 0.62,
    "ece": 0.07,
    "recall": dict.fromkeys(LABELS, 0.5),
    "intervals": {name: [0.1, 0.9] for name in ("ua", "wa", "ece")},
}
CHECK = {"items": 30, "label_agreement": 0.993, "largest_probability_difference": 0.012}
FOLDS, HALF = (f"a temperature fitted on the other {what}" for what in ("folds", "half of the people"))


def modality(name: str, *corpora: str, synthetic: bool = False, **more: Any) -> dict[str, Any]:
    return {
        "graph": f"{name}.onnx",
        "precision": "int8",
        "licence": "not stated",
        "trained_on": sorted(corpora),
        "run": f"mine_{name}",
        "starts_from": [],
        "export_check": CHECK,
        "judged_by": FOLDS,
        "metrics": {corpora[0]: {"synthetic": synthetic, **FIGURES}},
        **more,
    }


def bundle(*, fusion: dict[str, Any] | None = None, **modalities: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": "mine",
        "version": "2",
        "labels": list(LABELS),
        "modalities": modalities,
        "fusion": fusion or {"kind": "log_linear"},
    }


def test_what_cannot_be_measured_is_a_dash() -> None:
    row = {"items": 24, "ua": 0.0, "interval": [None, None], "share": None}
    card = model_card(bundle(speech=modality("speech", "voices", robustness={"voices": {"telephone": row}})))
    assert "| speech | voices | telephone | 24 | 0.000 (all of one: no interval) | – |" in card


def fused(*, synthetic: bool) -> dict[str, Any]:
    metrics = {"synthetic": synthetic, "note": "Out of fold", "judged_by": HALF, "subsets": {"speech+text": FIGURES}}
    return {
        "kind": "graph",
        "graph": "fusion.onnx",
        "precision": "int8 in blocks",
        "export_check": {**CHECK, "label_agreement": 0.991},
        "metrics": metrics,
    }


def iemocap() -> str:
    entries = {
        name: modality(name, "iemocap", run="ours", starts_from=["paper_b_audio"]) for name in ("speech", "text")
    }
    return model_card(bundle(fusion=fused(synthetic=False), **entries))


def test_a_card_tells_of_its_own_corpora_only() -> None:
    card = iemocap()
    assert "ten actors in pairs" in card
    for other in ("studio", "forum", "walks", "RAVDESS", "synthetic", "SYNTHETIC", "default"):
        assert other not in card, other


@pytest.mark.parametrize("name", sorted(CORPORA))
def test_every_known_corpus_has_its_own_words(name: str) -> None:
    card = model_card(bundle(speech=modality("speech", name)))
    assert f"- Data of {name}: " in card
    assert "knows nothing of" not in card
    assert f"\n- {name}\n" not in card, "whose data it is"


def test_a_corpus_that_nobody_knows_is_named_and_nothing_is_said_of_it() -> None:
    card = model_card(bundle(speech=modality("speech", "kitchen")))
    assert "- Data of kitchen: this card knows nothing of its people" in card


def test_retraining_names_the_runs_that_the_bundle_was_made_of() -> None:
    speech = modality("speech", "kitchen", run="kitchen_voices")
    commands = model_card(bundle(speech=speech, text=modality("text", "goemotions"))).split("```")[1].splitlines()
    assert commands[2:] == [
        "mser train kitchen_voices",
        "mser train mine_text",
        "mser export runs/kitchen_voices runs/mine_text -o models/mine",
    ]


def test_what_was_set_otherwise_than_in_the_file_of_its_name_is_told() -> None:
    speech = modality(
        "speech",
        "iemocap",
        run="ours",
        starts_from=["paper_b_audio"],
        overrides={"ours": ["optimiser.epochs=3", "corpora=[{name: a b}]"], "paper_b_audio": ["seed=2"]},
    )
    card = model_card(bundle(speech=speech))
    assert card.split("```")[1].splitlines()[2:4] == [
        "mser train paper_b_audio seed=2",
        "mser train ours optimiser.epochs=3 'corpora=[{name: a b}]'",
    ]
    assert "was set otherwise than in its file" in card
    assert "was set otherwise" not in model_card(bundle(speech={**speech, "overrides": {"ours": []}}))


def test_runs_whose_encoders_a_bundle_starts_from_come_first() -> None:
    commands = iemocap().split("```")[1].splitlines()
    assert commands[2:] == [
        "mser train paper_b_audio",
        "mser train ours",
        "mser export runs/ours -o models/mine",
    ]


def test_synthetic_figures_are_marked_where_they_stand() -> None:
    card = model_card(bundle(speech=modality("speech", "pseudo", "ravdess", synthetic=True)))
    assert "| speech | pseudo (SYNTHETIC) | 40 |" in card
    assert "Figures marked SYNTHETIC" in card
    card = model_card(bundle(fusion=fused(synthetic=True), speech=modality("speech", "ravdess")))
    assert "| speech | ravdess | 40 |" in card
    assert "Figures marked SYNTHETIC" in card


def test_how_calibration_was_measured_is_told() -> None:
    speech, text = modality("speech", "ravdess"), modality("text", "goemotions", judged_by=HALF)
    card = model_card(bundle(fusion=fused(synthetic=False), speech=speech, text=text))
    assert f"ECE is measured of speech with {FOLDS}; of text, fused with {HALF}." in card


def test_every_graph_is_among_those_that_were_checked_and_the_check_is_not_flattered_silently() -> None:
    card = iemocap()
    assert "| fusion.onnx | int8 in blocks | 30 | 0.991 | 0.012 |" in card
    assert "All graphs together" in card
    assert "most of which it was trained on, which flatters the agreement" in card
    assert "Each graph against" in model_card(bundle(speech=modality("speech", "ravdess")))


def test_what_is_promised_and_what_came_of_it_stands_in_the_card() -> None:
    sets = {"speech+text": {"coverage": 0.913, "size": 1.3}}
    alarms = {"auroc": 0.741, "false_alarms": 0.052, "found": 0.31}
    hour = {"neutral_share": 0.8, "alarms": 3.2, "found": 16.5, "right": 0.812}
    made = bundle(fusion=fused(synthetic=False), speech=modality("speech", "iemocap"))
    made["fusion"]["metrics"]["daily_life"] = {"speech+text": [hour]}
    made["decision"] = {"coverage": 0.9, "metrics": {"sets": sets, "incongruent": alarms}}
    made["picture"] = "trust.png"
    card = model_card(made)
    assert "| speech+text | 0.80 | 3.2 | 16.5 | 81% |" in card
    assert "true class of 90% of what new people say" in card
    assert "| speech+text | 91.3% | 1.30 |" in card
    assert "AUROC 0.741, 31% are told, and 5.2% of those" in card
    assert "](trust.png)" in card
    del made["decision"]["metrics"]["incongruent"], made["fusion"]["metrics"]["daily_life"], made["picture"]
    assert not any(word in model_card(made) for word in ("incongruent", "neutral_share", ".png"))


def test_how_good_valence_and_arousal_are_is_told_where_a_graph_estimates_them() -> None:
    fusion, parts = fused(synthetic=False), {name: modality(name, "iemocap") for name in ("speech", "text")}
    assert "arousal" not in model_card(bundle(fusion=fusion, **parts))
    fusion["metrics"]["ccc"] = {"valence": [0.41, 0.3, 0.5]}
    assert "out of fold: valence 0.410 (0.300 to 0.500)." in model_card(bundle(fusion=fusion, **parts))


def test_the_protocol_of_a_run_is_told() -> None:
    entries = {
        name: modality(name, "iemocap", protocol="the best epoch is chosen on the test set")
        for name in ("speech", "text")
    }
    card = model_card(bundle(fusion=fused(synthetic=False), **entries))
    assert card.count("Protocol: the best epoch is chosen on the test set.") == 1


def test_modalities_that_cannot_speak_alone_have_no_table() -> None:
    entries = {name: modality(name, "iemocap", metrics={}) for name in ("speech", "text")}
    for entry in entries.values():
        del entry["judged_by"]
    card = model_card(bundle(fusion=fused(synthetic=False), **entries))
    assert "| modality | corpus |" not in card
    assert f"ECE is measured of fused with {HALF}." in card


def test_weights_of_a_combined_corpus_take_the_strictest_of_its_licences() -> None:
    assert weights_licence({"pseudo": {"licence": "CC-BY-4.0 and CC-BY-NC-SA-4.0"}}) == "CC-BY-NC-SA-4.0"
    assert weights_licence({"pseudo": {"licence": "CC-BY-NC-SA-4.0 and not stated"}}) == "not stated"
    assert weights_licence({"a": {"licence": "CC-BY-4.0"}}) == "Apache-2.0"
    assert weights_licence({"a": {"licence": "IEMOCAP release form"}}) == "IEMOCAP release form"


def test_the_graph_that_joins_the_others_is_licensed_with_them() -> None:
    notices = licence_notices(bundle(fusion=fused(synthetic=False), speech=modality("speech", "iemocap")))
    assert "Files: speech.onnx, fusion.onnx\n" in notices["NOTICE-not-stated.txt"]
