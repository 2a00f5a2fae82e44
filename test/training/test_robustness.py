"""What changed inputs are worth, judged by the folds of a real run."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mocap_poses import pose_of
from test_train import small, write_voices

from mser_ros.audio.waveform import level_db, to_float, to_int16
from mser_ros.cli.main import main
from mser_ros.corpora.base import Item
from mser_ros.errors import SettingsError
from mser_ros.evaluation.metrics import score
from mser_ros.labels import LABELS
from mser_ros.mocap.canonical import canonicalise
from mser_ros.mocap.layouts import JOINTS
from mser_ros.training.config.files import read_config
from mser_ros.training.config.settings import ExperimentConfig
from mser_ros.training.export.bundle import export_bundle
from mser_ros.training.fit import household, robustness
from mser_ros.training.fit.experiment import run_experiment
from mser_ros.training.fit.household import choose_clips, measure_household
from mser_ros.training.fit.predicting import restore
from mser_ros.training.fit.robustness import CONDITIONS, UNCHANGED, _compare, measure_robustness
from mser_ros.training.runs.finished import FinishedRun
from mser_ros.training.runs.folder import check_run, open_run
from mser_ros.training.runs.predictions import OutOfFold
from mser_ros.training.samples.augment import LEGS, above_the_hips
from mser_ros.training.samples.inputs import Sample
from mser_ros.types import NS_PER_S, SAMPLE_RATE, SkeletonSequence

RATE_HZ = 30.0
pytestmark = pytest.mark.usefixtures("graphs_are_written_once")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("robustness")
    run_experiment(small(write_voices(root / "voices"), epochs=1), root / "run", log=lambda _text: None)
    return root / "run"


@pytest.fixture(scope="module")
def measured(run: Path) -> dict[str, Any]:
    """By source, as the run keeps it."""
    return measure_robustness(run, log=lambda _text: None)


def test_the_command_compares_each_condition_with_the_same_items_as_they_are(
    run: Path, measured: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["robustness", str(run)]) == 0
    assert "telephone" in capsys.readouterr().out
    found = json.loads((run / "robustness.json").read_text(encoding="utf-8"))["voices"]
    assert set(found) == {UNCHANGED, *CONDITIONS["speech"]}
    whole = FinishedRun.read(run).rows()
    assert found[UNCHANGED]["items"] == len(whole) == found["first 1 s"]["items"]
    assert found[UNCHANGED]["ua"] == pytest.approx(score(whole.predictions(), resamples=0).values["ua"], abs=1e-4)
    for row in found.values():
        assert row["share"] == pytest.approx(row["ua"] / found[UNCHANGED]["ua"], abs=1e-3)
    assert measured["voices"] == found


def test_a_source_that_is_judged_wholly_wrong_costs_no_other_its_figures(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = FinishedRun.read(run).rows()
    logits = np.eye(len(LABELS), dtype=np.float32)[(rows.label + 1) % len(LABELS)]
    wrong, right = dataclasses.replace(rows, logits=logits), dataclasses.replace(rows, logits=np.roll(logits, -1, 1))
    other = dataclasses.replace(right, source=np.full(len(rows), "other"))
    found = _compare({UNCHANGED: OutOfFold.join([wrong, other]), "telephone": OutOfFold.join([right, other])})
    assert [found[source]["telephone"]["share"] for source in ("voices", "other")] == [None, 1.0]
    assert found["voices"]["telephone"]["ua"] == 1.0
    monkeypatch.setattr(robustness, "measure_robustness", lambda *_args, **_settings: found)
    assert main(["robustness", str(run)]) == 0
    assert "–" in capsys.readouterr().out


@pytest.mark.usefixtures("measured")
def test_the_card_tells_what_was_found(run: Path, tmp_path: Path) -> None:
    export_bundle([run], tmp_path / "bundle", int8=False, log=lambda _text: None)
    card = (tmp_path / "bundle" / "MODEL_CARD.md").read_text(encoding="utf-8")
    (row,) = (line for line in card.splitlines() if "| noise, 10 dB |" in line)
    assert row.startswith("| speech | voices |")


def test_a_run_without_its_weights_says_so(run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    (copy / "fold0" / "best.safetensors").unlink()
    with pytest.raises(SettingsError, match=r"fold0.best.safetensors are gone: train the run again"):
        measure_robustness(copy, log=lambda _text: None)


def test_data_that_have_moved_since_are_found_where_the_user_says(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    mine, moved = shutil.copytree(run, tmp_path / "run"), shutil.copytree(run.parent / "voices", tmp_path / "moved")
    settings = (mine / "config.yaml").read_text(encoding="utf-8")
    before = settings.replace(str(run.parent / "voices"), str(tmp_path / "nowhere"))
    (mine / "config.yaml").write_text(before, encoding="utf-8")
    monkeypatch.setattr(robustness, "CONDITIONS", {"speech": {}})
    monkeypatch.setattr(
        household,
        "fit",
        lambda config, *, folder, **_: (restore(config, mine / folder.name / "best.safetensors"), None),
    )
    out = ["--fp32", "-o", str(tmp_path / "bundle")]
    for command in (["robustness", str(mine)], ["household", str(mine)], ["export", str(mine), *out]):
        assert main(command) == 1
        assert "give its path with --data or --corpus, as voices=FOLDER" in capsys.readouterr().err
        assert main([*command, "--data", f"others={moved}"]) == 1
        assert "--data names 'others', but the run in" in capsys.readouterr().err
        assert main([*command, "--data", f"voices={moved}"]) == 0
    assert (mine / "config.yaml").read_text(encoding="utf-8") == before


def test_a_run_finds_its_data_from_wherever_it_is_asked(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(run.parent)
    here = small(Path("voices"))
    open_run(here, {}, tmp_path / "run")
    assert read_config(tmp_path / "run") == small(run.parent / "voices")
    check_run(here, tmp_path / "run")


@pytest.mark.parametrize("measure", [measure_robustness, measure_household])
def test_nobody_is_judged_by_a_model_that_may_have_met_them(
    run: Path, tmp_path: Path, measure: Callable[..., object]
) -> None:
    mine = shutil.copytree(run, tmp_path / "run")
    data = shutil.copytree(run.parent / "voices", tmp_path / "voices")
    shutil.copy(data / "0-happy-0.wav", data / "more.wav")
    settings = (mine / "config.yaml").read_text(encoding="utf-8")
    with (data / "manifest.tsv").open("a", encoding="utf-8") as table:
        table.write("more.wav\thappy\tsomebody\n")
    more = settings.replace(str(run.parent / "voices"), str(data))
    (mine / "config.yaml").write_text(more, encoding="utf-8")
    with pytest.raises(SettingsError, match="other items of voices than there are now: restore them, or train anew in"):
        measure(mine, log=lambda _text: None)
    (mine / "origin.json").unlink()  # as in a run of an earlier version
    (mine / "config.yaml").write_text(settings.replace("seed: 1", "seed: 3"), encoding="utf-8")
    with pytest.raises(SettingsError, match=r"other folds than when .*fold\d was trained, .* restore the data"):
        measure(mine, log=lambda _text: None)
    (mine / "fold0" / "fold.json").unlink()
    with pytest.raises(SettingsError, match=r"fold0.fold\.json is gone, .* train the run again"):
        measure(mine, log=lambda _text: None)


def changed(name: str, sample: Sample) -> Sample:
    modality = "speech" if sample.speech is not None else "text" if sample.text is not None else "mocap"
    return CONDITIONS[modality][name](sample, np.random.default_rng(0), RATE_HZ)


@pytest.fixture(scope="module")
def voice() -> Sample:
    """Three seconds of a broad harmonic sound."""
    time_s = np.arange(3 * SAMPLE_RATE) / SAMPLE_RATE
    wave = sum(np.sin(2 * np.pi * 200 * part * time_s) for part in range(1, 36)) / 200
    return Sample(0, speech=to_int16(np.asarray(wave)))


def heard(sample: Sample) -> np.ndarray:
    assert sample.speech is not None
    return to_float(sample.speech)


@pytest.mark.parametrize(("name", "snr_db"), [("noise, 20 dB", 20), ("noise, 0 dB", 0), ("a motor, 10 dB", 10)])
def test_noise_is_as_loud_as_said(voice: Sample, name: str, snr_db: float) -> None:
    noise = heard(changed(name, voice)) - heard(voice)
    assert level_db(heard(voice)) - level_db(noise) == pytest.approx(snr_db, abs=0.1)


def test_parts_levels_and_bands_are_as_said(voice: Sample) -> None:
    assert len(heard(changed("first 1 s", voice))) == SAMPLE_RATE
    assert level_db(heard(changed("20 dB quieter", voice))) == pytest.approx(level_db(heard(voice)) - 20, abs=0.1)
    power = np.abs(np.fft.rfft(heard(changed("telephone", voice)))) ** 2
    before = np.abs(np.fft.rfft(heard(voice))) ** 2
    hz = np.fft.rfftfreq(3 * SAMPLE_RATE, 1 / SAMPLE_RATE)
    assert power[hz > 4000].sum() < 1e-3 * before[hz > 4000].sum()
    assert power[(hz > 400) & (hz < 3300)].sum() == pytest.approx(before[(hz > 400) & (hz < 3300)].sum(), rel=0.01)


def test_words_are_lost_but_never_all() -> None:
    text = Sample(0, text="Well, I AM glad!")
    assert changed("no capitals, no punctuation", text).text == "well i am glad"
    long = dataclasses.replace(text, text=" ".join(["word"] * 1000))
    assert len((changed("20% of the words lost", long).text or "").split()) == pytest.approx(800, abs=50)
    assert changed("40% of the words lost", dataclasses.replace(text, text="glad")).text == "glad"


def test_bodies_are_half_seen_and_seldom_seen() -> None:
    rng = np.random.default_rng(0)
    body = Sample(0, positions=rng.normal(size=(61, 15, 3)).astype(np.float32), seen=np.ones((61, 15), bool))
    assert body.positions is not None
    half = changed("upper body", body)
    assert half.positions is not None
    assert half.seen is not None
    assert (half.seen.sum(1) == 15 - 4).all()
    assert (half.positions[~half.seen] == 0).all()
    desk = changed("above the hips", body)
    assert desk.seen is not None
    assert (desk.seen.sum(1) == 15 - 7).all()
    slow = changed("5 Hz", body)
    assert slow.positions is not None
    np.testing.assert_allclose(slow.positions[::6], body.positions[::6], atol=1e-6)
    np.testing.assert_allclose(slow.positions[3], (body.positions[0] + body.positions[6]) / 2, atol=1e-6)


def test_the_clips_of_a_household_are_learned_from_and_not_judged(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    assert main(["household", str(copy), "--clips", "4"]) == 0
    assert "voices" in capsys.readouterr().out
    found = FinishedRun.read(copy).household
    assert found is not None
    tested = len(set(FinishedRun.read(copy).rows().person))
    assert (found["voices"]["people"], found["voices"]["clips"]) == (tested, 4)
    assert found["voices"]["gain"][0] == pytest.approx(found["voices"]["after"] - found["voices"]["before"], abs=2e-4)
    export_bundle([copy], tmp_path / "bundle", int8=False, log=lambda _text: None)
    assert f"| speech | voices | {tested} | 4 |" in (tmp_path / "bundle" / "MODEL_CARD.md").read_text(encoding="utf-8")
    with pytest.raises(SettingsError, match="has clips enough to learn 2 of"):
        measure_household(copy, clips=2, log=lambda _text: None)


def test_a_household_is_learned_as_the_fold_was(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the encoders of the same fold, and from voices that are changed before training where it says so."""
    mine, found = shutil.copytree(run, tmp_path / "run"), set()

    def note(config: ExperimentConfig, *, folder: Path, train: list[Sample], **_settings: object) -> tuple[Any, None]:
        found.add((folder.name, *{len(sample.spectra) for sample in train}))
        return restore(config, mine / folder.name / "best.safetensors"), None

    monkeypatch.setattr(household, "fit", note)
    settings = (mine / "config.yaml").read_text(encoding="utf-8")
    (mine / "config.yaml").write_text(settings.replace("variants: 0", "variants: 1"), encoding="utf-8")
    measure_household(mine, clips=4, log=lambda _text: None)
    assert found == {("fold0", 2), ("fold1", 2)}


