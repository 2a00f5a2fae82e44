"""Which recogniser the settings mean, and why."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest

from mser_ros.asr import registry, vosk
from mser_ros.asr.registry import choose, create_transcriber
from mser_ros.asr.transcriber import NullTranscriber
from mser_ros.errors import DependencyError, ModelError, MserError, TranscriberError
from mser_ros.settings import AsrSettings, SpeechSettings
from mser_ros.settings.schema import build
from mser_ros.stages.speech import SpeechStage


@pytest.fixture(autouse=True)
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty store."""
    monkeypatch.setenv("MSER_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


@pytest.fixture
def lacking(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Make packages look as if they were not installed."""

    def lack(*names: str) -> None:
        monkeypatch.setattr(
            registry, "find_spec", lambda name: None if name in names else importlib.util.find_spec(name)
        )

    return lack


@pytest.fixture
def with_whisper(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the model were there."""
    monkeypatch.setattr("mser_ros.model_store.store.ModelStore.find", lambda store, name: models / name)


def folder(path: Path, *files: str) -> str:
    for name in files:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).touch()
    return str(path)


@pytest.mark.parametrize(
    ("files", "backend"),
    [
        (("am/final.mdl", "graph/HCLr.fst"), "vosk"),
        (("final.mdl",), "vosk"),
        (("model.bin", "config.json"), "whisper"),
        (("en-us/mdef", "words.dict"), "pocketsphinx"),
        (("mdef",), "pocketsphinx"),
    ],
)
def test_a_named_model_decides(tmp_path: Path, files: tuple[str, ...], backend: str) -> None:
    path = folder(tmp_path / "own", *files)
    choice = choose(AsrSettings(model_path=path))
    assert (choice.backend, choice.model_path) == (backend, path)
    assert f"{path} is a" in str(choice)


@pytest.mark.parametrize("name", ["nowhere", "empty"])
def test_a_folder_that_is_no_model_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(TranscriberError, match=r"set asr\.model_path to the folder of a model"):
        choose(AsrSettings(model_path=str(tmp_path / name)))


@pytest.mark.usefixtures("with_whisper")
def test_whisper_is_taken_where_its_model_is(models: Path, lacking: Callable[..., None]) -> None:
    lacking()
    choice = choose(AsrSettings())
    assert (choice.backend, choice.model_path) == ("whisper", str(models / "whisper-base"))
    assert "whisper-base is here" in choice.reason


def test_without_its_model_it_is_pocketsphinx_and_the_command_is_told(lacking: Callable[..., None]) -> None:
    lacking()
    choice = choose(AsrSettings())
    assert (choice.backend, choice.model_path) == ("pocketsphinx", "")
    assert "mser models get whisper-base" in choice.reason


@pytest.mark.usefixtures("with_whisper")
def test_without_ctranslate2_it_is_pocketsphinx(lacking: Callable[..., None]) -> None:
    lacking("ctranslate2")
    assert str(choose(AsrSettings())) == "pocketsphinx: ctranslate2 is not installed (pip install ctranslate2)"


def test_with_nothing_installed_the_cure_is_named(lacking: Callable[..., None]) -> None:
    lacking("ctranslate2", "pocketsphinx")
    with pytest.raises(DependencyError, match=r"mser models get whisper-base.* or set asr\.backend to 'none'"):
        choose(AsrSettings())


@pytest.mark.parametrize(
    "settings", [AsrSettings(language="pl"), AsrSettings(language="auto"), AsrSettings(translate=True)]
)
def test_pocketsphinx_is_no_substitute_for_other_languages(settings: AsrSettings, lacking: Callable[..., None]) -> None:
    lacking()
    with pytest.raises(TranscriberError, match="pocketsphinx understands English alone"):
        choose(settings)


def test_whisper_that_was_asked_for_and_has_no_model_is_refused() -> None:
    with pytest.raises(ModelError, match=r"is not in .*: call 'mser models get whisper-base'"):
        create_transcriber(AsrSettings(backend="whisper"))


@pytest.mark.parametrize("backend", ["vosk", "pocketsphinx", "auto"])
@pytest.mark.parametrize(("name", "value"), [("language", "auto"), ("translate", True)])
def test_what_only_whisper_can_is_refused_for_others(tmp_path: Path, backend: str, name: str, value: object) -> None:
    path = folder(tmp_path / "own", "mdef" if backend == "pocketsphinx" else "am/final.mdl")
    with pytest.raises(TranscriberError, match=f"words are read by (vosk|pocketsphinx): set asr.{name} to "):
        create_transcriber(build(AsrSettings, {"backend": backend, "model_path": path, name: value}))


def test_pocketsphinxs_own_model_is_not_taken_for_another_languages() -> None:
    with pytest.raises(TranscriberError, match=r"understands English alone: set asr\.language to 'en'"):
        create_transcriber(AsrSettings(backend="pocketsphinx", language="de"))


@pytest.mark.parametrize(
    ("name", "language", "read"),
    [
        ("vosk-ko", "en", "ko"),
        ("vosk-model-small-de-0.15", "auto", "de"),
        ("vosk-model-en-us-0.22", "en-GB", "en-GB"),
        ("vosk-model-small-cn-0.22", "en", "zh"),
        ("vosk-my-model", "fr", "fr"),
    ],
)
def test_a_vosk_model_reads_the_language_that_its_name_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, language: str, read: str
) -> None:
    """Korean words that pass for English would be judged as such."""
    monkeypatch.setattr(vosk, "VoskTranscriber", lambda path, language, phrases: language)
    path = folder(tmp_path / name, "am/final.mdl")
    assert create_transcriber(AsrSettings(model_path=path, language=language)) == read


def test_a_model_may_lie_in_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    path = folder(tmp_path / "own", "am/final.mdl")
    assert choose(AsrSettings(model_path="~/own")).model_path == path
    assert choose(AsrSettings(backend="vosk", model_path="~/own")).model_path == path


def test_a_stage_tells_who_reads_and_why() -> None:
    stage = SpeechStage(SpeechSettings(asr=AsrSettings(backend="none")))
    assert stage.recogniser == "none: asked for"
    assert SpeechStage(transcriber=NullTranscriber()).recogniser == "NullTranscriber"


def test_every_refusal_is_one_sentence(tmp_path: Path, lacking: Callable[..., None]) -> None:
    lacking("pocketsphinx", "ctranslate2")
    for settings in (AsrSettings(), AsrSettings(language="ko"), AsrSettings(model_path=str(tmp_path))):
        with pytest.raises(MserError) as caught:
            choose(settings)
        assert "\n" not in str(caught.value)
        assert ": " in str(caught.value)


@pytest.mark.parametrize("backend", ["pocketsphinx", "none"])
def test_only_vosk_takes_phrases(backend: str) -> None:
    with pytest.raises(TranscriberError, match=f"read by {backend}: set asr.phrases to '', or asr.backend to 'vosk'"):
        create_transcriber(build(AsrSettings, {"backend": backend, "phrases": "stop; go on"}))
