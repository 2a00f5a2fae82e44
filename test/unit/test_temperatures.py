"""What judges calibration has not seen what it judges."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mser_ros.errors import SettingsError
from mser_ros.evaluation.metrics import Predictions
from mser_ros.labels import LABELS
from mser_ros.recognition.posteriors import softmax
from mser_ros.training.export.decision_fit import (
    COVERAGE,
    _speakers,
    fit_joint_decision,
    largest_miss,
    measure_decision,
)
from mser_ros.training.export.fusion_fit import combine, daily_life, fuse, measure, try_out
from mser_ros.training.export.temperatures import balanced_temperature, fit_temperatures, halves
from mser_ros.training.runs.predictions import OutOfFold

PRIOR = np.full(4, 0.25)


def rows_of(
    modality: str = "speech", *, skill: float = 2.0, people: int = 12, folds: int = 1, seed: int = 0
) -> OutOfFold:
    rng = np.random.default_rng((seed, len(modality)))
    label = np.repeat(np.arange(4), people * 5)
    number = np.tile(np.arange(people), 20)
    person = np.array([f"{modality}{n}" for n in number])
    count = len(label)
    logits = rng.standard_normal((count, 4)) + skill * np.eye(4)[label]
    items = np.array([str(n) for n in range(count)])
    fold = np.array([f"fold{n % folds}" for n in number])
    return OutOfFold(np.full(count, modality), items, person, person, fold, label, logits.astype(np.float32))


def with_wrong_labels(rows: OutOfFold, where: np.ndarray) -> OutOfFold:
    return replace(rows, label=np.where(where, (rows.label + 1) % 4, rows.label))


def test_a_fold_is_judged_by_a_temperature_that_never_saw_its_labels() -> None:
    rows = rows_of(folds=3)
    mine = rows.fold == "fold1"
    honest, spoiled = (fit_temperatures(one) for one in (rows, with_wrong_labels(rows, mine)))
    assert honest.method == "a temperature fitted on the other folds"
    before, after = (one.predictions(rows).probabilities for one in (honest, spoiled))
    np.testing.assert_array_equal(before[mine], after[mine])
    assert not np.allclose(before[~mine], after[~mine])
    expected = softmax(rows.logits[mine] / balanced_temperature(rows.select(~mine)))
    np.testing.assert_allclose(before[mine], expected, rtol=1e-5)


def test_what_ships_is_fitted_on_everything() -> None:
    rows = rows_of(folds=3)
    assert fit_temperatures(rows).shipped == balanced_temperature(rows)


def test_people_of_a_single_fold_are_judged_by_the_other_half_of_them() -> None:
    rows = rows_of(people=7)
    half = halves(rows)
    people = [set(rows.person[half == side].tolist()) for side in range(2)]
    assert sorted(map(len, people)) == [3, 4]
    assert not people[0] & people[1]
    found = fit_temperatures(rows)
    assert found.method == "a temperature fitted on the other half of the people"
    expected = softmax(rows.logits[half == 1] / balanced_temperature(rows.select(half == 0)))
    np.testing.assert_allclose(found.predictions(rows).probabilities[half == 1], expected, rtol=1e-5)


def test_people_of_two_corpora_are_two_whatever_they_are_called() -> None:
    one = rows_of(people=3, folds=3)
    again = replace(one, source=np.full(len(one), "speech:perceived"))
    other = replace(one, source=np.full(len(one), "other"), logits=-one.logits)
    both = OutOfFold.join([one, again, other])
    assert both.people == {f"{corpus}:speech{n}" for corpus in ("speech", "other") for n in range(3)}
    assert set(both.predictions().clusters.tolist()) == both.people
    assert set(fit_temperatures(both).predictions(both).clusters.tolist()) == both.people
    assert set(combine({"speech": both}, {"speech": 1.0}).people["speech"].tolist()) == both.people
    assert set(_speakers(both).tolist()) == both.people
    # Where nobody shares a name, nothing is called otherwise than it was.
    alone = OutOfFold.join([one, again])
    assert alone.people == set(one.person.tolist())
    assert alone.predictions().clusters.tolist() == alone.cluster.tolist()
    single = OutOfFold.join([rows.select(rows.person == "speech0") for rows in (one, other)])
    assert set(halves(single).tolist()) == {0, 1}


def test_people_who_are_combined_are_counted_beside_those_who_stand_alone() -> None:
    one = rows_of(people=3)
    block, clusters = np.full(len(one), "block0"), np.char.add(one.person, " + walker")
    combined = replace(one, source=np.full(len(one), "pseudo"), person=block, cluster=clusters)
    named = np.char.add(one.person, "b")
    others = replace(one, person=named, cluster=named)
    assert OutOfFold.join([others, combined]).people == {*named.tolist(), *one.person.tolist(), "walker"}


def test_every_corpus_gives_people_to_both_halves() -> None:
    rows = rows_of(people=8)
    few = np.isin(rows.person, ["speech6", "speech7"])
    half = halves(replace(rows, source=np.where(few, "small:perceived", "large")))
    assert set(half[few].tolist()) == {0, 1}
    each = [len(set(rows.person[half == side].tolist())) for side in range(2)]
    assert each == [4, 4]


def test_one_block_of_synthetic_items_is_halved_by_the_people_behind_it() -> None:
    rows = rows_of(people=6)
    clusters = np.array([f"ravdess:{person} + goemotions:x" for person in rows.person])
    half = halves(replace(rows, person=np.full(len(rows), "block0"), cluster=clusters))
    np.testing.assert_array_equal(np.bincount(half), [60, 60])
    assert not set(rows.person[half == 0].tolist()) & set(rows.person[half == 1].tolist())


def test_one_person_alone_cannot_be_judged_and_that_is_told() -> None:
    found = fit_temperatures(rows_of(people=1))
    assert "too good" in found.method
    assert set(found.held_out.values()) == {found.shipped}


def test_a_set_of_modalities_is_judged_by_the_temperatures_of_all_of_them() -> None:
    rows = rows_of(folds=3)
    some = rows.select(np.arange(len(rows)) % 3 == 0)
    found = fit_temperatures(rows)
    np.testing.assert_array_equal(found.predictions(some).probabilities, found.predictions(rows).probabilities[::3])


def test_noise_gets_no_weight_in_the_fusion() -> None:
    rows = {"speech": rows_of("speech"), "text": rows_of("text", skill=0.0), "mocap": rows_of("mocap", skill=1)}
    fit = fuse(combine(rows, dict.fromkeys(rows, 1.0)), PRIOR)
    assert fit.weights["text"] < 0.3 < fit.weights["speech"]


def test_plain_words_are_those_of_something_neutral_and_of_their_people() -> None:
    rows = {"speech": rows_of("speech"), "text": rows_of("text")}
    combined = combine(rows, dict.fromkeys(rows, 1.0))
    neutral = LABELS.index("neutral")
    plain = combined.in_plain_words(1.0)
    known = {tuple(row) for row in combined.posteriors["text"][combined.truth == neutral].tolist()}
    assert {tuple(row) for row in plain.posteriors["text"].tolist()} == known
    np.testing.assert_array_equal(plain.posteriors["speech"], combined.posteriors["speech"])
    assert all(
        cluster.split(" + ") == [speaker, writer]
        for cluster, speaker, writer in zip(plain.clusters, plain.people["speech"], plain.people["text"], strict=True)
    )
    some = combined.in_plain_words(0.3)
    moved = (some.posteriors["text"] != combined.posteriors["text"]).any(1)
    assert not moved[combined.truth == neutral].any()
    assert moved[combined.truth != neutral].mean() == pytest.approx(0.3, abs=0.05)
    found = measure(try_out(rows, PRIOR), PRIOR)
    assert set(found["plain_words"]) == {"speech+text"}
    assert found["plain_words"]["speech+text"]["ua"] < found["subsets"]["speech+text"]["ua"]


def test_fused_figures_are_of_people_who_fitted_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {"speech": rows_of("speech"), "text": rows_of("text", skill=0.0), "mocap": rows_of("mocap", skill=1)}
    fitted, judged = [], []
    for name, people in (("balanced_temperature", fitted), ("fuse", fitted), ("score", judged)):
        _spy(monkeypatch, name, people)
    found = measure(try_out(rows, PRIOR), PRIOR)
    assert fitted
    assert judged
    assert not set(fitted) & set(judged)
    assert set(fitted) | set(judged) == {person for part in rows.values() for person in part.person.tolist()}
    assert found["synthetic"]
    assert found["subsets"]["speech+mocap"]["ua"] > found["subsets"]["speech"]["ua"]
    assert set(found["subsets"]["speech"]["recall"]) == {"angry", "happy", "sad", "neutral"}


def _spy(monkeypatch: pytest.MonkeyPatch, name: str, people: list[str]) -> None:
    """Note who is in what a function of the fusion's fit is given."""
    from mser_ros.training.export import fusion_fit

    real = getattr(fusion_fit, name)

    def noted(given: object, *rest: object) -> object:
        names = given.person if isinstance(given, OutOfFold) else given.clusters  # type: ignore[attr-defined]
        people.extend(person for cluster in names.tolist() for person in cluster.split(" + "))
        return real(given, *rest)

    monkeypatch.setattr(fusion_fit, name, noted)


