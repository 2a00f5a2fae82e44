"""A run on the pseudo-multimodal corpus is marked as synthetic from its terminal to its bundle."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from fakes_corpora import write_pseudo

from mser_ros.cli.main import main


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synthetic")
    tree = {
        "corpora": [{"name": "pseudo", "path": str(write_pseudo(folder / "data")), "options": {"folds": 4}}],
        "folds": {"scheme": "group"},
        "threads": 1,
        "model": {"streams": {"mocap": {"kind": "motion", "width": 8}}, "hidden": 8},
        "optimiser": {"epochs": 1, "batch": 8, "precision": "fp32"},
    }
    (folder / "small.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def told(root: Path) -> str:
    from click.testing import CliRunner

    from mser_ros.cli.train import train

    done = CliRunner().invoke(train, [str(root / "small.yaml"), "--run", str(root / "run")], catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


def test_the_terminal_and_the_summary_say_so(told: str, root: Path) -> None:
    assert "items, SYNTHETIC" in told
    assert json.loads((root / "run" / "summary.json").read_text())["synthetic"] == ["pseudo:4"]


def test_a_run_knows_the_people_of_every_source(told: str, root: Path) -> None:
    corpora = json.loads((root / "run" / "corpora.json").read_text())
    assert set(corpora) == {"pseudo", "ravdess", "goemotions", "egait"}
    assert [name for name, entry in corpora.items() if entry["synthetic"]] == ["pseudo"]
    assert all(corpora[name]["people"] for name in ("ravdess", "goemotions", "egait"))


def test_the_report_marks_every_figure(told: str, root: Path) -> None:
    page = root / "page.md"
    assert main(["report", str(root / "run"), "-o", str(page), "--resamples", "100"]) == 0
    text = page.read_text(encoding="utf-8")
    assert "**Synthetic data" in text
    (row,) = (line for line in text.splitlines() if "| `run` |" in line and line.count("|") == 9)
    assert row.count("]\\*") == 2
    assert "(synthetic)" in text


def test_a_bundle_that_knows_the_sources_warns_on_their_corpora(
    told: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(root / "run"), "-o", str(root / "bundle")]) == 0
    assert "SYNTHETIC" in (root / "bundle" / "MODEL_CARD.md").read_text(encoding="utf-8")
    capsys.readouterr()
    corpus = f"egait={root / 'data' / 'egait'}"
    command = ["evaluate", "--bundle", str(root / "bundle"), "--corpus", corpus, "--modalities", "mocap"]
    assert main([*command, "--resamples", "100"]) == 0
    told_now = capsys.readouterr()
    assert "was trained on 5 people of this corpus" in told_now.err


def test_the_page_in_the_repository_holds_both_papers_and_all_its_pictures() -> None:
    page = Path(__file__).parents[2] / "docs" / "pseudo_multimodal.md"
    text = page.read_text(encoding="utf-8")
    rows = {cells[4].strip(" `"): cells for line in text.splitlines() if len(cells := line.split("|")) == 10}
    names = {"a_speech", "a_text", "a_mocap", "a_fusion", "b_audio", "b_text", "b_fusion", "ours"}
    assert {f"pseudo_{name}" for name in names} <= set(rows)
    assert all(cells[6].strip().endswith("\\*") for name, cells in rows.items() if name.startswith("pseudo_"))
    pictures = re.findall(r"!\[[^]]*\]\(([^)]+)\)", text)
    assert len(pictures) == 11
    assert all((page.parent / picture).is_file() for picture in pictures)
