"""The time of samples that are counted, learnt from stamps that may come late."""

from __future__ import annotations

from collections import deque

from ..types import NS_PER_S

#: Of so many seconds of audio, the block with the earliest stamp is taken to be on time.
_WINDOW_S = 10
#: The clock is moved by at most this share of the audio that passes meanwhile.
_SLEW = 4
#: What strays by less is left: half a sample at the lowest rate.
_DEAD_NS = NS_PER_S // 16_000


class SampleClock:
    """Maps samples, counted from 0, to times [ns]: sample n lies at `anchor_ns` + n / rate.

    Nobody can stamp a block before it is heard, so stamps err to one side, and of those in the last 10 s the earliest,
    seen from the count, is the best: the clock follows that one (as NTP's clock filter takes the sample of the least
    delay, RFC 5905, section 10). It moves by at most a quarter of the audio's own speed, so its times never go back.
    It follows the drift of a sound card, lags behind by drift times 10 s (2 ms at 200 ppm), and does not follow
    lateness that passes. Stamps that are right to within a sample leave it alone.
    """

    def __init__(self, rate: int, anchor_ns: int) -> None:
        self.rate = rate
        self.anchor_ns = anchor_ns
        #: The earliest anchor that stamps asked for, in each of the last seconds that had any.
        self._earliest = deque([anchor_ns], maxlen=_WINDOW_S)
        self._second = 0

    def duration_ns(self, samples: int) -> int:
        return samples * NS_PER_S // self.rate

    def time_ns(self, sample: int) -> int:
        """When a sample was heard, as far as is known now."""
        return self.anchor_ns + self.duration_ns(sample)

    def follow(self, stamp_ns: int, sample: int, frames: int) -> int:
        """Learn from the stamp of a block that begins with `sample`; by how much the clock was moved [ns]."""
        asked_ns = stamp_ns - self.duration_ns(sample)
        second = sample // self.rate
        if second == self._second:
            self._earliest[-1] = min(self._earliest[-1], asked_ns)
        else:
            self._earliest.append(asked_ns)
            self._second = second
        stray_ns = min(self._earliest) - self.anchor_ns
        if abs(stray_ns) <= _DEAD_NS:
            return 0
        most_ns = self.duration_ns(frames) // _SLEW
        shift_ns = max(-most_ns, min(stray_ns, most_ns))
        self.anchor_ns += shift_ns
        return shift_ns