def test_one_person_gives_no_interval() -> None:
    found = household._summarise([("a", 4, 0.5, 0.75)])
    assert found["gain"] == [0.25, None, None]
    several = household._summarise([("a", 4, 0.5, 0.75), ("b", 4, 0.5, 0.5)])
    assert several["gain"] == [0.125, 0.0, 0.25]


@pytest.mark.parametrize("clips", [4, 20, 1000])
def test_of_every_class_as_many_are_learned_and_at_most_half(clips: int) -> None:
    counts = {"angry": 1, "happy": 3, "sad": 8, "neutral": 90}
    items = [Item("", "", label, "p", "", "", Item.load) for label, count in counts.items() for _ in range(count)]
    learned = [items[index].label for index in choose_clips(items, range(len(items)), clips, seed=0)]
    assert {label: learned.count(label) for label in counts} == {
        label: min(count // 2, clips // 4) for label, count in counts.items()
    }


def test_a_body_above_the_hips_is_what_the_robot_makes_of_one_that_is_seen_so() -> None:
    """In training as on the robot: without hips a body is centred by its neck, which then stands still."""
    stamps_ns = np.arange(60) * NS_PER_S // 15
    steps = 0.05 * np.random.default_rng(0).normal(size=(60, 15, 3)).cumsum(0)
    hips = [index for index, joint in enumerate(JOINTS) if joint == "pelvis" or joint.endswith("hip")]
    steps[:, hips] = steps[:, hips[:1]] * (1, 1, 0)  # the pelvis sways, and its sides with it
    across = [index for index, joint in enumerate(JOINTS) if joint.endswith("shoulder")]
    steps[:, across] = steps[:, [JOINTS.index("neck")]] * (1, 1, 0)  # so that nobody turns or grows
    joints = (pose_of("canonical15") + 0.2 * steps).astype(np.float32)
    joints[:, across] = joints[:, across].mean((0, 1)) * (1, 0, 1) + np.array([[0, 0.2, 0], [0, -0.2, 0]], np.float32)
    half = np.ones((60, 15), np.float32)
    half[:, hips + LEGS] = 0
    motions = []
    for confidence in (np.ones((60, 15), np.float32), half):
        body = SkeletonSequence(stamps_ns, joints, confidence, "canonical15")
        motions.append(canonicalise(body, rate_hz=15.0, window_s=4.0, end_ns=int(stamps_ns[-1])))
    whole, robot = motions
    positions, seen = above_the_hips(whole.positions, whole.mask)
    np.testing.assert_array_equal(seen, robot.mask)
    np.testing.assert_allclose(positions, robot.positions, atol=0.02)
    neck = positions[:, JOINTS.index("neck")]
    assert np.ptp(neck, axis=0).max() < 1e-5 < np.ptp(whole.positions[:, JOINTS.index("neck")], axis=0).max()