def test_a_modality_of_one_person_cannot_be_fused_honestly() -> None:
    with pytest.raises(SettingsError, match="one person only, so fusion cannot be judged: run more folds"):
        try_out({"speech": rows_of("speech"), "text": rows_of("text", people=1)}, PRIOR)


def test_a_class_that_nobody_was_tested_on_is_told() -> None:
    rows = {"speech": rows_of("speech"), "text": rows_of("text")}
    rows["text"] = rows["text"].select(rows["text"].label != 2)
    with pytest.raises(
        SettingsError,
        match="too few of the text predictions are of class 'sad', so fusion cannot be fitted: run more folds",
    ):
        combine(rows, dict.fromkeys(rows, 1.0))


def test_a_set_of_classes_holds_the_truth_of_people_who_fitted_nothing_as_often_as_promised() -> None:
    rows = {"speech": rows_of("speech", people=30), "text": rows_of("text", people=30, skill=1)}
    found = measure_decision([try_out(rows, PRIOR, seed=seed) for seed in range(10)], PRIOR)
    for figures in found["sets"].values():
        assert figures["coverage"] == pytest.approx(COVERAGE, abs=0.02)
        assert figures["mostly_neutral"] > COVERAGE - 0.03
        assert 1 <= figures["size"] < 4
    assert found["sets"]["speech"]["size"] < found["sets"]["text"]["size"]
    assert found["incongruent"]["false_alarms"] < 0.12
    assert found["incongruent"]["auroc"] > 0.6


