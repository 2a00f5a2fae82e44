"""`mser bench`: latency, load and memory of the live nodes on this machine."""

from __future__ import annotations

import json
import os
import platform
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from ..errors import BagError, DependencyError
from ..messages.audio_topics import AUDIO_TYPES
from ..messages.bags import Bag
from ..nodes.load import PEOPLE_IN_VIEW, bodies_load, first_words, idle_load, latencies, spoken_s, usages
from ..nodes.processes import NodeProcesses
from ..nodes.replay import CORE_NODES, ReplaySession, wait_for_nodes
from ..nodes.together import compare
from ..resources import share_dir
from .demo import isolate
from .page_load import PageLoad, lacking, page_load
from .tables import json_option, show_table, table, write_option

#: Above this a robot looks up too late [ms].
FIRST_GOAL_MS = 300


@click.command()
@click.option("--rounds", type=click.IntRange(1, 100), default=5, show_default=True, help="Replays of the bag.")
@click.option("--idle", "idle_s", type=click.FloatRange(1, 600), default=20.0, show_default=True, help="Quiet [s].")
@click.option("--bag", type=click.Path(path_type=Path), help="Bag to replay.  [the demo bag of this package]")
@click.option("--bundle", default="", help="Model bundle.  [the default one]")
@click.option("--watchers", type=click.IntRange(1, 100), default=10, show_default=True, help="Who look at the page.")
@click.option("--talks", type=click.IntRange(1, 100), default=2, show_default=True, help="To one process and to four.")
@json_option()
@write_option("docs/measured.md", "nodes", "processes")
def bench(
    rounds: int,
    idle_s: float,
    bag: Path | None,
    bundle: str,
    watchers: int,
    talks: int,
    json_path: Path | None,
    page: Path | None,
) -> int:
    """Measure the live nodes: end of speech to final emotion, load while listening, memory; ten people in view; people
    who look at the page of `mser view`; and all nodes in one process (`mser run`) beside each in its own.

    Every node runs as a process of its own; the bag is replayed in real time. 'Final' counts from the end of speech as
    the segmenter decides it; the silence it waits for (segmenter.hangover_s) comes on top. First words count from the
    end of the first word, as the final transcript times it. Load is processor time, which others on the machine change
    little. Without the page's packages (mser_ros[view]) the page alone is left out.
    """
    console = Console(highlight=False)
    isolate()
    path = bag or share_dir() / "demo" / "demo.mcap"
    with Bag(path) as source:  # what is wrong with it is better told before the quiet than after
        if source.topics.get("/audio") not in AUDIO_TYPES:
            raise BagError(f"the bag {path} has no sound on /audio, which is replayed: record it under that name")
    if unseen := lacking():
        console.print(f"The page is not measured: {unseen}", style="yellow", markup=False, soft_wrap=True)
    looks = () if unseen else (0, watchers)
    parameters = {"emotion:bundle": bundle} if bundle else {}
    found: list[float] = []
    told: list[float] = []
    talking: list[float] = []
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("listening to silence", total=rounds + len(looks) + 3)
        with NodeProcesses(CORE_NODES, parameters=parameters) as nodes, ReplaySession() as session:
            wait_for_nodes(session, nodes)
            idle = idle_load(session, nodes, idle_s)
            progress.advance(task)
            for number in range(rounds):
                progress.update(task, description=f"replay {number + 1} of {rounds}")
                session.emotions.clear()
                session.utterances.clear()
                before, begin_s = usages(nodes), time.monotonic()
                session.play(path, topics=("/audio", "/skeleton_in"))
                session.finish()
                lasted_s, after = time.monotonic() - begin_s, usages(nodes)
                found += latencies(session)
                told += first_words(session)
                if said_s := spoken_s(session):
                    work_s = sum(after[name].cpu_s - before[name].cpu_s for name in before)
                    talking.append((work_s - sum(idle.values()) * max(0.0, lasted_s - said_s)) / said_s)
                progress.advance(task)
            held = usages(nodes)
            watched: dict[int, PageLoad] = {}
            for count in looks:
                progress.update(task, description=f"a page that {count or 'nobody'} look at")
                watched[count] = page_load(count, lambda: session.play(path, topics=("/audio", "/skeleton_in")))
                session.finish()
                progress.advance(task)
        if not found:
            raise DependencyError(f"no utterance of {path} got a final emotion: see 'mser doctor'")

        def begin(what: str) -> None:
            progress.update(task, advance=1, description=f"a talk to {what}")

        with tempfile.TemporaryDirectory() as scratch:
            compared = compare(path, Path(scratch), rounds=talks, parameters=parameters, begin=begin)
    numbers = {
        "machine": _machine(),
        "utterances": len(found),
        "final_p50_ms": round(float(np.percentile(found, 50)) * 1000, 1),
        "final_p95_ms": round(float(np.percentile(found, 95)) * 1000, 1),
        "first_words_p50_ms": round(float(np.median(told)) * 1000, 1) if told else None,
        "first_words_p95_ms": round(float(np.percentile(told, 95)) * 1000, 1) if told else None,
        "talking_share_of_core": round(float(np.median(talking)), 4),
        "bodies_share_of_core": round(bodies_load(), 4),
        "watchers": watchers,
        "page_share_of_core": {str(count): round(item.share, 4) for count, item in watched.items()},
        "page_updates_hz": round(watched[watchers].updates_hz, 2) if watched else None,
        "page_rss_mb": round(watched[watchers].rss / 1e6, 1) if watched else None,
        "idle_share_of_core": {name: round(share, 4) for name, share in idle.items()},
        "idle_share_of_core_sum": round(sum(idle.values()), 4),
        "rss_mb": {name: round(item.rss / 1e6, 1) for name, item in held.items()},
        "peak_rss_mb": {name: round(item.peak / 1e6, 1) for name, item in held.items()},
        "processes": compared,
    }
    _print(console, numbers)
    show_table(page, "nodes", [*node_rows(numbers), "", f"{numbers['machine']}; {numbers['utterances']} utterances."])
    many = next(iter(compared.values()))["utterances"]
    show_table(page, "processes", [*rows(compared), "", f"{numbers['machine']}; {many:.0f} utterances each."])
    if json_path:
        json_path.write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")
    return 0


