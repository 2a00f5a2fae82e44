"""Many recordings: shared among processes, told of in one table."""

from __future__ import annotations

import csv
import hashlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from functools import partial
from multiprocessing.synchronize import Event
from pathlib import Path
from urllib.parse import quote

from ..errors import MserError, unusable_place
from ..evaluation.findings import Making
from ..evaluation.recording_page import write_index
from ..labels import LABELS, UNKNOWN
from .annotation import Annotator
from .annotation_choices import Choices
from .cluster import share_on_ray
from .inputs import Item
from .recording_report import REPORT

TABLE, INDEX = "results.csv", "index.html"
#: Nothing of this process, such as its threads, is to be copied.
_SPAWNING = multiprocessing.get_context("spawn")
#: The reason of a recording that is gone on with next time.
_INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class Row:
    """One recording in the table. `reason`: why there is no result; '' where there is. `labels`: final estimates by
    label, 'unknown' among them. `notes`: what is odd about it. `version`: tells the recording and how it was annotated
    from others; '' where it is not done."""

    recording: str
    reason: str = ""
    seconds: float = 0.0
    utterances: int = 0
    labels: dict[str, int] = field(default_factory=dict)
    dropped: int = 0
    notes: str = ""
    took_s: float = 0.0
    version: str = ""

    def cells(self) -> dict[str, object]:
        """As the table holds them."""
        values = asdict(self) | {"seconds": f"{self.seconds:.2f}", "took_s": f"{self.took_s:.2f}"}
        labels = values.pop("labels")
        return values | {name: labels.get(name, 0) for name in (*LABELS, UNKNOWN)}


def annotate_all(
    recordings: Sequence[Path],
    out: Path,
    choices: Choices,
    *,
    workers: int | None = None,
    ray: str | None = None,
    resume: bool = False,
) -> Iterator[Row]:
    """The row of each recording, as it is done; the table is written after each. What `results.csv` tells of already
    comes first if `resume`. `workers`: processes of this machine; `ray`: address of a Ray cluster instead, '' for one
    that is started here. Raises `MserError` where no recording can be annotated at all, as with a broken bundle."""
    places = _places(recordings, out)
    making = Annotator(choices).making  # what is wrong with it is better told once than of each recording
    out.mkdir(parents=True, exist_ok=True)
    done = _read_table(out / TABLE) if resume else {}
    version = partial(_version, choices=choices, checksum=making.checksum)
    rows = [row for path in recordings if (row := done.get(str(path))) and row.version == version(path)]
    try:
        yield from rows
        known = {row.recording for row in rows}
        left = [path for path in recordings if str(path) not in known]
        if ray is None:
            shared = _share(left, places, choices, workers or 1)
        else:
            shared = _on_cluster(left, places, choices, ray, workers) if left else iter(())
        for row in shared:
            if row.reason != _INTERRUPTED:
                row = replace(row, version=version(Path(row.recording)))
            rows.append(row)
            _write_table(out / TABLE, rows)
            yield row
    finally:
        _write_table(out / TABLE, rows)
        if choices.html:
            _write_index(out, rows, places, making)


def _places(recordings: Sequence[Path], out: Path) -> dict[str, Path]:
    """Where the results of each recording will lie. Raises `MserError` where something else does."""
    # Not where a link leads to: two of them may lead to one recording.
    absolute = {str(path): Path(os.path.abspath(path)) for path in recordings}
    base = Path(os.path.commonpath([path.parent for path in absolute.values()]))
    places = {name: out / path.relative_to(base) for name, path in absolute.items()}
    own = {os.path.realpath(path) for path in absolute.values()}
    for name, place in places.items():
        folders = (place, *place.parents[: len(place.parts) - len(out.parts)])
        for folder in folders:
            if (is_own := os.path.realpath(folder) in own) or (folder.exists() and not folder.is_dir()):
                raise MserError(
                    f"the results of {name} would lie in the folder {place}, but {folder} is a "
                    f"{'recording' if is_own else 'file'}: name another folder with -o"
                )
    return places


def _share(recordings: Sequence[Path], places: dict[str, Path], choices: Choices, workers: int) -> Iterator[Row]:
    """Share recordings among processes. One that takes its process with it is tried again alone, then given up."""
    left = list(recordings)
    for alone in (False, True):
        groups = [[path] for path in left] if alone else [left]
        left = []
        for group in groups:
            stop = _SPAWNING.Event()
            with _pool(1 if alone else workers, choices, stop) as pool:
                try:
                    with _without_ctrl_c():
                        futures = {pool.submit(_annotate, path, places[str(path)]): path for path in group}
                    for future in as_completed(futures):
                        path = futures[future]
                        row = _row_of(future, path)
                        if row is None and not alone:
                            left.append(path)
                        else:
                            yield row or _died(str(path))
                except BaseException:
                    stop.set()  # Ctrl-C need not have reached the other processes
                    pool.shutdown(cancel_futures=True)
                    raise
        if not left:
            return


def _on_cluster(
    recordings: Sequence[Path], places: dict[str, Path], choices: Choices, address: str, workers: int | None
) -> Iterator[Row]:
    """Share recordings on a Ray cluster."""
    true = {path: Path(os.path.realpath(path)) for path in (*recordings, *places.values())}
    jobs = {str(path): (choices, true[path], true[places[str(path)]]) for path in recordings}
    for name, found in share_on_ray(_annotate_with, jobs, address=address, workers=workers):
        if isinstance(found, Row):
            yield replace(found, recording=name)
        else:
            yield _died(name) if found is None else _bug(name, found)


