"""The whole path without ROS: chunks and frames in, estimates out."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from fakes_bundle import write_tiny_bundle
from hypothesis import given, settings
from hypothesis import strategies as st

from mser_ros.errors import AudioError, SkeletonError
from mser_ros.messages.bags import Bag
from mser_ros.messages.conversions import audio_from_msg, skeleton_from_msg
from mser_ros.recognition.bundle import load_bundle
from mser_ros.recognition.graph import Graph
from mser_ros.recognition.recognizer import EmotionRecognizer
from mser_ros.settings import AsrSettings, EmotionSettings, SegmenterSettings, SpeechSettings
from mser_ros.stages.emotion import EmotionStage
from mser_ros.stages.pipeline import EmotionPipeline
from mser_ros.stages.speech import SpeechStage
from mser_ros.testing import FakeTranscriber, FakeVad
from mser_ros.types import (
    NS_PER_S,
    AudioChunk,
    EmotionEstimate,
    EstimateState,
    SkeletonFrame,
    UtteranceEvent,
    UtteranceState,
    to_ns,
)
from mser_ros.types import SAMPLE_RATE as RATE

DEMO = Path(__file__).parents[2] / "demo" / "demo.mcap"
T0 = 1_700_000_000 * NS_PER_S
FINAL, RETRACTED = EstimateState.FINAL, EstimateState.RETRACTED
Data = AudioChunk | SkeletonFrame


@pytest.fixture(scope="module")
def recognizer(tmp_path_factory: pytest.TempPathFactory) -> EmotionRecognizer:
    return EmotionRecognizer(load_bundle(write_tiny_bundle(tmp_path_factory.mktemp("tiny"))))


@lru_cache(maxsize=1)
def recorded() -> tuple[Data, ...]:
    """The demo bag's audio and skeletons in the order in which a robot received them."""
    with Bag(DEMO) as bag:
        return tuple(
            audio_from_msg(message.decode()) if message.topic == "/audio" else skeleton_from_msg(message.decode())
            for message in bag.messages(["/audio", "/skeleton_in"])
        )


def two_sentences() -> tuple[Data, ...]:
    """What lies before the third sentence of the demo bag."""
    end_ns = recorded()[0].stamp_ns + to_ns(9.2)
    return tuple(item for item in recorded() if item.stamp_ns < end_ns)


def run(pipeline: EmotionPipeline, given: tuple[Data, ...] | list[Data]) -> list[EmotionEstimate]:
    said: list[EmotionEstimate] = []
    for item in given:
        said += pipeline.push_audio(item) if isinstance(item, AudioChunk) else pipeline.push_skeleton(item)
    return said + list(pipeline.flush())


def with_real_vad(recognizer: EmotionRecognizer) -> EmotionPipeline:
    """Everything real but the words."""
    speech = SpeechStage(SpeechSettings(), transcriber=FakeTranscriber("happy"))
    return EmotionPipeline(speech, EmotionStage(recognizer))


def with_fakes(recognizer: EmotionRecognizer) -> EmotionPipeline:
    speech = SpeechStage(SpeechSettings(), vad=FakeVad(), transcriber=FakeTranscriber("happy"))
    return EmotionPipeline(speech, EmotionStage(recognizer))


def finals(said: list[EmotionEstimate]) -> list[EmotionEstimate]:
    return [estimate for estimate in said if estimate.state is FINAL]


def check_lives(said: list[EmotionEstimate], events: list[UtteranceEvent]) -> None:
    """Every utterance has exactly one last estimate, and nothing follows it."""
    last: Counter[str] = Counter()
    for estimate in said:
        assert last[estimate.utterance_id] == 0
        last[estimate.utterance_id] += estimate.state in (FINAL, RETRACTED)
    assert last == Counter({event.utterance_id for event in events})
    cancelled = {event.utterance_id for event in events if event.state is UtteranceState.CANCELLED}
    assert cancelled == {estimate.utterance_id for estimate in said if estimate.state is RETRACTED}


def assert_same(one: list[EmotionEstimate], other: list[EmotionEstimate], *, atol: float = 0.0) -> None:
    assert [item.utterance_id for item in one] == [item.utterance_id for item in other]
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a.probabilities, b.probabilities, atol=atol)
        assert (a.speech_start_ns, a.speech_end_ns, a.transcript) == (b.speech_start_ns, b.speech_end_ns, b.transcript)
        assert [item.available for item in a.evidence] == [item.available for item in b.evidence]


