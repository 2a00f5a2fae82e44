"""A real sound server of a test's own: PulseAudio with one sink that nobody hears, whose monitor is the microphone."""

from __future__ import annotations

import ctypes.util
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

_NEEDED = "pulseaudio pulseaudio-utils libportaudio2 libasound2-plugins"
_PATIENCE_S = 30.0


@dataclass(frozen=True)
class SoundServer:
    """`environment`: of a process that is to record from it, as PortAudio's device 'pulse'."""

    environment: dict[str, str]

    def play(self, path: Path) -> None:
        """What the microphone hears, until it is over."""
        subprocess.run(["paplay", str(path)], env=self.environment, check=True, timeout=60)


@contextmanager
def sound_server(folder: Path) -> Iterator[SoundServer]:
    """Skips the test where it cannot be started. `folder`: for its socket; paths of sockets must be short."""
    plugin = list(Path("/usr/lib").glob("*/alsa-lib/libasound_module_pcm_pulse.so"))
    if not (shutil.which("pulseaudio") and shutil.which("paplay") and ctypes.util.find_library("portaudio") and plugin):
        pytest.skip(f"there is no sound server: sudo apt install {_NEEDED}")
    own = {key: value for key, value in os.environ.items() if not key.startswith(("PULSE_", "DBUS_"))}
    socket = folder / "socket"
    alsa = folder / "asound.conf"
    alsa.write_text("pcm.pulse { type pulse }\nctl.pulse { type pulse }\npcm.!default { type pulse }\n")
    own |= {
        "HOME": str(folder),
        "XDG_RUNTIME_DIR": str(folder),
        "PULSE_RUNTIME_PATH": str(folder),
        "PULSE_SERVER": f"unix:{socket}",
        "ALSA_CONFIG_PATH": str(alsa),
    }
    command = ["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--disable-shm", "--use-pid-file=no"]
    for module in ("null-sink sink_name=room rate=48000 channels=2", f"native-protocol-unix socket={socket}"):
        command += ["-L", f"module-{module}"]
    # A sink that nobody hears wakes up every two seconds. Who begins to record from it then waits for so long, and for
    # a second more is told times that are wrong by up to 0.6 s: so somebody hears it all the time.
    heard = folder / "heard"
    listen = ["parec", "--device=room.monitor", "--latency-msec=20", "--rate=8000", "--channels=1", "--format=u8"]
    processes: list[subprocess.Popen[bytes]] = []
    with (folder / "log").open("wb") as log:
        processes.append(subprocess.Popen(command, env=own, stdout=log, stderr=log, start_new_session=True))
    try:
        deadline_s = time.monotonic() + _PATIENCE_S
        while subprocess.run(["pactl", "info"], env=own, capture_output=True, check=False).returncode:
            _check(processes, deadline_s, folder / "log")
        processes.append(subprocess.Popen([*listen, str(heard)], env=own, start_new_session=True))
        while not (heard.exists() and heard.stat().st_size):
            _check(processes, deadline_s, folder / "log")
        yield SoundServer(own)
    finally:
        for process in reversed(processes):
            process.kill()
            process.wait()


def _check(processes: list[subprocess.Popen[bytes]], deadline_s: float, log: Path) -> None:
    """Wait a little; skip the test where one has ended, or it takes too long."""
    if any(process.poll() is not None for process in processes) or time.monotonic() > deadline_s:
        pytest.skip(f"PulseAudio cannot be started here: {log.read_text()[-300:]}")
    time.sleep(0.05)
