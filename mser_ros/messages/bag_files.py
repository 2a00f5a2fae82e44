"""The files of a bag, found and made readable: unpacked, SQLite's log merged, an MCAP that was never closed closed.

A bag that is read by its files needs no metadata.yaml: both formats describe themselves. What was odd becomes a note.
"""

from __future__ import annotations

import errno
import gzip
import os
import re
import shutil
import struct
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import BinaryIO

import apsw
import yaml

from ..errors import BagError, NoRoomError, unusable_name
from .bag_salvage import salvage_mcap, salvage_sqlite, written
from .mcap_records import CHUNK, CHUNK_HEAD, DATA_END, END, HEAD, LONGEST_CHUNK, MAGIC, zstd

#: What `ros2 bag` writes beside the files of a bag.
METADATA = "metadata.yaml"
#: Formats of bags, by their suffix; and what a packed file's name ends with after that.
_FORMATS = (".mcap", ".db3")
_PACKED = (".zstd", ".zst", ".gz")
_SQLITE = b"SQLite format 3\0"
_BLOCK = 1 << 20
#: A disk that is full, a share of it that is used up, a file as large as files may be.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def is_bag(path: Path) -> bool:
    """Whether a path looks like a bag: a folder, or a file of one, by its name or by how it begins."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        return False  # a pipe would be waited for
    if path.is_dir() or path.name == METADATA or _format(path):
        return True
    try:
        with path.open("rb") as stream:
            return stream.read(len(_SQLITE)).startswith((MAGIC, _SQLITE))
    except OSError:
        return False


class BagFiles:
    """The files of a bag in their order; use `close` when they are not needed any more.

    `paths`: what can be read, copies in a temporary folder where the file itself cannot. `notes`: a sentence for each
    thing that is not as it should be. Raises `BagError` where there is no bag.
    """

    def __init__(self, path: Path) -> None:
        self.notes: list[str] = []
        #: Whether a recorder did not finish one of them.
        self.is_unfinished = False
        self._scratch: TemporaryDirectory[str] | None = None
        try:
            found = _find(path, self.notes)
            self.paths = list(self._all_readable(found))
        except OSError as error:
            self.close()
            raise BagError(f"the bag {path} cannot be read ({error}): check the disk and its rights") from None
        except BaseException:
            self.close()
            raise

    def salvaged(self, path: Path, named: Path) -> Path:
        """A copy of what can be read of one of `paths`, which the library refuses as a whole. Raises `BagError` that
        speaks of `named`."""
        is_sqlite = path.suffix == ".db3"
        # Of SQLite a copy of the pages stands beside it meanwhile.
        with self._room(path.stat().st_size * (1 + is_sqlite), named):
            target = self._place(path.name)
            try:
                self.notes.append((salvage_sqlite if is_sqlite else salvage_mcap)(path, target, named))
            except BaseException:
                target.unlink(missing_ok=True)
                raise
        return target

    @contextmanager
    def _room(self, needed: int, named: Path) -> Iterator[None]:
        """For a copy of so many bytes or more in the temporary folder. Raises `NoRoomError`, with the cure, where there
        is no room for it, if possible before it is begun; and `BagError` where something cannot be read."""
        try:
            free = shutil.disk_usage(gettempdir()).free
            if needed > free:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            yield
        except OSError as error:
            if error.errno not in _FULL:
                raise BagError(f"the bag {named} cannot be read ({error}): check the disk and its rights") from None
            raise NoRoomError(
                f"the bag {named} can only be read from a copy, of {needed / 1e6:.1f} MB or more, for which there is "
                f"no room in {gettempdir()}: make room there, or name another folder by the environment variable TMPDIR"
            ) from None

    def close(self) -> None:
        """Delete what was copied."""
        if self._scratch:
            self._scratch.cleanup()
            self._scratch = None

    def _all_readable(self, found: list[Path]) -> Iterator[Path]:
        refused = []
        for file in found:
            try:
                yield self._readable(file)
            except NoRoomError:
                raise
            except BagError as error:
                refused.append(error)
        if len(refused) == len(found):
            raise refused[0]
        self.notes += [f"{str(error).partition(': ')[0]}: the other files are read" for error in refused]

    def _readable(self, file: Path) -> Path:
        if file.suffix.lower() in _PACKED:
            with self._room(file.stat().st_size, file):
                file = self._unpacked(file)
        is_sqlite, suffix = self._is_sqlite(file), file.suffix
        if is_sqlite or not _is_closed(file):
            file = self._merged(file) if is_sqlite else self._closed(file)
        wanted = ".db3" if is_sqlite else ".mcap"
        # The library goes by the suffix, and makes an address of the path of a database without quoting it.
        is_usual = file.suffix == wanted and not (is_sqlite and set("?#%") & set(str(file)))
        return file if is_usual else self._named(file, suffix, wanted)

    def _is_sqlite(self, file: Path) -> bool:
        """By what the file begins with, else by its name."""
        with file.open("rb") as stream:
            head = stream.read(len(_SQLITE))
        if not head:
            raise BagError(
                f"the bag {file} is empty, nothing was recorded: record it again, or take another copy of it"
            )
        if head.startswith(b"version https:"):
            raise BagError(f"the bag {file} is a pointer of Git LFS and not the file itself: git lfs pull")
        if head != _SQLITE and not head.startswith(MAGIC[: len(head)]) and head.isascii() and b"\0" not in head:
            raise BagError(f"the bag {file} is text and no bag (it begins with '{head.decode()}'): get the bag itself")
        return head == _SQLITE or (not head.startswith(MAGIC) and _format(file) == ".db3")

    def _named(self, file: Path, suffix: str, wanted: str) -> Path:
        target = self._place(f"bag{wanted}")
        try:
            target.symlink_to(os.path.realpath(file))
        except OSError:
            shutil.copyfile(file, target)
        if suffix.lower() != wanted:
            self.notes.append(f"{file.name} is in the format of {wanted} and read as that")
        return target

    def _unpacked(self, file: Path) -> Path:
        target = self._place(file.stem)
        with file.open("rb") as packed, target.open("wb") as unpacked:
            try:
                with gzip.open(packed) if file.suffix.lower() == ".gz" else zstd.open(packed, "rb") as opened:
                    shutil.copyfileobj(opened, unpacked, _BLOCK)
            except (EOFError, zlib.error, gzip.BadGzipFile, zstd.ZstdError) as error:
                self.notes.append(f"{file.name} is damaged ({error}): what could be unpacked is read")
        return target

    def _merged(self, file: Path) -> Path:
        """SQLite keeps the newest messages in a log beside the file until its writer is done."""
        logs = [log for kind in ("-wal", "-journal") if (log := Path(f"{file}{kind}")).is_file() and log.stat().st_size]
        if not logs:
            return file
        target = self._place(file.name)
        sources = (file, *logs)
        try:
            with self._room(sum(source.stat().st_size for source in sources), file), written():
                for source in sources:
                    shutil.copyfile(source, target.with_name(source.name))
                connection = apsw.Connection(str(target))
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
                connection.execute("PRAGMA journal_mode=DELETE").fetchall()
                connection.close()
        except apsw.Error as error:
            self.notes.append(f"{logs[0].name} cannot be merged ({error}): the messages in it are lost")
            return file
        self.notes.append(
            f"the recorder of {file.name} did not finish: its messages in {logs[0].name} are read as well"
        )
        return target

    def _closed(self, file: Path) -> Path:
        """An MCAP up to its last whole record, with the end that its recorder did not come to write."""
        size = file.stat().st_size
        target = self._place(file.name)
        with self._room(size, file), file.open("rb") as source, target.open("wb") as copy:
            if source.read(len(MAGIC)) != MAGIC:
                return file
            whole = _whole_records(source, len(MAGIC), size)
            source.seek(0)
            for at in range(0, whole, _BLOCK):
                copy.write(source.read(min(_BLOCK, whole - at)))
            copy.write(_begun_chunk(source.read(LONGEST_CHUNK)))
            copy.write(END)
        self.is_unfinished = True
        self.notes.append(f"the recorder of {file.name} did not finish: its {size} bytes are read as far as they go")
        return target

    def _place(self, name: str) -> Path:
        if self._scratch is None:
            self._scratch = TemporaryDirectory(prefix="mser_bag_")
        folder = Path(self._scratch.name) / str(len(os.listdir(self._scratch.name)))
        folder.mkdir()
        return folder / name


def _unpacked_name(name: str) -> str:
    return Path(name).stem if Path(name).suffix.lower() in _PACKED else name


def _format(path: Path) -> str | None:
    suffix = Path(_unpacked_name(path.name)).suffix.lower()
    return suffix if suffix in _FORMATS else None


def _find(path: Path, notes: list[str]) -> list[Path]:
    if not path.exists():
        raise BagError(f"there is no bag {path}: check the path")
    if fault := unusable_name(path):
        raise BagError(fault)
    if path.name == METADATA:
        path = path.parent
    if not path.is_dir():
        if not is_bag(path):
            raise BagError(f"{path} is no bag of ROS 2: name a bag folder, a .mcap or a .db3 file")
        return [path]
    files = {file.name: file for file in sorted(path.iterdir(), key=_number) if _format(file) and file.is_file()}
    files = {name: file for name, file in files.items() if not name.startswith("._")}  # which macOS puts beside
    files = {name: file for name, file in files.items() if not (file.suffix.lower() in _PACKED and file.stem in files)}
    listed = _listed(path / METADATA, notes)
    known = [name for name in (_on_disk(name, files) for name in listed) if name]
    if lost := [name for name in listed if not _on_disk(name, files)]:
        notes.append(f"{METADATA} lists {', '.join(lost)}, which is not there: what is there is read")
    if not files:
        raise BagError(f"the folder {path} holds no .mcap or .db3 file: name the folder or the file of a bag")
    others = [name for name in files if name not in known]
    if not known:
        if len({recording_of(file) for file in files.values()}) > 1:
            raise BagError(f"the folder {path} holds several recordings: name one of {', '.join(files)}")
        notes += _gaps(files.values())
    elif others:
        listed_ones = {recording_of(files[name]) for name in known}
        strange = [name for name in others if recording_of(files[name]) not in listed_ones]
        others = [name for name in others if name not in strange]
        if strange:
            notes.append(f"{', '.join(strange)} is of another recording than {METADATA}: it is left out")
        if others:
            notes.append(f"{METADATA} does not list {', '.join(others)}: it is read as well")
    return [files[name] for name in (*known, *others)]


def _gaps(files: Iterable[Path]) -> list[str]:
    """A sentence on files that their numbers say are missing between others."""
    numbers = [_number(file)[1] for file in files]
    lost = sorted(set(range(min(numbers), max(numbers))) - set(numbers))
    named = ", ".join(map(str, lost[:5])) + (" ..." if len(lost) > 5 else "")
    return [f"by their numbers, files between these are missing: {named}"] if lost else []


def _on_disk(name: str, files: dict[str, Path]) -> str:
    """The file that metadata mean: it may have been packed or unpacked since."""
    names = (name, *(f"{name}{packed}" for packed in _PACKED), _unpacked_name(name))
    return next((one for one in names if one in files), "")


def is_bag_file(path: Path) -> bool:
    """Whether a file is one of a bag by its name."""
    return _format(path) is not None


def recording_of(file: Path) -> tuple[str | None, str]:
    """What the files of one recording have in common, by their names."""
    return _format(file), _number(file)[0]


def _number(file: Path) -> tuple[str, int, str]:
    """What recordings are sorted by: a recorder numbers the files that it splits a recording into."""
    stem = _unpacked_name(file.name).rsplit(".", 1)[0]
    found = re.fullmatch(r"(.*)_(\d+)", stem, re.DOTALL)
    return (found[1], int(found[2]), file.name) if found else (stem, 0, file.name)


def _listed(metadata: Path, notes: list[str]) -> list[str]:
    """The names of the files, as metadata.yaml has them."""
    if not metadata.is_file():
        notes.append(f"there is no {METADATA}: the files are read in the order of their numbers")
        return []
    try:
        tree = yaml.safe_load(metadata.read_text(encoding="utf-8"))
        return [Path(str(name)).name for name in tree["rosbag2_bagfile_information"]["relative_file_paths"]]
    except (OSError, ValueError, TypeError, KeyError, RecursionError, yaml.YAMLError):
        notes.append(f"{METADATA} cannot be read: the files are read in the order of their numbers")
        return []


def _is_closed(file: Path) -> bool:
    with file.open("rb") as stream:
        if stream.seek(0, os.SEEK_END) < 2 * len(MAGIC):
            return False
        stream.seek(-len(MAGIC), os.SEEK_END)
        return stream.read() == MAGIC


def _whole_records(stream: BinaryIO, at: int, size: int) -> int:
    """Up to which byte the data of an MCAP, which begin `at`, consist of whole records."""
    stream.seek(at)
    while len(head := stream.read(HEAD.size)) == HEAD.size:
        code, length = HEAD.unpack(head)
        if not 0 < code < DATA_END or at + HEAD.size + length > size:
            break
        at = stream.seek(at + HEAD.size + length)
    return at


def _begun_chunk(rest: bytes) -> bytes:
    """A chunk of the whole messages of one that is cut off; nothing where that cannot be."""
    try:
        if rest[0] != CHUNK:
            return b""
        begin_ns, end_ns, _, _, name = CHUNK_HEAD.unpack_from(rest, HEAD.size)
        first = HEAD.size + CHUNK_HEAD.size
        compression, records = rest[first : first + name], rest[first + name + 8 :]
        if compression == b"zstd":
            records = zstd.ZstdDecompressor().decompress(records)
        elif compression:
            return b""
    except (LookupError, struct.error, zstd.ZstdError):
        return b""
    whole = _whole_records(BytesIO(records), 0, len(records))
    head = CHUNK_HEAD.pack(begin_ns, end_ns, whole, 0, 0) + struct.pack("<Q", whole)
    return HEAD.pack(CHUNK, len(head) + whole) + head + records[:whole]