@pytest.fixture(scope="module")
def of_the_demo(recognizer: EmotionRecognizer) -> tuple[list[EmotionEstimate], list[UtteranceEvent]]:
    pipeline = with_real_vad(recognizer)
    events: list[UtteranceEvent] = []
    pipeline.on_event = events.append
    return run(pipeline, recorded()), events


@pytest.fixture(scope="module")
def of_two_sentences(recognizer: EmotionRecognizer) -> list[EmotionEstimate]:
    """The final estimates."""
    found = finals(run(with_real_vad(recognizer), two_sentences()))
    assert len(found) == 2
    return found


def test_a_recorded_person_is_heard_read_and_seen(
    of_the_demo: tuple[list[EmotionEstimate], list[UtteranceEvent]],
) -> None:
    said, events = of_the_demo
    check_lives(said, events)
    last = finals(said)
    assert 5 <= len(last) <= 7, "five sentences, some with a pause in them"
    for estimate in last:
        assert [item.available for item in estimate.evidence] == [True, True, True]
        assert estimate.transcript.startswith("happy")
        assert estimate.speech_end_ns - estimate.speech_start_ns > to_ns(0.5)
        assert estimate.body_id
    assert any(estimate.state is EstimateState.PROVISIONAL for estimate in said)


def test_the_noise_of_a_fan_is_no_speech(of_the_demo: tuple[list[EmotionEstimate], list[UtteranceEvent]]) -> None:
    # The fan runs alone between the second and the third sentence.
    spans = [(item.speech_start_ns, item.speech_end_ns) for item in finals(of_the_demo[0])]
    gaps = [(after[0] - before[1]) / NS_PER_S for before, after in pairwise(spans)]
    assert gaps[1] > 1.5


def test_the_end_of_the_bag_leaves_nothing_open(
    of_the_demo: tuple[list[EmotionEstimate], list[UtteranceEvent]],
) -> None:
    assert {event.utterance_id for event in of_the_demo[1]} == {
        estimate.utterance_id for estimate in of_the_demo[0] if estimate.state in (FINAL, RETRACTED)
    }


@pytest.mark.parametrize("order", ["by stamp", "skeletons first", "late skeletons"])
def test_the_order_of_arrival_does_not_change_the_final_estimates(
    recognizer: EmotionRecognizer, of_two_sentences: list[EmotionEstimate], order: str
) -> None:
    keys = {
        "by stamp": lambda item: item.stamp_ns,
        "skeletons first": lambda item: (isinstance(item, AudioChunk), item.stamp_ns),
        # Later than the silence that ends an utterance, but within the time that is waited for them.
        "late skeletons": lambda item: item.stamp_ns + to_ns(0.6) * isinstance(item, SkeletonFrame),
    }
    given = sorted(two_sentences(), key=keys[order])
    assert_same(finals(run(with_real_vad(recognizer), given)), of_two_sentences)


def test_the_size_of_the_blocks_does_not_change_the_final_estimates(
    recognizer: EmotionRecognizer, of_two_sentences: list[EmotionEstimate]
) -> None:
    halves: list[Data] = []
    for item in two_sentences():
        if isinstance(item, AudioChunk):
            for first in (0, 300):
                part = item.samples[first : 300 if first == 0 else None]
                stamp_ns = item.stamp_ns + first * NS_PER_S // RATE
                halves.append(replace(item, samples=part, stamp_ns=stamp_ns, first_sample=item.first_sample + first))
        else:
            halves.append(item)
    assert_same(finals(run(with_real_vad(recognizer), halves)), of_two_sentences)


@pytest.mark.parametrize("counts", [True, False])
@pytest.mark.parametrize("most_s", [0.0, 0.15, 0.3])
def test_audio_without_stamps_gives_the_same_final_estimates_however_late_it_comes(
    recognizer: EmotionRecognizer,
    of_two_sentences: list[EmotionEstimate],
    counts: bool,
    most_s: float,
) -> None:
    rng = np.random.default_rng(3)
    pipeline = with_real_vad(recognizer)
    said: list[EmotionEstimate] = []
    for item in two_sentences():
        if isinstance(item, AudioChunk):
            unstamped = replace(item, stamp_ns=0, first_sample=item.first_sample * counts)
            said += pipeline.push_audio(unstamped, item.end_ns + to_ns(rng.uniform(0, most_s)))
        else:
            said += pipeline.push_skeleton(item)
    said += pipeline.flush()
    got, expected = finals(said), of_two_sentences
    if most_s == 0.0:
        assert_same(got, expected)
    assert [(item.label, item.transcript) for item in got] == [(item.label, item.transcript) for item in expected]
    for one, other in zip(got, expected, strict=True):
        assert [item.available for item in one.evidence] == [item.available for item in other.evidence]
        assert 0 <= one.speech_start_ns - other.speech_start_ns <= to_ns(most_s)
        assert 0 <= one.speech_end_ns - other.speech_end_ns <= to_ns(most_s)


