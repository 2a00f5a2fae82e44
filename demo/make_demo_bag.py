"""Make `demo.mcap`: a synthetic voice and a synthetic body for trying the plumbing. See README.md beside this file.

Run it from the repository's root with the project's environment: python demo/make_demo_bag.py [TARGET]
It needs the program espeak-ng; using the bag does not.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from mser_ros.messages.bag_writer import BagWriter
from mser_ros.messages.conversions import audio_to_fields, skeleton_to_fields
from mser_ros.types import NS_PER_S, AudioChunk, SkeletonFrame, to_ns

START_NS = 1_700_000_000 * NS_PER_S
SAMPLE_RATE = 16000
BLOCK = 1024
CAMERA_HZ = 25
CAMERA_DELAY_S = 0.04
NOISE_RMS = 0.0008
VOICE = "en-us+m3"


@dataclass(frozen=True)
class Style:
    """How the person speaks (espeak-ng's units, range in %, `rms` of full scale) and walks on the spot (radians)."""

    pitch: int
    pitch_range: int
    words_per_minute: int
    rms: float
    cadence_hz: float
    arm_swing: float
    elbow: float
    lean: float
    head_drop: float
    bounce_m: float


STYLES = {
    "neutral": Style(45, 100, 155, 0.06, 0.85, 0.30, 0.25, 0.03, 0.15, 0.015),
    "happy": Style(75, 200, 180, 0.09, 1.10, 0.55, 0.60, -0.02, -0.05, 0.040),
    "angry": Style(55, 160, 200, 0.11, 1.30, 0.60, 1.10, 0.16, 0.10, 0.030),
    "sad": Style(25, 30, 115, 0.03, 0.60, 0.10, 0.10, 0.20, 0.60, 0.005),
}

#: What happens one after the other: a sentence in a style, or a pause of so many seconds, quiet or of a loud fan.
SCRIPT: tuple[tuple[str, str | float], ...] = (
    ("quiet", 1.0),
    ("neutral", "Good morning. The meeting is on Monday at ten o'clock."),
    ("quiet", 1.3),
    ("happy", "This is wonderful! I am so happy to see you again!"),
    ("quiet", 0.7),
    ("fan", 1.0),
    ("quiet", 0.7),
    ("angry", "Stop that right now! I am furious with you, and I hate this terrible noise!"),
    ("quiet", 1.4),
    ("sad", "I miss her so much. I feel sad and lonely."),
    ("quiet", 1.2),
    ("neutral", "The train leaves from platform two."),
    ("quiet", 1.2),
)


def speak(text: str, style: Style) -> np.ndarray:
    """Synthetic speech, float in -1..1 at `SAMPLE_RATE`, without silence at either end."""
    options = ["-v", VOICE, "-p", str(style.pitch), "-s", str(style.words_per_minute), "-m", "--stdout"]
    marked = f'<prosody range="{style.pitch_range}%">{text}</prosody>'
    wav = subprocess.run(["espeak-ng", *options, marked], check=True, capture_output=True).stdout
    samples, rate = soundfile.read(io.BytesIO(wav))
    samples = soxr.resample(samples, rate, SAMPLE_RATE)
    loud = np.flatnonzero(np.abs(samples) > 0.01)
    samples = samples[loud[0] : loud[-1] + 1]
    return samples * (style.rms / np.sqrt(np.mean(samples**2)))


def make_audio(rng: np.random.Generator) -> tuple[np.ndarray, list[tuple[str, float, float]]]:
    """All of the sound as int16, and (style, start, end) in seconds of each utterance."""
    parts, spans, at = [], [], 0
    for kind, content in SCRIPT:
        if isinstance(content, str):
            part = speak(content, STYLES[kind])
            spans.append((kind, at / SAMPLE_RATE, (at + len(part)) / SAMPLE_RATE))
        else:
            part = np.zeros(round(content * SAMPLE_RATE))
            if kind == "fan":
                hiss = np.convolve(rng.standard_normal(len(part)), np.ones(12) / 12, "same")
                part = 0.03 * hiss * np.hanning(len(part))
        parts.append(part)
        at += len(part)
    samples = np.concatenate(parts)
    samples = np.pad(samples, (0, -len(samples) % BLOCK))
    samples += NOISE_RMS * rng.standard_normal(len(samples))
    return np.round(np.clip(samples, -1, 1) * 32767).astype(np.int16), spans


def style_at(times_s: np.ndarray, spans: list[tuple[str, float, float]]) -> np.ndarray:
    """The body's part of the style, (T, 6): eased over a second from one utterance's style to the next."""
    body = np.array([list(vars(STYLES[kind]).values())[4:] for kind, _, _ in spans])
    middles = [start - 0.8 for _, start, _ in spans[1:]]
    out = np.tile(body[0], (len(times_s), 1))
    for middle, before, after in zip(middles, body, body[1:], strict=False):
        share = np.clip(times_s - middle + 0.5, 0, 1)[:, None]
        out = np.where(share > 0, before + (after - before) * (3 * share**2 - 2 * share**3), out)
    return out


def make_body(times_s: np.ndarray, spans: list[tuple[str, float, float]]) -> np.ndarray:
    """Joints in the order of egait16, (T, 16, 3) in metres with y up: a person who walks on the spot."""
    cadence, swing, elbow, lean, drop, bounce = style_at(times_s, spans).T
    phase = 2 * np.pi * np.cumsum(cadence) * np.gradient(times_s)
    zero = np.zeros_like(times_s)

    def ahead(angle: np.ndarray, length: float) -> np.ndarray:
        """A bone that hangs down, turned forward by an angle: x ahead, y left, z up."""
        return np.stack([length * np.sin(angle), zero, -length * np.cos(angle)], axis=1)

    def side(offset: float) -> np.ndarray:
        return np.array([0.0, offset, 0.0])

    root = np.stack([zero, 0.04 * np.sin(phase), 0.93 + bounce * np.cos(2 * phase)], axis=1)
    up = -ahead(-lean, 1.0)
    neck = root + 0.50 * up
    head = neck - ahead(-(lean + drop), 0.20)
    joints = [root, root + 0.25 * up, neck, head]
    for sign in (1, -1):  # left, right
        arm = -sign * swing * np.sin(phase) - 0.5 * lean
        shoulder = root + 0.46 * up + side(0.18 * sign)
        middle = shoulder + ahead(arm, 0.29)
        joints += [shoulder, middle, middle + ahead(arm + elbow, 0.25)]
    for sign in (1, -1):
        leg = sign * (0.2 + 0.3 * swing) * np.sin(phase)
        hip = root + side(0.10 * sign)
        knee = hip + ahead(leg + 0.05, 0.43)
        joints += [hip, knee, knee + ahead(leg - 0.3 - 0.3 * sign * np.cos(phase), 0.42)]
    body = np.stack(joints, axis=1)
    heading = 0.4 + 0.2 * np.sin(0.3 * times_s)[:, None]  # the person does not face the camera squarely
    x, y, z = body[..., 0], body[..., 1], body[..., 2]
    east, north = x * np.cos(heading) - y * np.sin(heading), x * np.sin(heading) + y * np.cos(heading)
    return np.stack([-north, z, -east - 2.5], axis=2)


def make_frames(
    duration_s: float, spans: list[tuple[str, float, float]], rng: np.random.Generator
) -> list[SkeletonFrame]:
    """The body as a camera sees it: uneven stamps, noise, joints that drop out, a gap in the third utterance."""
    count = int(duration_s * CAMERA_HZ)
    times_s = np.arange(count) / CAMERA_HZ + rng.uniform(0, 0.006, count)
    joints = make_body(times_s, spans) + 0.004 * rng.standard_normal((count, 16, 3))
    confidence = rng.uniform(0.7, 1.0, (count, 16))
    dropped = rng.random((count, 16)) < 0.01
    dropped[:, [6, 9]] |= rng.random((count, 2)) < 0.08  # hands are lost most often
    dropped[_during(times_s, spans[1][1] + 0.5, 1.0), 4:7] = True  # the left arm
    dropped[_during(times_s, spans[3][1], 2.5)] |= np.isin(np.arange(16), [11, 12, 14, 15])  # a table hides the legs
    joints[dropped], confidence[dropped] = np.nan, 0.0
    gap = _during(times_s, (spans[2][1] + spans[2][2]) / 2 - 0.75, 1.5)
    return [
        SkeletonFrame(
            stamp_ns=START_NS + to_ns(times_s[at]),
            body_id="body_1",
            layout="egait16",
            positions=joints[at].astype(np.float32),
            confidence=confidence[at].astype(np.float32),
            frame_id="camera",
        )
        for at in np.flatnonzero(~gap)
    ]


def _during(times_s: np.ndarray, start_s: float, length_s: float) -> np.ndarray:
    return (times_s >= start_s) & (times_s < start_s + length_s)


def main(target: Path) -> None:
    rng = np.random.default_rng(20240501)
    samples, spans = make_audio(rng)
    messages = []
    for first in range(0, len(samples), BLOCK):
        stamp_ns = START_NS + first * NS_PER_S // SAMPLE_RATE
        chunk = AudioChunk(samples[first : first + BLOCK, None], SAMPLE_RATE, stamp_ns, first, frame_id="microphone")
        messages.append((chunk.end_ns, "/audio", "mser_msgs/msg/AudioFrame", audio_to_fields(chunk)))
    for frame in make_frames(len(samples) / SAMPLE_RATE, spans, rng):
        log_ns = frame.stamp_ns + to_ns(CAMERA_DELAY_S)
        messages.append((log_ns, "/skeleton_in", "mser_msgs/msg/Skeleton", skeleton_to_fields(frame)))
    messages.sort(key=lambda message: message[0])
    with tempfile.TemporaryDirectory() as folder:
        bag = Path(folder) / target.stem
        with BagWriter(bag, compress=True) as writer:
            for log_ns, topic, type_name, fields in messages:
                writer.write(topic, type_name, fields, log_ns)
        shutil.move(bag / f"{bag.name}.mcap", target)
    print(f"{target}: {len(samples) / SAMPLE_RATE:.1f} s, {target.stat().st_size / 1e6:.2f} MB")
    for style, start_s, end_s in spans:
        print(f"  {start_s:5.2f} to {end_s:5.2f} s  {style}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("demo.mcap"))
