"""Values become messages and come back as they were, with ROS and without; messages that make no sense are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from enum import IntEnum
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mser_ros.errors import AudioError, MserError, RequestError, SkeletonError
from mser_ros.labels import LABELS
from mser_ros.messages import conversions
from mser_ros.messages.bag_writer import build_message
from mser_ros.messages.bags import message_types
from mser_ros.messages.records import emotion_record
from mser_ros.resources import interfaces_dir
from mser_ros.types import (
    AbstainReason,
    AudioChunk,
    Condition,
    EmotionEstimate,
    EstimateState,
    Goal,
    ModalityEvidence,
    Outcome,
    PersonState,
    Progress,
    SkeletonFrame,
    StateEvent,
    Transcript,
    UtteranceEvent,
    UtteranceState,
    Word,
)

NESTED = {"Utterance": {"words": "Word"}, "Emotion": {"evidence": "ModalityEvidence"}}

names = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\x00"), max_size=8)
stamps = st.integers(0, 2**31 * 10**9 - 1)
shares = st.floats(0, 1, width=32)
float32s = st.floats(-1e6, 1e6, width=32)


@st.composite
def chunks(draw: st.DrawFn) -> AudioChunk:
    shape = draw(st.tuples(st.integers(0, 20), st.integers(1, 64)))
    return AudioChunk(
        samples=draw(arrays(np.int16, shape)),
        sample_rate=draw(st.integers(8000, 192000)),
        stamp_ns=draw(stamps),
        first_sample=draw(st.integers(0, 2**64 - 1)),
        voice_id=draw(names),
        frame_id=draw(names),
    )


@st.composite
def frames(draw: st.DrawFn) -> SkeletonFrame:
    joints, dimensions = draw(st.integers(1, 20)), draw(st.sampled_from([2, 3]))
    numbers = float32s | st.sampled_from([float("nan"), float("inf")])
    positions = draw(arrays(np.float32, (joints, dimensions), elements=numbers))
    confidence = draw(arrays(np.float32, joints, elements=shares))
    return SkeletonFrame(draw(stamps.filter(bool)), draw(names), draw(names), positions, confidence, draw(names))


transcripts = st.builds(
    Transcript,
    names,
    st.none() | shares,
    st.lists(st.builds(Word, names, stamps, stamps, st.none() | shares), max_size=3).map(tuple),
    st.sampled_from(["", "und", "en", "en-US", "zh-Hans-CN"]),
    st.booleans(),
    names,
)


@st.composite
def events(draw: st.DrawFn) -> UtteranceEvent:
    start_ns, end_ns = sorted((draw(stamps), draw(stamps)))
    state = draw(st.sampled_from(UtteranceState))
    return UtteranceEvent(
        draw(names.filter(bool)),
        state,
        draw(stamps),
        start_ns,
        end_ns,
        draw(transcripts),
        draw(names),
        draw(names),
        draw(shares),
    )


@st.composite
def estimates(draw: st.DrawFn) -> EmotionEstimate:
    posterior = arrays(np.float32, 4, elements=shares)
    reasons = st.sampled_from(AbstainReason)
    evidence = st.builds(ModalityEvidence, names, st.booleans(), shares, st.none() | posterior, shares, shares, reasons)
    return EmotionEstimate(
        stamp_ns=draw(stamps),
        state=draw(st.sampled_from(EstimateState)),
        labels=LABELS,
        probabilities=draw(posterior),
        label=draw(names),
        confidence=draw(shares),
        utterance_id=draw(names),
        speech_start_ns=draw(stamps),
        speech_end_ns=draw(stamps),
        label_set=tuple(draw(st.lists(st.sampled_from(LABELS), max_size=2))),
        valence=draw(float32s),
        evidence=tuple(draw(st.lists(evidence, max_size=3))),
        transcript=draw(names),
        abstain_reason=draw(st.sampled_from(AbstainReason)),
        incongruent=draw(st.booleans()),
        latency_s=draw(float32s),
    )


def of_rosbags(name: str, fields: dict[str, Any]) -> Any:
    """A message of the `rosbags` library, through its bytes."""
    store, kind = message_types(), f"mser_msgs/msg/{name}"
    return store.deserialize_cdr(store.serialize_cdr(build_message(kind, fields), kind), kind)


def of_ros(name: str, fields: dict[str, Any]) -> Any:
    """A message of ROS."""
    messages = pytest.importorskip("mser_msgs.msg", reason="mser_msgs is missing: call 'make setup-dev'")
    nested = {field: getattr(messages, kind) for field, kind in NESTED.get(name, {}).items()}
    return conversions.fill(getattr(messages, name)(), fields, nested)


Build = Callable[[str, dict[str, Any]], Any]
both = pytest.mark.parametrize("build", [of_rosbags, of_ros], ids=["rosbags", "ros"])


def same(one: Any, other: Any) -> bool:
    """Equal in every field; arrays element by element, with NaN equal to NaN."""
    pairs = [(getattr(one, name), getattr(other, name)) for name in one.__dataclass_fields__]
    return all(
        np.array_equal(a, b, equal_nan=a.dtype.kind == "f") if isinstance(a, np.ndarray) else a == b for a, b in pairs
    )


@both
@given(chunk=chunks())
def test_audio_comes_back_as_it_was(build: Build, chunk: AudioChunk) -> None:
    back = conversions.audio_from_msg(build("AudioFrame", conversions.audio_to_fields(chunk)))
    assert same(back, chunk)
    assert back.samples.dtype == np.int16


@both
@given(frame=frames())
def test_skeletons_come_back_as_they_were(build: Build, frame: SkeletonFrame) -> None:
    back = conversions.skeleton_from_msg(build("Skeleton", conversions.skeleton_to_fields(frame)))
    assert same(back, frame)
    assert back.positions.dtype == back.confidence.dtype == np.float32


@both
@given(event=events())
def test_utterances_come_back_as_they_were(build: Build, event: UtteranceEvent) -> None:
    assert conversions.utterance_from_msg(build("Utterance", conversions.utterance_to_fields(event))) == event


@both
@given(estimate=estimates())
def test_emotions_become_messages_with_every_field(build: Build, estimate: EmotionEstimate) -> None:
    fields = conversions.emotion_to_fields(estimate)
    assert conversions.to_fields(build("Emotion", fields)) == fields
    np.testing.assert_array_equal(fields["probabilities"], estimate.probabilities)
    for item, entry in zip(fields["evidence"], estimate.evidence, strict=True):
        assert item["probabilities"] == ([] if entry.probabilities is None else list(entry.probabilities))


@pytest.mark.parametrize("name", ["AudioFrame", "Skeleton", "Utterance", "Emotion", "EmotionState", "EmotionEvent"])
def test_what_is_written_are_the_fields_of_the_message_in_its_order(name: str) -> None:
    example: dict[str, Callable[[], dict[str, Any]]] = {
        "AudioFrame": lambda: conversions.audio_to_fields(AudioChunk(np.zeros((2, 1), np.int16), 16000, 0)),
        "Skeleton": lambda: conversions.skeleton_to_fields(
            SkeletonFrame(0, "", "", np.zeros((1, 3), np.float32), np.ones(1, np.float32))
        ),
        "Utterance": lambda: conversions.utterance_to_fields(
            UtteranceEvent("u", UtteranceState.ENDED, 0, 0, 0, Transcript("", words=(Word("", 0, 0),)))
        ),
        "Emotion": lambda: conversions.emotion_to_fields(
            EmotionEstimate(0, EstimateState.FINAL, (), np.zeros(0), "", 0, evidence=(ModalityEvidence("", False),))
        ),
    }
    even = np.full(4, 0.25, np.float32)
    state = PersonState(0, "", LABELS, even, "sad", 0.5, 0.0, 0.0, 0, even, even, "", 0.0)
    example["EmotionState"] = lambda: conversions.state_to_fields(state)
    example["EmotionEvent"] = lambda: conversions.event_to_fields(
        StateEvent(0, "", Condition("sad", 0.5, 1.0), True, 0)
    )
    types = message_types().fielddefs
    fields = example[name]()
    assert list(fields) == [field for field, _ in types[f"mser_msgs/msg/{name}"][1]]
    for field, kind in NESTED.get(name, {}).items():
        assert list(fields[field][0]) == [inner for inner, _ in types[f"mser_msgs/msg/{kind}"][1]]


@pytest.mark.parametrize(
    ("message", "enumerations"),
    [
        ("msg/Utterance.msg", [UtteranceState]),
        ("msg/Emotion.msg", [EstimateState, AbstainReason]),
        ("action/WaitForEmotion.action", [Outcome]),
    ],
)
def test_the_constants_of_the_messages_are_the_enumerations(message: str, enumerations: list[type[IntEnum]]) -> None:
    constants = {}
    for line in (interfaces_dir().parent / message).read_text().splitlines():
        kind, _, rest = line.partition("#")[0].partition(" ")
        name, equals, value = rest.partition("=")
        if equals:
            assert kind == "uint8"
            constants[name.strip()] = int(value)
    assert constants == {item.name: item.value for enumeration in enumerations for item in enumeration}


def test_every_field_of_every_message_is_documented() -> None:
    paths = [path for kind in ("msg", "srv", "action") for path in interfaces_dir().parent.glob(f"{kind}/*.{kind}")]
    assert len(paths) == 11
    for path in paths:
        for line in path.read_text().splitlines():
            if line and line != "---" and not line.startswith("#"):
                assert line.partition("#")[2].strip(), f"{path.name}: {line}"


def test_goals_come_as_they_were_written_and_results_have_every_field() -> None:
    action = pytest.importorskip(
        "mser_msgs.action", reason="mser_msgs is missing: call 'make setup-dev'"
    ).WaitForEmotion
    goal = Goal(("sad", "angry"), 0.6, 2.5, 20.0, "ann")
    message = action.Goal(labels=["sad", "angry"], confidence=0.6, duration_s=2.5, timeout_s=20.0, person_id="ann")
    assert conversions.goal_from_msg(message) == goal
    nothing = Progress(outcome=Outcome.TIMED_OUT)
    for kind, fields in (
        (action.Feedback, conversions.progress_to_fields(nothing)),
        (action.Result, conversions.outcome_to_fields(nothing)),
    ):
        filled = conversions.fill(kind(), fields)
        assert conversions.to_fields(filled) == fields
        assert list(fields) == list(filled.get_fields_and_field_types())


@pytest.mark.parametrize("field", ["labels", "person_id"])
def test_a_goal_that_would_fill_the_memory_is_refused(field: str) -> None:
    sizes = {"labels": ["sad"] * 300, "person_id": "x" * 300}
    message = SimpleNamespace(**{"labels": ["sad"], "person_id": "", field: sizes[field]})
    with pytest.raises(RequestError, match=f"a goal whose {field} has 300 .* send at most 256"):
        conversions.goal_from_msg(message)


def test_arrays_of_another_type_are_converted_not_reinterpreted() -> None:
    frame = SkeletonFrame(0, "b", "egait16", np.full((16, 3), 1.5), np.full(16, 0.5))
    message = of_ros("Skeleton", conversions.skeleton_to_fields(frame))
    assert list(message.positions) == [1.5] * 48
    assert list(message.confidence) == [0.5] * 16


@given(st.integers(-(2**31) * 10**9, 2**31 * 10**9 - 1))
def test_times_are_exact_to_the_nanosecond_even_before_1970(ns: int) -> None:
    time = conversions.ns_to_time(ns)
    assert 0 <= time["nanosec"] < 10**9
    assert conversions.time_to_ns(SimpleNamespace(**time)) == ns


# -- messages that make no sense


def audio(**changes: Any) -> Any:
    fields = {"sample_rate": 16000, "channels": 2, "samples": np.zeros(8, np.int16), "voice_id": "v"}
    return of_rosbags("AudioFrame", fields | changes)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"channels": 0}, "8 samples in 0 channels: set 'channels'"),
        ({"channels": 3}, "8 samples in 3 channels: set 'channels'"),
        ({"sample_rate": 0}, "sample_rate 0: the source must give its true rate"),
        ({"sample_rate": 4_000_000_000}, "sample_rate 4000000000"),
    ],
)
def test_audio_that_does_not_fit_together_is_refused(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(AudioError, match=why):
        conversions.audio_from_msg(audio(**changes))


def test_a_block_without_samples_is_an_empty_chunk() -> None:
    chunk = conversions.audio_from_msg(audio(samples=np.zeros(0, np.int16)))
    assert (chunk.frames, chunk.channels) == (0, 2)


def skeleton(**changes: Any) -> Any:
    fields = {"dimensions": 3, "positions": np.zeros(6, np.float32), "confidence": np.ones(2, np.float32)}
    return of_rosbags("Skeleton", {"header": {"stamp": {"sec": 1}}} | fields | changes)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"header": {}}, "without a time: the publisher must fill header.stamp"),
        ({"dimensions": 0}, "with 0 dimensions: the publisher must set 'dimensions' to 2 or 3"),
        ({"dimensions": 4}, "with 4 dimensions"),
        ({"positions": np.zeros(0, np.float32)}, "with 0 numbers in 3 dimensions: send 3 for each joint"),
        ({"positions": np.zeros(7, np.float32)}, "with 7 numbers in 3 dimensions"),
        ({"confidence": np.ones(3, np.float32)}, "with 2 joints and 3 confidences: send one per joint, or none"),
    ],
)
def test_a_skeleton_that_does_not_fit_together_is_refused(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(SkeletonError, match=why):
        conversions.skeleton_from_msg(skeleton(**changes))


def test_a_skeleton_without_confidences_is_seen_for_certain() -> None:
    frame = conversions.skeleton_from_msg(skeleton(confidence=np.zeros(0, np.float32)))
    np.testing.assert_array_equal(frame.confidence, [1, 1])


def spoken(**changes: Any) -> Any:
    fields = {"utterance_id": "u", "state": 2, "start": {"sec": 1}, "end": {"sec": 2}, "text_confidence": 0.5}
    return of_rosbags("Utterance", fields | changes)


@pytest.mark.parametrize("changes", [{"state": 5}, {"end": {"sec": 0}}, {"utterance_id": ""}], ids=str)
def test_an_utterance_that_makes_no_sense_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(AudioError, match="give it an id, a known state, and an end that is not before its start"):
        conversions.utterance_from_msg(spoken(**changes))


LONG = "x" * (conversions.MAX_NAME + 1)
TOO_LONG: list[tuple[Callable[[], Any], str]] = [
    (lambda: conversions.audio_from_msg(audio(voice_id=LONG)), "audio whose voice_id has 257 characters"),
    (lambda: conversions.audio_from_msg(audio(header={"frame_id": LONG})), "frame_id has 257 characters"),
    (lambda: conversions.skeleton_from_msg(skeleton(layout="l" * 100_000)), "layout has 100000 characters"),
    (lambda: conversions.skeleton_from_msg(skeleton(body_id=LONG)), "body_id has 257 characters"),
    (
        lambda: conversions.skeleton_from_msg(skeleton(positions=np.zeros(6_003, np.float32))),
        "positions has 6003 entries: send at most 6000",
    ),
    (lambda: conversions.skeleton_from_msg(skeleton(confidence=np.ones(2_001, np.float32))), "confidence has 2001"),
    (lambda: conversions.utterance_from_msg(spoken(utterance_id="u" * 500_000)), "utterance_id has 500000 characters"),
    (lambda: conversions.utterance_from_msg(spoken(voice_id=LONG)), "voice_id has 257 characters"),
    (lambda: conversions.utterance_from_msg(spoken(language=LONG)), "language has 257 characters"),
    (
        lambda: conversions.utterance_from_msg(spoken(text="t" * 10_001)),
        "text has 10001 characters: send at most 10000",
    ),
    (lambda: conversions.utterance_from_msg(spoken(words=[{"text": "a"}] * 1_001)), "words has 1001 entries"),
    (lambda: conversions.utterance_from_msg(spoken(words=[{"text": LONG}])), "a word whose text has 257 characters"),
]


@pytest.mark.parametrize(("read", "why"), TOO_LONG, ids=[why for _, why in TOO_LONG])
def test_what_would_fill_the_memory_or_the_log_is_refused_in_a_short_sentence(
    read: Callable[[], Any], why: str
) -> None:
    with pytest.raises(MserError, match=why) as caught:
        read()
    assert len(str(caught.value)) < 100


def test_the_id_that_the_speech_stage_makes_of_the_longest_voice_id_can_be_read() -> None:
    longest = f"{'v' * conversions.MAX_NAME}-{2**63 // 1_000_000}-{10**9}"
    assert conversions.utterance_from_msg(spoken(utterance_id=longest)).utterance_id == longest


@pytest.mark.parametrize(("sent", "understood"), [(-1.0, None), (float("nan"), None), (0.0, 0.0), (1.0, 1.0)])
def test_a_confidence_that_is_negative_or_no_number_is_none(sent: float, understood: float | None) -> None:
    word = {"text": "a", "confidence": sent}
    event = conversions.utterance_from_msg(spoken(text_confidence=sent, words=[word]))
    assert event.transcript.confidence == understood
    assert event.transcript.words[0].confidence == understood


@pytest.mark.parametrize("sent", [1.01, 2.0, 90.0, float("inf")])
def test_confidences_in_percent_or_levels_are_refused_as_those_of_joints_are(sent: float) -> None:
    for changes in ({"text_confidence": sent}, {"words": [{"text": "a", "confidence": sent}]}):
        with pytest.raises(AudioError, match=r"must lie in 0 to 1.*divide by the recogniser's highest value"):
            conversions.utterance_from_msg(spoken(**changes))


@pytest.mark.parametrize("sent", [-0.1, 1.5, float("nan")])
def test_a_clipped_share_that_is_none_is_refused(sent: float) -> None:
    with pytest.raises(AudioError, match="send a share in 0 to 1"):
        conversions.utterance_from_msg(spoken(clipped=sent))


@pytest.mark.parametrize(
    ("sent", "tag"),
    [("en_US.UTF-8", "en-US"), ("English_United States.1252", "en"), ("eng", "en"), ("german", "de"), ("C", "")],
)
def test_the_language_of_words_is_a_tag_however_its_recogniser_names_it(sent: str, tag: str) -> None:
    assert conversions.utterance_from_msg(spoken(language=sent)).transcript.language == tag


@given(
    st.integers(0, 255),
    st.integers(0, 2**32 - 1),
    arrays(np.int16, st.integers(0, 50)),
    arrays(np.float32, st.integers(0, 50), elements=st.floats(width=32)),
    arrays(np.float32, st.integers(0, 20), elements=st.floats(width=32)),
)
def test_any_message_is_read_or_refused_with_a_sentence(
    number: int, rate: int, samples: np.ndarray, positions: np.ndarray, confidence: np.ndarray
) -> None:
    time = {"sec": rate % 2**31, "nanosec": rate}
    reads = [
        lambda: conversions.audio_from_msg(audio(channels=number, sample_rate=rate, samples=samples)),
        lambda: conversions.skeleton_from_msg(
            skeleton(dimensions=number % 6, positions=positions, confidence=confidence)
        ),
        lambda: conversions.utterance_from_msg(spoken(state=number % 6, end=time, text_confidence=-number)),
    ]
    for read in reads:
        try:
            read()
        except MserError as error:
            said = str(error)
        else:
            said = "fine: read"
        assert ": " in said
        assert "\n" not in said


# -- records


def test_a_record_has_the_keys_of_the_message_and_is_plain_json() -> None:
    evidence = (
        ModalityEvidence("speech", True, 0.5, np.array([0.5, 0.25, 0.25, 0]), 1.0),
        ModalityEvidence("text", False),
    )
    estimate = EmotionEstimate(
        1_500_000_000, EstimateState.FINAL, LABELS, np.array([0.1, 0.2, 0.3, 0.4], np.float32), "neutral", 0.4,
        evidence=evidence, transcript="naïve ☂",
    )  # fmt: skip
    for fields in (
        conversions.emotion_to_fields(estimate),
        conversions.to_fields(of_rosbags("Emotion", conversions.emotion_to_fields(estimate))),
        conversions.to_fields(of_ros("Emotion", conversions.emotion_to_fields(estimate))),
    ):
        record = json.loads(json.dumps(emotion_record(fields)))
        assert list(record) == [field for field, _ in message_types().fielddefs["mser_msgs/msg/Emotion"][1]]
        assert record["state"] == "FINAL"
        assert record["abstain_reason"] == "NONE"
        assert record["probabilities"] == {"angry": 0.1, "happy": 0.2, "sad": 0.3, "neutral": 0.4}
        assert record["evidence"][0]["probabilities"] == {"angry": 0.5, "happy": 0.25, "sad": 0.25, "neutral": 0}
        assert record["evidence"][1]["probabilities"] == {}
        assert record["header"]["stamp"] == {"sec": 1, "nanosec": 500_000_000}
        assert record["transcript"] == "naïve ☂"


@pytest.mark.parametrize("state", EstimateState)
@pytest.mark.parametrize("reason", AbstainReason)
def test_every_state_and_reason_has_its_name_in_a_record(state: EstimateState, reason: AbstainReason) -> None:
    estimate = EmotionEstimate(0, state, LABELS, np.full(4, 0.25), "unknown", 0, abstain_reason=reason)
    record = emotion_record(conversions.emotion_to_fields(estimate))
    assert (record["state"], record["abstain_reason"]) == (state.name, reason.name)
