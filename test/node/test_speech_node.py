"""The speech node alone, fed by hand: good audio, malformed audio between, and what comes of both."""

from __future__ import annotations

import threading
from dataclasses import replace
from itertools import groupby, pairwise

import numpy as np
import pytest
from ros_world import AudioFrame, Bool, Int16MultiArray, SetBool, Utterance, World, audio_message, demo_values

from mser_ros.evaluation.words import words_of
from mser_ros.messages import conversions
from mser_ros.nodes import speech_node
from mser_ros.settings import AsrSettings, SpeechSettings
from mser_ros.stages.speech import SpeechStage
from mser_ros.types import NS_PER_S, AudioChunk, UtteranceEvent, UtteranceState, to_ns

RATE = 16000
#: Of the demo bag: a second of silence, an utterance, a pause, and the beginning of the next utterance.
UNTIL_S = 8.0


def is_last(event: UtteranceEvent) -> bool:
    return event.state is UtteranceState.CANCELLED or (
        event.state is UtteranceState.ENDED and event.transcript.is_final
    )


def rechunk(chunks: list[AudioChunk], block: int) -> list[AudioChunk]:
    samples = np.concatenate([chunk.samples for chunk in chunks])
    stamps = chunks[0].stamp_ns + np.arange(0, len(samples), block) * 62_500
    return [
        replace(chunks[0], samples=samples[at : at + block], first_sample=at, stamp_ns=int(stamp))
        for at, stamp in zip(range(0, len(samples), block), stamps, strict=True)
    ]


@pytest.fixture(scope="session")
def audio():
    """Blocks of a tenth of a second that hold speech."""
    return rechunk(demo_values(until_s=UNTIL_S)[0], 1600)


@pytest.fixture(scope="session")
def reference(audio):
    """What the same stage without ROS says of audio that is then over."""

    def run(chunks: list[AudioChunk]) -> list[UtteranceEvent]:
        stage = SpeechStage(SpeechSettings(asr=AsrSettings(backend="none")))
        items = [item for chunk in chunks for item in stage.push(chunk)]
        return [item for item in [*items, *stage.flush()] if isinstance(item, UtteranceEvent)]

    of_audio = run(audio)
    assert any(is_last(event) for event in of_audio)
    return lambda chunks: of_audio if chunks is audio else run(chunks)


class Ear:
    """The node under test with what surrounds it. Its clock stands still until a test sets it."""

    def __init__(self, world, **parameters):
        self.world = world
        self.voice: list[AudioFrame] = world.listen(AudioFrame, "voice")
        self.utterances: list[Utterance] = world.listen(Utterance, "utterance")
        own = {"asr__backend": "none", "stall_s": 30.0, "use_sim_time": True}
        self.node = world.node("speech", **(own | parameters))
        self._audio = world.publisher(AudioFrame, "audio", linked=False)
        self.link()

    def link(self):
        self.world.wait_for_outputs(self.node, "voice", "utterance")
        self.world.wait(lambda: self._audio.get_subscription_count() > 0, "the node's ear")
        self._given = 0

    def give(self, *items):
        """Publish chunks or messages, and wait until they are worked off."""
        for item in items:
            self._audio.publish(audio_message(item) if isinstance(item, AudioChunk) else item)
            self._given += 1
        self.node.wait_to_receive(audio=self._given)

    def finish(self) -> list[UtteranceEvent]:
        """Deactivate the node, which ends an open utterance; all its events."""
        assert self.node.deactivate()
        self.world.wait(
            lambda: bool(self.utterances) and is_last(self.events()[-1]), "the last event of the last utterance"
        )
        return self.events()

    def heard(self, frames: int = 1) -> list[AudioChunk]:
        """What was passed on, once so much of it is here: topics do not wait for each other."""
        self.world.wait(lambda: sum(chunk.frames for chunk in self._passed_on()) >= frames, "the voice")
        return self._passed_on()

    def _passed_on(self) -> list[AudioChunk]:
        return [conversions.audio_from_msg(message) for message in self.voice]

    def events(self) -> list[UtteranceEvent]:
        return [conversions.utterance_from_msg(message) for message in self.utterances]


