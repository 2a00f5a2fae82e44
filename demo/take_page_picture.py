"""Make `docs/page.png`: the page of `mser view` over the demo's bag, on a desk in light and on a phone in dark.

Run it from the repository's root with the project's environment (`make page-picture`). It needs Chromium; the page does
not. The bag is played several times in a row, as one conversation, so that the two minutes are filled; the picture is
taken while it begins once more.
"""

from __future__ import annotations

import io
import shutil
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, expect, sync_playwright

from mser_ros.cli.demo import AUDIO, CORE_NODES, isolate, wait_for_nodes
from mser_ros.messages import conversions
from mser_ros.messages.bag_writer import BagWriter
from mser_ros.messages.bags import Bag
from mser_ros.nodes.processes import NodeProcesses
from mser_ros.nodes.replay import ReplaySession
from mser_ros.resources import share_dir

TARGET = Path(__file__).parents[1] / "docs" / "page.png"
ROUNDS, RATE = 4, 2.0
#: A word of the bag's last sentence.
LAST = "platform"
HEIGHT, GAP, COLOURS = 1260, 24, 128
SCREENS = (("light", 1180), ("dark", 390))
#: How long a busy machine may take to draw it [ms].
PATIENCE_MS = 180_000
SKELETON = "mser_msgs/msg/Skeleton"


def write_rounds(target: Path) -> None:
    """The demo's bag, one after the other, and once more."""
    with Bag(share_dir() / "demo" / "demo.mcap") as source, BagWriter(target) as writer:
        length_ns, samples = source.end_ns - source.start_ns, 0
        for number in range(ROUNDS + 1):
            shift_ns, first_sample = number * length_ns, samples
            for message in source.messages(["/audio", "/skeleton_in"]):
                log_ns = message.log_ns + shift_ns
                if message.topic == "/audio":
                    chunk = conversions.audio_from_msg(message.decode())
                    stamp_ns, sample = chunk.stamp_ns + shift_ns, chunk.first_sample + first_sample
                    samples = sample + chunk.frames
                    moved = conversions.audio_to_fields(replace(chunk, stamp_ns=stamp_ns, first_sample=sample))
                    writer.write("/audio", AUDIO, moved, log_ns)
                else:
                    frame = conversions.skeleton_from_msg(message.decode())
                    moved = conversions.skeleton_to_fields(replace(frame, stamp_ns=frame.stamp_ns + shift_ns))
                    writer.write("/skeleton_in", SKELETON, moved, log_ns)


def open_pages(browser: Browser, link: str) -> list[Any]:
    pages = []
    for scheme, width in SCREENS:
        page = browser.new_page(viewport={"width": width, "height": HEIGHT}, color_scheme=scheme)  # type: ignore[arg-type]
        page.goto(link)
        page.wait_for_selector("#connection:has-text('Connected')")
        pages.append(page)
    return pages


def save(pictures: list[bytes], target: Path) -> None:
    """Side by side, in few colours."""
    images = [Image.open(io.BytesIO(picture)).convert("RGB") for picture in pictures]
    whole = Image.new("RGB", (sum(image.width for image in images) + GAP * (len(images) - 1), HEIGHT), "white")
    left = 0
    for image in images:
        whole.paste(image, (left, 0))
        left += image.width + GAP
    whole.quantize(COLOURS).save(target, optimize=True)


def main() -> int:
    path = shutil.which("chromium")
    if path is None:
        print("there is no Chromium: install it, as by 'sudo apt install chromium'", file=sys.stderr)
        return 1
    isolate()
    command = [sys.executable, "-u", "-m", "mser_ros.cli.main", "view", "--port", "0"]
    view = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    nodes = NodeProcesses(CORE_NODES, parameters={"use_sim_time": True})
    try:
        assert view.stdout is not None
        link = next(line.split()[1] for line in view.stdout if line.startswith("Open "))
        with tempfile.TemporaryDirectory() as folder, nodes, ReplaySession() as session, sync_playwright() as driver:
            bag = Path(folder) / "rounds"
            write_rounds(bag)
            browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
            wait_for_nodes(session, nodes)
            pages = open_pages(browser, link)
            with ThreadPoolExecutor(1) as player:
                playing = player.submit(session.play, bag, rate=RATE, topics=("/audio", "/skeleton_in"))
                for page in pages:
                    expect(page.locator("#list tr", has_text=LAST)).to_have_count(ROUNDS, timeout=PATIENCE_MS)
                    page.wait_for_selector("#bodies svg")
                save([page.screenshot(timeout=PATIENCE_MS) for page in pages], TARGET)
                playing.result()
            session.finish()
            browser.close()
    finally:
        view.send_signal(signal.SIGINT)
        view.wait()
    print(f"{TARGET}: {TARGET.stat().st_size / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