def test_of_few_people_who_differ_the_worst_one_decides() -> None:
    misses, people = np.array([0.1, 0.2, 0.9]), np.array(["a", "b", "c"])
    assert largest_miss(misses, people) == 0.9


def test_of_ten_people_nine_decide() -> None:
    people = np.array([f"p{number}" for number in range(10)])
    assert largest_miss(np.linspace(0.05, 0.95, 10), people) == pytest.approx(0.85)


def test_everybody_counts_alike_however_much_they_said() -> None:
    misses = np.concatenate([np.full(1000, 0.1), np.linspace(0.5, 0.6, 50)])
    people = np.array(["a"] * 1000 + [f"p{number}" for number in range(50)])
    assert largest_miss(misses, people) > 0.5


def joint_rows(people: int = 30, *, folds: int = 5) -> dict[tuple[str, ...], OutOfFold]:
    """What a network of two streams said of the same items: the words tell more than the voice, both tell most."""
    skills = {("speech", "text"): 3.0, ("speech",): 1.0, ("text",): 2.0}
    rows = {
        subset: rows_of(skill=skill, people=people, folds=folds, seed=number)
        for number, (subset, skill) in enumerate(skills.items())
    }
    order = np.random.default_rng(0).permutation(len(rows[("text",)]))
    return {**rows, ("text",): rows[("text",)].select(order)}