@pytest.fixture
def ear(world):
    return Ear(world)


def assert_same(got: list[UtteranceEvent], expected: list[UtteranceEvent]) -> None:
    assert [(item.utterance_id, item.state, item.start_ns, item.end_ns, item.transcript.text) for item in got] == [
        (item.utterance_id, item.state, item.start_ns, item.end_ns, item.transcript.text) for item in expected
    ]


def spans(events: list[UtteranceEvent]) -> list[tuple[int, int]]:
    return [(event.start_ns, event.end_ns) for event in events if is_last(event)]


def test_speech_becomes_utterances_and_voice(ear, audio, reference):
    ear.give(*audio)
    assert_same(ear.finish(), reference(audio))
    given = np.concatenate([chunk.samples for chunk in audio])
    heard = ear.heard(len(given))
    assert {(chunk.sample_rate, chunk.channels, chunk.voice_id, chunk.frame_id) for chunk in heard} == {
        (RATE, 1, "voice", "microphone")
    }
    for before, after in pairwise(heard):
        assert after.stamp_ns == before.end_ns
        assert after.first_sample == before.first_sample + before.frames
    np.testing.assert_array_equal(np.concatenate([chunk.samples for chunk in heard])[: len(given)], given)


def test_words_are_read_with_their_times(world, audio):
    ear = Ear(world, asr__backend="pocketsphinx")
    ear.give(*audio)
    final = next(event for event in ear.finish() if is_last(event))
    assert final.transcript.text
    assert final.transcript.language == "en"
    assert [word.text for word in final.transcript.words] == final.transcript.text.split()
    for word in final.transcript.words:
        assert final.start_ns <= word.start_ns < word.end_ns <= final.end_ns + to_ns(0.5)
        assert 0 <= word.confidence <= 1


def test_whisper_reads_the_words_and_the_diagnostics_tell_who_reads(world, audio, whisper_base):
    ear = Ear(world, asr__backend="auto", asr__model_path=str(whisper_base))
    ear.give(*audio)
    (final, *_) = (event for event in ear.finish() if is_last(event))
    assert {"good", "morning", "meeting", "monday"} <= set(words_of(final.transcript.text))
    assert final.transcript.text == " ".join(word.text for word in final.transcript.words)
    assert ear.node.value("recogniser") == f"whisper: {whisper_base} is a Whisper model"
    assert ear.node.value("rejected_texts") == "0"
    assert int(ear.node.value("skipped_partials")) >= 0


def no_channels(chunk: AudioChunk) -> AudioFrame:
    message = audio_message(chunk)
    message.channels = 0
    return message


def odd_samples(chunk: AudioChunk) -> AudioFrame:
    message = audio_message(chunk)
    message.channels = 3
    return message


def no_rate(chunk: AudioChunk) -> AudioFrame:
    return audio_message(replace(chunk, sample_rate=0))


def strange_rate(chunk: AudioChunk) -> AudioFrame:
    return audio_message(replace(chunk, sample_rate=1234))


def huge_rate(chunk: AudioChunk) -> AudioFrame:
    return audio_message(replace(chunk, sample_rate=2**32 - 1))


@pytest.mark.parametrize(
    ("make", "parts"),
    [
        (no_channels, ("0 channels", "interleave")),
        (odd_samples, ("3 channels", "interleave")),
        (no_rate, ("sample_rate 0", "8000 to 192000 Hz")),
        (strange_rate, ("sample_rate 1234", "8000 to 192000 Hz")),
        (huge_rate, ("sample_rate 4294967295",)),
    ],
)
def test_a_malformed_block_is_one_sentence_and_changes_nothing(ear, audio, reference, make, parts):
    middle = len(audio) // 3
    ear.give(*audio[:middle], make(audio[middle]), *audio[middle:])
    ear.node.wait_for_problem(*parts)
    assert ear.node.value("rejected") == "1"
    assert ear.node.state == "active"
    assert_same(ear.finish(), reference(audio))