def test_what_is_heard_can_be_watched(recognizer: EmotionRecognizer) -> None:
    pipeline = with_fakes(recognizer)
    heard: list[AudioChunk] = []
    pipeline.on_audio = heard.append
    run(pipeline, [block(5000, 0.3, T0, rate=48_000, channels=2)])
    assert {(chunk.sample_rate, chunk.channels) for chunk in heard} == {(RATE, 1)}
    assert sum(chunk.frames for chunk in heard) == round(0.3 * RATE)


def test_without_a_body_voice_and_words_remain(recognizer: EmotionRecognizer) -> None:
    given = [item for item in recorded() if isinstance(item, AudioChunk)][:80]
    said = finals(run(with_real_vad(recognizer), given))
    assert said
    assert all([item.available for item in estimate.evidence] == [True, True, False] for estimate in said)


def test_a_body_alone_is_judged_now_and_then(recognizer: EmotionRecognizer) -> None:
    given = [item for item in recorded() if isinstance(item, SkeletonFrame)]
    said = run(with_real_vad(recognizer), given)
    assert {estimate.state for estimate in said} == {EstimateState.CONTINUOUS}
    times_s = np.diff([estimate.stamp_ns / NS_PER_S for estimate in said])
    assert len(said) >= 3
    np.testing.assert_allclose(times_s, EmotionSettings().continuous_period_s)


def test_an_empty_input_gives_nothing(recognizer: EmotionRecognizer) -> None:
    assert run(with_fakes(recognizer), []) == []


def test_a_pipeline_from_settings_uses_the_recogniser_of_words_that_they_name(recognizer: EmotionRecognizer) -> None:
    speech = SpeechSettings(asr=AsrSettings(backend="none"))
    pipeline = EmotionPipeline.create(recognizer, speech=speech)
    said = finals(run(pipeline, recorded()[:250]))
    assert said
    assert all(estimate.transcript == "" for estimate in said)


def test_input_that_is_refused_takes_nothing_away(
    recognizer: EmotionRecognizer, of_two_sentences: list[EmotionEstimate]
) -> None:
    pipeline = with_real_vad(recognizer)
    said: list[EmotionEstimate] = []
    refused = 0
    for number, item in enumerate(two_sentences()):
        if number % 25 == 12:
            if isinstance(item, AudioChunk):
                with pytest.raises(AudioError):
                    said += pipeline.push_audio(replace(item, sample_rate=3))
            else:
                with pytest.raises(SkeletonError):
                    said += pipeline.push_skeleton(replace(item, positions=item.positions[:3]))
            refused += 1
        said += pipeline.push_audio(item) if isinstance(item, AudioChunk) else pipeline.push_skeleton(item)
    said += pipeline.flush()
    assert refused > 10
    assert_same(finals(said), of_two_sentences)


def block(
    level: int, seconds: float, start_ns: int, *, rate: int = RATE, channels: int = 1, voice: str = "v"
) -> AudioChunk:
    return AudioChunk(np.full((round(seconds * rate), channels), level, np.int16), rate, start_ns, 0, voice)


@settings(max_examples=60)
@given(st.data())
def test_whatever_a_microphone_does_every_utterance_gets_one_last_word(
    recognizer: EmotionRecognizer, data: st.DataObject
) -> None:
    pipeline = with_fakes(recognizer)
    events: list[UtteranceEvent] = []
    pipeline.on_event = events.append
    said: list[EmotionEstimate] = []
    now_ns = T0
    for number in range(data.draw(st.integers(1, 12))):
        level = data.draw(st.sampled_from([0, 20, 5000, 32767]))
        seconds = data.draw(st.sampled_from([0.0, 0.01, 0.064, 0.3, 0.8, 1.5, 20.0]))
        rate = data.draw(st.sampled_from([RATE, RATE, RATE, 8000, 48000]))
        # Lost for long, lost for a moment, repeated, set back by minutes, or just going on.
        now_ns += to_ns(data.draw(st.sampled_from([0, 0, 0, 0, 5.0, 0.05, -0.05, -300.0])))
        chunk = block(level, seconds, now_ns, rate=rate, channels=1 + number % 2, voice=f"v{number % 2}")
        with suppress(AudioError):  # another voice at the same time
            said += pipeline.push_audio(chunk)
        now_ns = chunk.end_ns
    said += pipeline.flush()
    check_lives(said, events)
    for estimate in said:
        assert np.all(np.isfinite(estimate.probabilities))
        assert estimate.speech_start_ns <= estimate.speech_end_ns