def test_modalities_that_were_trained_together_promise_what_they_keep_of_other_folds() -> None:
    rows = joint_rows()
    entry = fit_joint_decision(rows, 1.0, {"speech": 1.0, "text": 1.0}, PRIOR)
    sets = entry["metrics"]["sets"]
    assert set(entry["largest_miss"]) == set(sets) == {"speech+text", "speech", "text"}
    for figures in sets.values():
        assert figures["coverage"] == pytest.approx(0.93, abs=0.05)
    assert sets["speech+text"]["size"] < sets["text"]["size"] < sets["speech"]["size"]
    assert 0.02 < entry["metrics"]["incongruent"]["false_alarms"] < 0.12
    assert entry["metrics"]["incongruent"]["auroc"] > 0.6


def test_what_a_fold_is_judged_by_never_saw_its_labels() -> None:
    rows = joint_rows(folds=2)
    spoiled = {subset: with_wrong_labels(one, one.fold == "fold1") for subset, one in rows.items()}
    honest, worse = (fit_joint_decision(one, 1.0, {}, PRIOR) for one in (rows, spoiled))
    for name, figures in worse["metrics"]["sets"].items():
        assert figures["coverage"] < honest["metrics"]["sets"][name]["coverage"] - 0.05, "it was known beforehand"
    assert "incongruent_above" not in worse, "nothing speaks for itself"


def test_sets_of_synthetic_items_count_by_their_source_people() -> None:
    rows = joint_rows(people=4, folds=1)[("text",)]
    block = np.full(len(rows), "block")
    source = np.array([f"voice{number % 3} + line{number}" for number in range(len(rows))])
    synthetic = replace(rows, person=block, cluster=source)
    by_voice = replace(rows, person=np.array([name.split(" + ")[0] for name in source]))
    found, expected = (fit_joint_decision({("text",): one}, 1.0, {}, PRIOR) for one in (synthetic, by_voice))
    assert found["largest_miss"] == expected["largest_miss"]


def test_an_hour_of_daily_life_is_counted_as_the_setting_makes_it() -> None:
    # Of four neutral things one is taken for anger, surely; one for joy, but hardly; feelings are all found.
    neutral, angry, happy, sad = (LABELS.index(name) for name in ("neutral", "angry", "happy", "sad"))
    truth = np.array([neutral] * 4 + [angry, happy, sad])
    probabilities = np.full((7, 4), 0.01)
    for row, label in enumerate([neutral, neutral, angry, happy, angry, happy, sad]):
        probabilities[row, label] = 0.97
    probabilities[3] = 0.1
    probabilities[3, [neutral, happy]] = 0.35, 0.45
    even, mostly = daily_life(Predictions(truth, probabilities, truth.astype(str)))
    assert even == {"neutral_share": 0.25, "alarms": 40.0, "found": 20.0, "right": 0.333}
    assert mostly == {"neutral_share": 0.8, "alarms": 20.0, "found": 20.0, "right": 0.5}


def test_what_has_no_answer_alarms_nobody_and_finds_nothing() -> None:
    truth = np.arange(4)
    unanswered = Predictions(truth, np.eye(4), truth.astype(str), answered=np.zeros(4, bool))
    assert [(row["alarms"], row["found"], row["right"]) for row in daily_life(unanswered)] == [(0.0, 0.0, 0.0)] * 2