def test_hundreds_of_malformed_blocks_are_counted_told_once_of_each_kind_and_change_nothing(
    ear, audio, reference, capfd, monkeypatch
):
    monkeypatch.setattr("mser_ros.nodes.diagnostics.THROTTLE_S", 3600.0)
    middle = len(audio) // 3
    bad = [make(audio[middle]) for _ in range(100) for make in (no_channels, no_rate)]
    for part in (audio[:middle], bad, audio[middle:]):  # no more at a time than wait in the queue
        ear.give(*part)
    ear.node.wait_for(rejected=len(bad), dropped=0, bugs=0)
    assert ear.node.state == "active"
    assert_same(ear.finish(), reference(audio))
    warnings = [line for line in capfd.readouterr().err.splitlines() if "[WARN]" in line]
    for words in ("0 channels", "sample_rate 0"):
        assert sum(words in line for line in warnings) == 1, words


def test_an_empty_block_is_counted_and_changes_nothing(ear, audio, reference):
    middle = len(audio) // 3
    empty = replace(audio[middle], samples=np.zeros((0, 1), np.int16))
    ear.give(*audio[:middle], empty, *audio[middle:])
    ear.node.wait_for(empty=1, rejected=0)
    assert_same(ear.finish(), reference(audio))


def test_repeated_blocks_are_heard_once(ear, audio, reference):
    ear.give(*[chunk for chunk in audio for _ in range(2)])
    ear.node.wait_for(duplicates=len(audio))
    assert_same(ear.finish(), reference(audio))


def test_blocks_out_of_order_keep_the_time_base_and_the_utterance(ear, audio, reference):
    swapped = list(audio)
    for at in range(10, len(audio) - 1, 10):
        swapped[at], swapped[at + 1] = swapped[at + 1], swapped[at]
    ear.give(*swapped)
    events = ear.finish()
    assert_same(events, reference(swapped))
    for (start, end), (first, last) in zip(spans(events), spans(reference(audio)), strict=True):
        assert abs(start - first) < to_ns(0.3)
        assert abs(end - last) < to_ns(0.3)


def test_short_losses_are_filled_and_counted(ear, audio, reference):
    kept = [chunk for number, chunk in enumerate(audio) if number % 9 != 4]
    ear.give(*kept)
    lost = sum(chunk.frames for number, chunk in enumerate(audio) if number % 9 == 4)
    ear.node.wait_for(lost_samples=lost, filled_samples=lost)
    events = ear.finish()
    assert_same(events, reference(kept))
    for (start, end), (first, last) in zip(spans(events), spans(reference(audio)), strict=True):
        assert abs(start - first) < to_ns(0.3)
        assert abs(end - last) < to_ns(0.3)


def test_a_long_loss_ends_the_utterance_and_the_next_one_is_heard(ear, audio, reference):
    begun = next(event for event in reference(audio) if is_last(event))
    hole_ns = begun.start_ns + (begun.end_ns - begun.start_ns) // 2
    kept = [chunk for chunk in audio if not hole_ns < chunk.stamp_ns < hole_ns + NS_PER_S]
    ear.give(*kept)
    ear.node.wait_for(discontinuities=1)
    events = ear.finish()
    assert_same(events, reference(kept))
    first = next(event for event in events if is_last(event))
    assert first.start_ns == begun.start_ns
    assert first.end_ns <= hole_ns + to_ns(0.2)


def test_stamps_that_go_back_begin_anew_and_the_same_is_heard_again(ear, audio, reference):
    ear.give(*audio, *audio)
    ear.node.wait_for(discontinuities=1)
    events = ear.finish()
    assert_same(events, reference([*audio, *audio]))
    once = spans(reference(audio))
    assert spans(events) == once * 2
    assert len({event.utterance_id for event in events}) == 2 * len(once)