# -- reading ahead


def pauses(voices: int, pause_s: float, level: int = 5000) -> list[Data]:
    """Somebody who speaks for a second, so many times, with pauses in between and silence at the end."""
    samples = np.concatenate([np.zeros(RATE, np.int16)])
    for _ in range(voices):
        samples = np.concatenate([samples, np.full(RATE, level, np.int16), np.zeros(round(pause_s * RATE), np.int16)])
    samples = np.concatenate([samples, np.zeros(RATE, np.int16)])
    return [
        AudioChunk(samples[first : first + 320, None], RATE, T0 + first * NS_PER_S // RATE, first, "v")
        for first in range(0, len(samples), 320)
    ]


def ahead(recognizer: EmotionRecognizer) -> tuple[EmotionPipeline, FakeTranscriber, list[UtteranceEvent]]:
    transcriber = FakeTranscriber("happy", reads_ahead=True)
    speech = SpeechStage(SpeechSettings(), vad=FakeVad(), transcriber=transcriber)
    pipeline = EmotionPipeline(speech, EmotionStage(recognizer))
    events: list[UtteranceEvent] = []
    pipeline.on_event = events.append
    return pipeline, transcriber, events


def states(events: list[UtteranceEvent]) -> list[str]:
    return [event.state.name for event in events if event.state is not UtteranceState.PARTIAL]


def test_what_was_read_in_the_last_pause_is_the_final_text_at_once(recognizer: EmotionRecognizer) -> None:
    pipeline, transcriber, events = ahead(recognizer)
    (final,) = finals(run(pipeline, pauses(1, 0.0)))
    assert states(events) == ["STARTED", "PAUSED", "PAUSED", "ENDED"]
    told = next(event for event in reversed(events) if event.state is UtteranceState.PAUSED)
    ended = events[-1]
    assert not told.transcript.is_final
    assert ended.transcript == replace(told.transcript, is_final=True)
    assert ended.end_ns == told.end_ns
    assert transcriber.read == 1
    assert final.transcript == ended.transcript.text


def test_a_pause_after_which_the_voice_goes_on_changes_nothing(recognizer: EmotionRecognizer) -> None:
    pipeline, transcriber, events = ahead(recognizer)
    given = pauses(2, 0.3)
    (final,) = finals(run(pipeline, given))
    assert states(events) == ["STARTED", *["PAUSED"] * 4, "ENDED"]
    assert transcriber.read == 2
    never = EmotionPipeline(
        SpeechStage(
            SpeechSettings(segmenter=SegmenterSettings(pause_s=0.0)),
            vad=FakeVad(),
            transcriber=FakeTranscriber("happy", reads_ahead=True),
        ),
        EmotionStage(recognizer),
    )
    assert_same([final], finals(run(never, given)))


def test_the_estimate_is_worked_out_in_the_pause(
    recognizer: EmotionRecognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the pause has lasted, no network runs any more."""
    pipeline, _, events = ahead(recognizer)
    runs: list[list[str]] = []
    call = Graph.__call__

    def counted(graph: Graph, **inputs: np.ndarray) -> object:
        runs.append(states(events))
        return call(graph, **inputs)

    monkeypatch.setattr(Graph, "__call__", counted)
    assert finals(run(pipeline, pauses(1, 0.0, level=6000)))
    assert runs
    assert all("ENDED" not in so_far for so_far in runs)


def test_a_reading_ahead_that_fails_costs_nothing(
    recognizer: EmotionRecognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise ValueError("injected")

    pipeline, _, _ = ahead(recognizer)
    expected = finals(run(pipeline, pauses(1, 0.0)))
    pipeline, _, _ = ahead(recognizer)
    monkeypatch.setattr(recognizer, "read_ahead", fail)
    assert_same(finals(run(pipeline, pauses(1, 0.0))), expected)
