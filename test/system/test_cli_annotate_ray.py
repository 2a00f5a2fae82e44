"""An archive on a Ray cluster: the same table as of processes, on a cluster of this machine that is really there."""

from __future__ import annotations

import csv
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from clips import demo_sentences
from fakes_bundle import write_tiny_bundle
from pages import by_class, parse

from mser_ros.cli.main import main


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bundle(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive")
    silence = np.zeros(16000, np.int16)
    sentence = np.concatenate([silence, demo_sentences()[0][0], silence])
    (folder / "deep").mkdir()
    soundfile.write(folder / "one.wav", sentence, 16000)
    soundfile.write(folder / "deep" / "two.flac", np.tile(sentence, 2), 16000)
    (folder / "broken.wav").write_text("no sound")
    return folder


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a cluster of two processes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
        reason = "Ray is missing: call 'make setup-dev', or there is none for this machine"
        ray = pytest.importorskip("ray", reason=reason)
        context = ray.init("local", num_cpus=2, include_dashboard=False)
        yield context.address_info["gcs_address"]
        ray.shutdown()


def table(out: Path, archive: Path) -> dict[str, dict[str, str]]:
    with (out / "results.csv").open(encoding="utf-8-sig", newline="") as stream:
        return {str(Path(row["recording"]).relative_to(archive)): row for row in csv.DictReader(stream)}


def annotate(archive: Path, bundle: Path, out: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [str(archive), "-o", str(out), "--bundle", str(bundle), "--asr", "none", "--html", *more]
    call = [sys.executable, "-m", "mser_ros.cli.main", "annotate", *command]
    return subprocess.run(call, capture_output=True, text=True, timeout=300, env=dict(os.environ), check=False)


def test_a_cluster_gives_the_table_that_processes_give_and_goes_on_where_it_was(
    cluster: str, archive: Path, bundle: Path, tmp_path: Path
) -> None:
    done = annotate(archive, bundle, tmp_path / "ray", "--ray", cluster)
    assert done.returncode == 0, done.stderr
    assert "3 recordings, 1 of them without a result, 3 utterances" in done.stdout
    own = ["annotate", str(archive), "-o", str(tmp_path / "own"), "--bundle", str(bundle), "--asr", "none", "--html"]
    assert main(own) == 0
    found, expected = table(tmp_path / "ray", archive), table(tmp_path / "own", archive)
    assert list(found) == list(expected) == ["broken.wav", "deep/two.flac", "one.wav"]
    for name, row in found.items():
        assert row | {"took_s": ""} == expected[name] | {"took_s": ""}
    assert "is text and no sound" in found["broken.wav"]["reason"]
    lines = (tmp_path / folder / "deep" / "two.flac" / "emotions.jsonl" for folder in ("ray", "own"))
    first, second = (path.read_text() for path in lines)
    assert first == second
    links = [link.get("href") or "" for link in parse(tmp_path / "ray" / "index.html").iter("a")][1:]
    assert links == ["deep/two.flac/report.html", "one.wav/report.html"]
    assert all(by_class(parse(tmp_path / "ray" / link), "play") for link in links), "sound and all"

    # What an interrupted call has done stays; what is new, or had not been begun, is done.
    rows = (tmp_path / "ray" / "results.csv").read_text().splitlines(keepends=True)
    (tmp_path / "ray" / "results.csv").write_text("".join(row for row in rows if "one.wav" not in row))
    again = annotate(archive, bundle, tmp_path / "ray", "--resume", "--ray", cluster)
    assert again.returncode == 0, again.stderr
    resumed = table(tmp_path / "ray", archive)
    assert resumed["deep/two.flac"] == found["deep/two.flac"], "to the second that it took"
    assert resumed["one.wav"]["utterances"] == "1"


def test_a_task_that_raises_or_dies_costs_no_other(cluster: str) -> None:
    from mser_ros.cli.cluster import share_on_ray

    def odd_work(number: int) -> int:
        if number == 2:
            return 1 // 0
        if number == 3:
            os._exit(1)
        return 10 * number

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mser_ros.cli.cluster._connected", lambda address, workers: sys.modules["ray"])
        patch.setattr("ray.shutdown", lambda: None)
        found = dict(share_on_ray(odd_work, {"well": (1,), "raises": (2,), "dies": (3,)}, address="", workers=None))
    assert found["well"] == 10
    assert isinstance(found["raises"], ZeroDivisionError)
    assert found["dies"] is None


def test_an_address_without_a_cluster_is_one_sentence(
    archive: Path, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["annotate", "-o", str(tmp_path / "out"), "--bundle", str(bundle), "--asr", "none"]
    assert main([*command, str(archive / "one.wav"), "--ray", str(archive)]) == 1
    assert "put --ray behind the recordings" in capsys.readouterr().err
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    assert main([*command, str(archive), "--ray", address]) == 1
    assert f"nothing answers at {address}" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main([*command, str(archive), "--ray"]) == 1
    assert "Ray is not installed: pip install 'mser_ros[ray]', or use --workers" in capsys.readouterr().err