def _pool(workers: int, choices: Choices, stop: Event) -> ProcessPoolExecutor:
    if workers > 1:  # processes share the cores; more threads than those only wait for each other
        for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            os.environ.setdefault(variable, "1")
    return ProcessPoolExecutor(workers, mp_context=_SPAWNING, initializer=_begin, initargs=(choices, stop))


def _row_of(future: Future[Row], path: Path) -> Row | None:
    """None where the process has died."""
    try:
        return future.result()
    except BrokenProcessPool:
        return None
    except Exception as error:
        return _bug(str(path), error)


def _died(recording: str) -> Row:
    return Row(recording, "its process died: is there enough memory?")


def _bug(recording: str, error: BaseException) -> Row:
    return Row(recording, f"a bug, report it: {type(error).__name__}: {error}")


@contextmanager
def _without_ctrl_c() -> Iterator[None]:
    """Processes that begin in the block hold Ctrl-C back. One that comes meanwhile is raised after the block."""
    came: list[int] = []
    handler = signal.signal(signal.SIGINT, lambda number, _: came.append(number))  # other threads may receive it
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        signal.signal(signal.SIGINT, handler)
    if came:
        raise KeyboardInterrupt


@contextmanager
def _with_ctrl_c() -> Iterator[None]:
    """In such a process: let Ctrl-C through, one that came before as well."""
    before = signal.pthread_sigmask(signal.SIG_UNBLOCK, ())
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# -- in the processes, which Ctrl-C reaches nowhere but in a recording: elsewhere it would leave a traceback

_annotator: Annotator | None = None
_is_interrupted = False
_stop: Event | None = None


def _begin(choices: Choices, stop: Event | None = None) -> None:
    """`stop`: set where the work is to end."""
    global _annotator, _stop
    _stop = stop
    if threading.current_thread() is threading.main_thread():  # Ray has its own way to interrupt a task
        signal.signal(signal.SIGINT, signal.default_int_handler)
    _annotator = Annotator(choices)


def _annotate_with(choices: Choices, path: Path, out: Path) -> Row:
    """In a process that loads the models for its first recording."""
    if _annotator is None or _annotator.choices != choices:
        _begin(choices)
    return _annotate(path, out)


def _annotate(path: Path, out: Path) -> Row:
    global _is_interrupted
    assert _annotator is not None
    if _is_interrupted or (_stop and _stop.is_set()):  # was handed over before that
        return Row(str(path), _INTERRUPTED)
    begun_s = time.monotonic()
    try:
        with _with_ctrl_c():
            found = _annotator.annotate(path, out, resume=True, track=_until_stop)
    except (MserError, OSError) as error:
        if not (reason := unusable_place(error) if isinstance(error, OSError) else str(error)):
            raise
        return Row(str(path), reason, took_s=time.monotonic() - begun_s)
    except KeyboardInterrupt:  # what is done was written down if it is `Interrupted`
        _is_interrupted = True
        return Row(str(path), _INTERRUPTED)
    labels: dict[str, int] = {}
    for record in found.finals:
        labels[record["label"]] = labels.get(record["label"], 0) + 1
    took_s, dropped = time.monotonic() - begun_s, sum(found.dropped.values())
    return Row(str(path), "", found.seconds, len(found.finals), labels, dropped, "; ".join(found.notes), took_s)


def _until_stop(items: Iterable[Item], count: int, name: str) -> Iterator[Item]:
    for item in items:
        if _stop and _stop.is_set():
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # once is enough
            raise KeyboardInterrupt
        yield item


# -- the table


def _version(path: Path, choices: Choices, checksum: str) -> str:
    """What tells a recording from another one at its place, and how it was annotated from other ways. `checksum`: of
    the bundle, as another one may have come to its place."""
    try:
        files = sorted(item for item in path.rglob("*") if item.is_file()) if path.is_dir() else [path]
        found = [item.stat() for item in files]
    except OSError:
        return "missing"
    how = hashlib.sha256(f"{choices} {checksum}".encode()).hexdigest()[:8]
    return f"{sum(item.st_size for item in found)}-{max((item.st_mtime_ns for item in found), default=0)}-{how}"


def _write_table(path: Path, rows: Sequence[Row]) -> None:
    part = path.with_suffix(".part")
    with part.open("w", encoding="utf-8-sig", errors="surrogateescape", newline="") as stream:
        writer = csv.DictWriter(stream, list(Row("").cells()))
        writer.writeheader()
        writer.writerows(row.cells() for row in sorted(rows, key=lambda row: row.recording))
    os.replace(part, path)


def _write_index(out: Path, rows: Sequence[Row], places: Mapping[str, Path], making: Making) -> None:
    """A page with the table, and a link to the report of each recording that has one."""
    found = []
    for row in sorted(rows, key=lambda row: row.recording):
        name = places[row.recording].relative_to(out)
        link = "" if row.reason else quote((name / REPORT).as_posix(), errors="surrogateescape")
        found.append({**asdict(row), "name": str(name), "link": link})
    write_index(out / INDEX, found, labels=(*LABELS, UNKNOWN), making=making)


def _read_table(path: Path) -> dict[str, Row]:
    """The rows of an earlier call, by recording; none where there is no table of ours."""
    kinds = {"seconds": float, "took_s": float, "utterances": int, "dropped": int}
    found = {}
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as stream:
            for cells in csv.DictReader(stream):
                values = {
                    item.name: kinds.get(item.name, str)(cells[item.name])
                    for item in fields(Row)
                    if item.name != "labels"
                }
                labels = {name: int(cells[name]) for name in (*LABELS, UNKNOWN) if int(cells[name])}
                found[values["recording"]] = Row(**values, labels=labels)
    except (OSError, KeyError, ValueError, TypeError):
        return {}
    return found
