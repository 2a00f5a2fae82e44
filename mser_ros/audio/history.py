"""The newest audio of each voice, to be cut out by time."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

import numpy as np

from ..types import NS_PER_S, AudioChunk, Waveform, to_ns


class AudioHistory:
    """Keeps the last `history_s` seconds of one voice, 16-bit mono audio, as the speech node publishes it.

    Times are those of the stamps. Memory is bounded; older audio is forgotten.
    """

    def __init__(self, history_s: float) -> None:
        self._history_ns = to_ns(history_s)
        self._chunks: deque[tuple[int, int, AudioChunk]] = deque()  # with begin and end: all are looked at for each cut

    @property
    def newest_ns(self) -> int | None:
        """One past the newest sample, or None before the first."""
        return self._chunks[-1][1] if self._chunks else None

    def push(self, chunk: AudioChunk) -> None:
        """Append a chunk. One that lies in the past replaces all from its stamp on: the source's clock was set back.

        A chunk that follows by its count only seems to overlap: the clock is being moved back slowly.
        """
        while self._chunks and not _follows(chunk, self._chunks[-1][2]):
            last = self._chunks[-1][2]
            kept = _samples(chunk.stamp_ns - last.stamp_ns, last.sample_rate)
            if kept >= last.frames:
                break
            self._chunks.pop()
            if kept > 0:
                self._append(replace(last, samples=last.samples[:kept]))
        self._append(chunk)
        while self._chunks[0][1] < chunk.end_ns - self._history_ns:
            self._chunks.popleft()

    def _append(self, chunk: AudioChunk) -> None:
        self._chunks.append((chunk.stamp_ns, chunk.end_ns, chunk))

    def cut(self, start_ns: int, end_ns: int) -> Waveform | None:
        """The audio from `start_ns` to `end_ns`, as far as it was heard; None if nothing of it was.

        What was lost inside the span is left out, so the waveform may be shorter than the span.
        """
        pieces = []
        rate = 0
        for begin_ns, stop_ns, chunk in self._chunks:
            if stop_ns <= start_ns or begin_ns >= end_ns:
                continue
            rate = chunk.sample_rate
            first = max(0, _samples(start_ns - chunk.stamp_ns, rate))
            last = min(chunk.frames, _samples(end_ns - chunk.stamp_ns, rate))
            pieces.append(chunk.samples[first:last, 0])
        if not pieces:
            return None
        return Waveform(np.concatenate(pieces).astype(np.float32) / 32768.0, rate)


class Voices:
    """The histories of several voices; of more than `limit`, the one that has been silent longest is forgotten."""

    def __init__(self, history_s: float, *, limit: int) -> None:
        self._history_s = history_s
        self._limit = limit
        self._histories: dict[str, AudioHistory] = {}

    def push(self, chunk: AudioChunk) -> None:
        """Append a chunk to its voice's history."""
        if chunk.voice_id not in self._histories:
            if len(self._histories) >= self._limit:
                del self._histories[min(self._histories, key=lambda voice_id: self.newest_ns(voice_id) or 0)]
            self._histories[chunk.voice_id] = AudioHistory(self._history_s)
        self._histories[chunk.voice_id].push(chunk)

    def clear(self) -> None:
        """Forget all of them."""
        self._histories.clear()

    def newest_ns(self, voice_id: str) -> int | None:
        """One past the newest sample of a voice, or None if it was never heard."""
        return self._histories[voice_id].newest_ns if voice_id in self._histories else None

    def cut(self, voice_id: str, start_ns: int, end_ns: int) -> Waveform | None:
        """The audio of a voice, as `AudioHistory.cut` gives it."""
        return self._histories[voice_id].cut(start_ns, end_ns) if voice_id in self._histories else None


def _follows(chunk: AudioChunk, last: AudioChunk) -> bool:
    return chunk.first_sample == last.first_sample + last.frames and chunk.stamp_ns > last.stamp_ns


def _samples(duration_ns: int, sample_rate: int) -> int:
    return (duration_ns * sample_rate + NS_PER_S // 2) // NS_PER_S