def test_any_rate_and_channels_are_heard_alike(world, audio, reference):
    import soxr

    ear = Ear(world)
    samples = soxr.resample(np.concatenate([chunk.samples[:, 0] for chunk in audio]), RATE, 44100)
    block = 4410
    foreign = [
        AudioChunk(
            np.repeat(samples[at : at + block, np.newaxis], 2, axis=1),
            44100,
            audio[0].stamp_ns + at * NS_PER_S // 44100,
            at,
        )
        for at in range(0, len(samples), block)
    ]
    ear.give(*foreign)
    events = ear.finish()
    assert_same(events, reference(foreign))
    for (start, end), (first, last) in zip(spans(events), spans(reference(audio)), strict=True):
        assert abs(start - first) < to_ns(0.1)
        assert abs(end - last) < to_ns(0.1)
    assert {chunk.sample_rate for chunk in ear.heard()} == {RATE}


def test_a_change_of_rate_ends_the_utterance_and_is_heard(ear, audio, reference):
    middle = len(audio) // 3
    slow = [replace(chunk, samples=chunk.samples[::2], sample_rate=8000) for chunk in audio[middle:]]
    slow = [replace(chunk, first_sample=chunk.first_sample // 2) for chunk in slow]
    ear.give(*audio[:middle], *slow)
    ear.node.wait_for(discontinuities=1)
    assert_same(ear.finish(), reference([*audio[:middle], *slow]))


def test_clipped_speech_is_still_heard(ear, audio, reference):
    loud = [replace(chunk, samples=np.clip(chunk.samples * 60.0, -32768, 32767).astype(np.int16)) for chunk in audio]
    ear.give(*loud)
    assert_same(ear.finish(), reference(loud))


def late_ns(count: int, most_s: float) -> list[int]:
    late = np.random.default_rng(11).uniform(0, to_ns(most_s), count).astype(np.int64)
    late[0] = 0
    return [int(value) for value in late]


@pytest.mark.parametrize("counts", [True, False])
@pytest.mark.parametrize("late_ms", [(150,), (90,), (30,), (150, 90, 30)])
def test_audio_without_any_stamp_that_comes_late_is_heard_as_if_it_came_in_time(
    world, audio, reference, counts, late_ms
):
    ear = Ear(world, use_sim_time=True)
    arrival_ns = 0
    for number, chunk in enumerate(audio):
        late = 0 if number % 4 != 1 else to_ns(late_ms[number % len(late_ms)] / 1000)
        arrival_ns = max(arrival_ns, chunk.end_ns + late)
        world.set_clock(arrival_ns, ear.node)
        ear.give(replace(chunk, stamp_ns=0, first_sample=chunk.first_sample if counts else 0))
    assert_same(ear.finish(), reference(audio))
    ear.node.wait_for(unstamped=len(audio), lost_samples=0, filled_samples=0, duplicates=0, discontinuities=0)


@pytest.mark.parametrize("counts", [True, False])
@pytest.mark.parametrize("most_s", [0.15, 0.3])
def test_audio_that_is_stamped_late_is_heard_as_if_it_were_stamped_in_time(world, audio, reference, counts, most_s):
    ear = Ear(world)
    given = [
        replace(chunk, stamp_ns=chunk.stamp_ns + late, first_sample=chunk.first_sample if counts else 0)
        for chunk, late in zip(audio, late_ns(len(audio), most_s), strict=True)
    ]
    ear.give(*given)
    assert_same(ear.finish(), reference(audio))
    ear.node.wait_for(lost_samples=0, filled_samples=0, duplicates=0, discontinuities=0)


def test_audio_without_any_stamp_is_heard_on_the_clock_of_its_arrival(world, audio):
    ear = Ear(world, use_sim_time=True)
    world.set_clock(audio[0].stamp_ns + 7 * NS_PER_S, ear.node)
    ear.give(*(replace(chunk, stamp_ns=0) for chunk in audio))
    (start, end), *_ = spans(ear.finish())
    assert audio[0].stamp_ns < start < end < audio[0].stamp_ns + 30 * NS_PER_S
    assert end - start > NS_PER_S


def run_clock(world, ear, now_ns, seconds):
    """Let the simulation clock run on in half seconds, as a clock does; its last time."""
    for _ in range(round(2 * seconds)):
        now_ns += to_ns(0.5)
        world.set_clock(now_ns, ear.node)
        assert ear.node.state == "active"  # an answer comes after the timers that were due
    return now_ns


def test_audio_that_stays_away_ends_the_utterance_again_and_again_though_the_clock_goes_back(world, audio, reference):
    ear = Ear(world, use_sim_time=True, stall_s=1.0)
    begun = next(event for event in reference(audio) if is_last(event))
    cut = [chunk for chunk in audio if chunk.end_ns < begun.end_ns - to_ns(0.5)]
    for begin_ns in (audio[0].stamp_ns + to_ns(100), audio[0].stamp_ns):  # a bag that begins again
        world.set_clock(begin_ns, ear.node)
        run_clock(world, ear, begin_ns, 2)
        ear.give(*cut)
        assert not is_last(ear.events()[-1])
        run_clock(world, ear, begin_ns + to_ns(2), 2)
        world.wait(lambda: is_last(ear.events()[-1]), "the end of the utterance")
        assert spans(ear.events()) == spans(reference(cut))
        ear.utterances.clear()


def test_the_voice_has_the_name_that_the_parameter_gives(world, audio):
    ear = Ear(world, voice_id="ann")
    ear.give(
        *audio,
    )
    assert {event.voice_id for event in ear.finish()} == {"ann"}
    assert {chunk.voice_id for chunk in ear.heard()} == {"ann"}


def test_the_node_hears_again_after_a_pause_in_its_life(ear, audio, reference):
    ear.give(*audio)
    first = ear.finish()
    ear.utterances.clear()
    assert ear.node.cleanup()
    assert ear.node.configure()
    assert ear.node.activate()
    ear.link()
    ear.give(*audio)
    assert_same(ear.finish(), first)


def test_who_asks_not_to_be_heard_is_not_and_everybody_can_see_it(world, audio):
    ear = Ear(world)
    listening = world.listen(Bool, "listening", kept=True)
    world.wait(lambda: [message.data for message in listening] == [True], "that the node listens")
    begun = next(at for at in range(len(audio)) if len(events_until(audio, at)) > 0)
    ear.give(*audio[: begun + 5])
    world.wait(lambda: bool(ear.utterances), "the beginning of an utterance")

    assert stop_listening(world, stop=True)
    world.wait(lambda: ear.events()[-1].state is UtteranceState.CANCELLED, "the end of that utterance")
    # That it listens may be told again while the voice waits for words.
    told = lambda: [data for data, _ in groupby(message.data for message in listening)]  # noqa: E731
    world.wait(lambda: told() == [True, False], "that the node does not listen")
    told_of = len(ear.utterances)
    ear.give(*audio[begun + 5 :])
    ear.node.wait_for(unheard_samples=sum(chunk.frames for chunk in audio[begun + 5 :]))
    assert len(ear.utterances) == told_of
    assert all(chunk.end_ns <= audio[begun + 5].stamp_ns for chunk in ear.heard())
    assert ear.node.value("listening") == "False"

    assert ear.node.deactivate()
    assert ear.node.activate()
    ear.link()
    assert_told(world, False)
    assert told() == [True, False]
    assert stop_listening(world, stop=False)
    world.wait(lambda: listening[-1].data, "that it listens again")
    ear.give(*audio)
    assert any(event.state is UtteranceState.ENDED for event in ear.finish()[told_of:])


def test_who_begins_deaf_hears_nothing_until_it_is_told_to(world, audio, capfd):
    ear = Ear(world, listening=False)
    assert "not listening: call /speech/stop_listening with false" in capfd.readouterr().err
    assert_told(world, False)
    ear.give(*audio)
    ear.node.wait_for(unheard_samples=sum(chunk.frames for chunk in audio))
    assert ear.node.deactivate()
    assert (ear.voice, ear.utterances) == ([], [])

    assert stop_listening(world, stop=False)
    assert ear.node.cleanup()
    assert ear.node.configure()  # what it was told outweighs what it began with
    assert ear.node.activate()
    ear.link()
    assert_told(world, True)
    ear.give(*audio)
    assert any(event.state is UtteranceState.ENDED for event in ear.finish())


def test_whether_it_listens_can_be_seen_while_it_is_inactive(world):
    node = world.node("speech", asr__backend="none", autostart=False)
    assert node.configure()
    told = assert_told(world, True)
    assert stop_listening(world, stop=True)
    world.wait(lambda: [message.data for message in told] == [True, False], "that it will not listen")
    assert_told(world, False)
    assert node.activate()
    assert node.deactivate()
    assert stop_listening(world, stop=False)
    world.wait(lambda: [message.data for message in told] == [True, False, True], "that it will listen")
    assert_told(world, True)
    assert node.cleanup()
    assert stop_listening(world, stop=True)
    assert node.configure()
    assert_told(world, False)


def assert_told(world, listens: bool) -> list[Bool]:
    """That this is what somebody reads who comes now; what is told from then on."""
    told: list[Bool] = world.listen(Bool, "listening", kept=True)
    world.wait(lambda: bool(told), "whether the node listens")
    assert [message.data for message in told] == [listens]
    return told


def test_after_the_answer_that_nobody_listens_nothing_is_told_of_what_waited_for_the_worker(world, audio):
    ear = Ear(world)
    begun = next(at for at in range(len(audio)) if len(events_until(audio, at)) > 0) + 5
    ear.give(*audio[:begun])
    world.wait(lambda: bool(ear.utterances), "the beginning of an utterance")
    is_read = threading.Event()
    ear.node.node.submit(is_read.wait)  # the worker is busy with words
    for chunk in audio[begun:]:
        ear._audio.publish(audio_message(chunk))
    heard = ear.node.node.inputs.topics[1]
    world.wait(lambda: heard.received == len(audio), "all of the sound")
    told_of = len(ear.utterances)
    assert stop_listening(world, stop=True)
    is_read.set()
    ear.node.wait_for(unheard_samples=sum(chunk.frames for chunk in audio[begun:]))
    world.wait(lambda: len(ear.utterances) > told_of, "the end of that utterance")
    assert ear.node.deactivate()
    assert [event.state for event in ear.events()[told_of:]] == [UtteranceState.CANCELLED]
    assert all(chunk.end_ns <= audio[begun].stamp_ns for chunk in ear.heard())


def events_until(audio: list[AudioChunk], at: int) -> list[UtteranceEvent]:
    stage = SpeechStage(SpeechSettings(asr=AsrSettings(backend="none")))
    items = [item for chunk in audio[:at] for item in stage.push(chunk)]
    return [item for item in items if isinstance(item, UtteranceEvent)]


def stop_listening(world, *, stop: bool) -> bool:
    answer = world.call(SetBool, "/speech/stop_listening", SetBool.Request(data=stop))
    assert answer.message
    return answer.success


def test_while_the_worker_is_busy_with_words_it_is_told_that_sound_comes_and_not_for_ever(world, audio, monkeypatch):
    ear = Ear(world)
    told: list[Bool] = world.listen(Bool, "listening", kept=True)
    ear.give(audio[0])
    world.wait(lambda: len(told) == 1, "whether it listens")
    is_read = threading.Event()
    ear.node.node.submit(is_read.wait)

    def hear() -> None:
        ear._audio.publish(audio_message(audio[1]))

    world.wait(lambda: (hear(), len(told) > 3)[1], "to be told again")
    assert all(message.data for message in told)
    monkeypatch.setattr(speech_node, "SILENCE_S", 0.0)  # as if it had taken that long
    ear.node.node._told_s = 0.0
    before = len(told)
    received = ear.node.node.inputs.topics[1].received
    world.wait(lambda: (hear(), ear.node.node.inputs.topics[1].received > received + 20)[1], "more sound")
    assert len(told) <= before + 1, "one may have been on its way"
    is_read.set()


def test_the_robots_own_voice_is_told_by_a_topic(world, audio):
    ear = Ear(world)
    robot = world.publisher(Bool, "robot_speaking")
    robot.publish(Bool(data=True))
    ear.node.wait_to_receive(robot_speaking=1)
    ear.give(*audio)
    ear.node.wait_for(robot_samples=sum(chunk.frames for chunk in audio))
    assert not ear.utterances
    assert not ear.voice


def test_a_robots_voice_that_has_gone_while_it_spoke_speaks_no_more(world, audio):
    """Else a voice that has crashed would leave the robot deaf."""
    ear = Ear(world)
    robot = world.publisher(Bool, "robot_speaking")
    robot.publish(Bool(data=True))
    ear.node.wait_to_receive(robot_speaking=1)
    ear.give(audio[0])
    ear.node.wait_for(robot_samples=audio[0].frames)
    world.peer.destroy_publisher(robot)
    world.wait(lambda: "robot_speaking" in ear.node.value("missing"), "that the robot's voice is missed")
    ear.give(*audio[1:])
    assert ear.finish()
    assert ear.heard()


def test_two_sources_at_the_same_time_are_told_and_named(ear, audio):
    with ear.world.stranger() as other:
        publishers = ear._audio, other.create_publisher(AudioFrame, "audio", 100)
        ear.world.wait(lambda: len(ear.node.node._audio.publishers) == 2, "both sources")
        ear.world.wait(lambda: publishers[1].get_subscription_count() == 1, "the other source to be heard")
        for one in audio[:12]:
            for publisher, ahead in zip(publishers, (0, 10 * RATE), strict=True):
                publisher.publish(audio_message(replace(one, first_sample=one.first_sample + ahead)))
                ear._given += 1
                ear.node.wait_to_receive(audio=ear._given)
        ear.node.wait_for_problem("topic /audio is published by /peer and /stranger at the same time", "stop one")
        assert ear.node.value("level") == "1"


def test_a_source_that_was_replaced_and_is_still_known_is_no_second_one(ear, audio):
    ear.give(*audio[:12])
    with ear.world.stranger() as other:
        successor = other.create_publisher(AudioFrame, "audio", 100)
        ear.world.wait(lambda: len(ear.node.node._audio.publishers) == 2, "both sources")
        ear.world.wait(lambda: successor.get_subscription_count() == 1, "the successor to be heard")
        late_ns = audio[12].stamp_ns - audio[0].stamp_ns
        for one in audio[:40]:
            successor.publish(audio_message(replace(one, stamp_ns=one.stamp_ns + late_ns)))
        ear.node.wait_to_receive(audio=52)
        assert ear.node.node.health.current() is None


def test_audio_of_another_type_is_heard_by_what_the_topic_carries(world, audio, reference):
    """And of its own type again, where that is published."""
    ear = Ear(world, audio__sample_rate=RATE)
    world.peer.destroy_publisher(ear._audio)
    elsewhere = World()  # a participant knows a topic by one type
    try:
        other = elsewhere.publisher(Int16MultiArray, "audio")
        for chunk in audio:
            other.publish(Int16MultiArray(data=chunk.samples[:, 0].tolist()))
        ear.node.wait_to_receive(audio=len(audio))
    finally:
        elsewhere.close()
    world.wait(lambda: ear.utterances, "an utterance")
    heard = np.concatenate([chunk.samples for chunk in ear.heard()])
    given = np.concatenate([chunk.samples for chunk in audio])
    np.testing.assert_array_equal(heard, given[: len(heard)])
    ear.node.wait_for(unstamped=len(audio))

    elsewhere = World()
    try:
        elsewhere.publisher(AudioFrame, "audio").publish(audio_message(audio[0]))
        ear.node.wait_to_receive(audio=len(audio) + 1)
    finally:
        elsewhere.close()
