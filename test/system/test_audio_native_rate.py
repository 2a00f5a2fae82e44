"""A microphone at its own rate whose crystal is not the robot's: from the device's callback to segments of speech."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from mser_ros.audio.capture import DeviceClock
from mser_ros.audio.segmenter import Ended, Segmenter
from mser_ros.audio.stream import AudioStream, Discontinuity
from mser_ros.settings import SegmenterSettings
from mser_ros.testing import FakeVad
from mser_ros.types import NS_PER_S, SAMPLE_NS, AudioChunk, to_ns

T0 = 1_700_000_000 * NS_PER_S
#: In so long the clocks drift apart by more than ten times what a stamp may be wrong.
_LENGTH_S, _BLOCK_S = 1200, 0.064
#: Somebody speaks for so long in each period [s].
_PERIOD_S, _SPEECH_S, _BEGIN_S = 20.0, 12.0, 4.0


def device_blocks(rate: int, ppm: float, length_s: float) -> Iterator[AudioChunk]:
    """What `MicrophoneCapture` makes of a device whose second is longer by `ppm`; its callback comes 4 ms late in the
    mean, and once in a while much later."""
    rng = np.random.default_rng(int(rate + ppm))
    clock, size = DeviceClock(rate), round(_BLOCK_S * rate)
    voice = rng.integers(2_000, 30_000, size).astype(np.int16)
    silent = np.zeros(size, np.int16)
    for number in range(int(length_s * rate) // size):
        at_s = number * size / rate
        true_ns = T0 + round(at_s * (1 + ppm * 1e-6) * NS_PER_S)
        late_ns = int(rng.exponential(to_ns(0.004))) + (to_ns(0.15) if number % 997 == 500 else 0)
        stamp_ns, first = clock.stamp(size, true_ns + late_ns)
        speaks = _BEGIN_S <= at_s % _PERIOD_S < _BEGIN_S + _SPEECH_S
        yield AudioChunk((voice if speaks else silent)[:, np.newaxis], rate, stamp_ns, first)


@pytest.mark.parametrize(("rate", "ppm"), [(44_100, 200), (48_000, -200)])
def test_twenty_minutes_of_a_device_that_drifts_cut_no_utterance_and_are_stamped_right(rate: int, ppm: float) -> None:
    stream, segmenter, settings = AudioStream(), Segmenter(vad=FakeVad()), SegmenterSettings()
    found: list[Ended] = []
    worst_ns = 0
    for chunk in device_blocks(rate, ppm, _LENGTH_S):
        for item in stream.push(chunk):
            assert not isinstance(item, Discontinuity), item.reason
            true_ns = T0 + round(item.first_sample * SAMPLE_NS * (1 + ppm * 1e-6))
            worst_ns = max(worst_ns, abs(item.stamp_ns - true_ns))
            found += [event for event in segmenter.push(item) if isinstance(event, Ended)]
    assert worst_ns < to_ns(0.02)
    assert len(found) == _LENGTH_S // _PERIOD_S
    for number, event in enumerate(found):
        begin_s = (number * _PERIOD_S + _BEGIN_S) * (1 + ppm * 1e-6)
        # The detector looks at frames of 32 ms, and a block that holds both ends of speech is 64 ms long.
        assert abs(event.start_ns - T0 - to_ns(begin_s - settings.pre_roll_s)) < to_ns(0.1)
        assert event.samples * SAMPLE_NS == pytest.approx(
            to_ns(_SPEECH_S + settings.pre_roll_s + settings.post_roll_s), abs=to_ns(0.1)
        )
    assert (stream.counters.clock_steps, stream.counters.lost_samples) == (0, 0)


def test_a_block_that_comes_late_moves_no_stamp() -> None:
    clock = DeviceClock(48_000)
    stamps = [clock.stamp(4800, number * to_ns(0.1) + (to_ns(0.3) if number == 5 else 0))[0] for number in range(9)]
    assert stamps == [number * to_ns(0.1) for number in range(9)]


def test_a_clock_that_is_set_forward_is_believed_when_it_stays_there() -> None:
    clock = DeviceClock(48_000)
    later = to_ns(7)
    stamps = [clock.stamp(4800, number * to_ns(0.1) + (later if number >= 5 else 0))[0] for number in range(20)]
    assert stamps[9] == to_ns(0.9)
    assert stamps[12:] == [later + number * to_ns(0.1) for number in range(12, 20)]