def _print(console: Console, numbers: dict) -> None:
    console.print(numbers["machine"], style="dim")
    table = Table(show_edge=False, pad_edge=False)
    for column in ("node", "CPU while listening", "RSS", "peak RSS"):
        table.add_column(column, justify="left" if column == "node" else "right")
    for name, share in numbers["idle_share_of_core"].items():
        rss, peak = numbers["rss_mb"][name], numbers["peak_rss_mb"][name]
        table.add_row(name, f"{share:.1%} of a core", f"{rss:.0f} MB", f"{peak:.0f} MB")
    table.add_row("together", f"{numbers['idle_share_of_core_sum']:.1%} of a core", "", "")
    console.print(table)


def node_rows(numbers: Mapping[str, Any]) -> list[str]:
    """What was measured of the nodes as processes of their own: the lines of a table in Markdown."""
    shares, watchers = numbers["page_share_of_core"], numbers["watchers"]
    held = ", ".join(
        f"{name} {rss:.0f} (at most {numbers['peak_rss_mb'][name]:.0f})" for name, rss in numbers["rss_mb"].items()
    )

    def latency(name: str) -> str:
        if numbers[f"{name}_p50_ms"] is None:
            return "–"
        return ", ".join(f"p{percent} {numbers[f'{name}_p{percent}_ms']:.0f} ms" for percent in (50, 95))

    return table(
        ["", "measured", "goal"],
        [
            [
                "end of speech, as the segmenter decides it → final emotion",
                latency("final"),
                "p50 ≤ 20 ms, p95 ≤ 80 ms",
            ],
            ["first word said → first words told", latency("first_words"), "≤ 900 ms"],
            [
                "CPU of the listening nodes together, a quiet room and a body that stands",
                f"{numbers['idle_share_of_core_sum']:.1%} of one core",
                "≤ 12 %",
            ],
            ["the same while somebody speaks", f"{numbers['talking_share_of_core']:.0%} of one core", "≤ 70 %"],
            ["resident memory [MB]", held, "≤ 380 each"],
            [
                f"`mser view` while somebody speaks and is seen: nobody looks; {watchers} watchers",
                f"{shares['0']:.1%}; {shares[str(watchers)]:.1%} of one core, {numbers['page_rss_mb']:.0f} MB, "
                f"{numbers['page_updates_hz']:.1f} updates a second"
                if shares
                else "–",
                "ten cost ≤ 5 %",
            ],
            [
                f"{PEOPLE_IN_VIEW} bodies at 30 Hz, checked, mended and made canonical twice a second",
                f"{numbers['bodies_share_of_core']:.1%} of one core",
                "≤ 10 %",
            ],
        ],
    )


def rows(found: Mapping[str, Mapping[str, float]]) -> list[str]:
    """The lines of a table in Markdown."""

    def latency(name: str, digits: int) -> list[str]:
        return [
            ", ".join(f"p{percent} {item[f'{name}_p{percent}_ms']:.{digits}f} ms" for percent in (50, 95))
            for item in found.values()
        ]

    return table(
        ["", *found, "goal"],
        [
            ["a block of sound: from the microphone node through the speech node", *latency("hop", 1), "–"],
            ["a second of speech → first provisional emotion", *latency("first", 0), f"p95 ≤ {FIRST_GOAL_MS} ms"],
            ["end of speech, as the segmenter decides it → final emotion", *latency("final", 0), "p95 ≤ 80 ms"],
            [
                "CPU while somebody speaks and is seen",
                *(f"{item['share_of_core']:.0%} of one core" for item in found.values()),
                "–",
            ],
            [
                "memory, what they share counted once",
                *(f"{item['memory_mb']:.0f} MB" for item in found.values()),
                "–",
            ],
        ],
    )


def _machine() -> str:
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), model)
    except OSError:
        pass
    load = os.getloadavg()[0]
    return f"{model}, {os.cpu_count()} cores, load {load:.1f}, Python {platform.python_version()}"
