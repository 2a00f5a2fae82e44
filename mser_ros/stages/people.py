"""What was learned of people: how each voice differs from others, and what each person mostly shows.

It is shown, given away, taken in and erased as text. It lives in memory, and in a file where somebody asked for one.
Who goes by an id that was made up for this run, which is somebody else's in the next, is neither given away nor kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import RequestError
from ..recognition.bundle import Bundle
from ..recognition.recognizer import EmotionRecognizer
from ..types import EmotionEstimate
from .identities import Identities, Kind
from .state import EmotionStates

_FORMAT = "mser_ros voices 1"
_SUFFIX = ".voices.json"
#: Bounds of what is taken in [characters, people].
_LONGEST, _MOST, _LONGEST_NAME = 1_000_000, 1_000, 256
#: No voice sounds so different from others [logits].
_LARGEST_OFFSET = 50.0

#: By person: the state of the voice's baseline, if one was learned, and `usual`, the shares of the classes.
Learned = Mapping[str, Mapping[str, Any]]


class People:
    """What a recogniser and its states have learned of people; '' is whoever has no name.

    `note`, `take_in`, `erase`, `load` and `save` belong to the thread that owns the recogniser; what tells or checks
    rests on the last `note` and may be called from any. Raises `RequestError`, also for a file that cannot be used.
    """

    def __init__(
        self,
        recognizer: EmotionRecognizer,
        states: EmotionStates,
        folder: str = "",
        identities: Identities | None = None,
    ) -> None:
        """`folder`: where the file lies; '' keeps everything in memory. `identities`: whose ids were made up, and who
        goes by another name now."""
        self._recognizer = recognizer
        self._states = states
        self._bundle = recognizer.bundle
        self._model = _model_of(self._bundle)
        self._path = Path(folder).expanduser() / f"{_key(self._model)}{_SUFFIX}" if folder else None
        self._identities = identities or Identities()
        self._passing: set[str] = set()  # ids that were made up
        self._saved: Learned = {}
        self.known: Learned = {}

    @property
    def lasting(self) -> Learned:
        """What is known of those whose name means the same in another run."""
        anonymous = self._identities.is_made_up
        return {
            name: entry
            for name, entry in self.known.items()
            if name not in self._passing and not anonymous((Kind.PERSON, name))
        }

    def meet(self, estimate: EmotionEstimate) -> None:
        """Something may be learned of whom this is about: note whether the names are made up. Those of bodies are."""
        is_made_up = self._identities.is_made_up
        if estimate.voice_id and is_made_up((Kind.VOICE, estimate.voice_id)):
            self._passing.add(estimate.voice_id)
        if estimate.body_id and not (estimate.person_id or estimate.voice_id):
            self._passing.add(estimate.body_id)
        if estimate.person_id:
            self._passing.discard(estimate.person_id)

    def note(self) -> None:
        """Take note of what was learned since."""
        voices, usual = self._recognizer.learned(), self._states.learned()
        self.known = {
            name: {**voices.get(name, {}), **({"usual": usual[name]} if name in usual else {})}
            for name in {**voices, **usual}
        }
        self._passing &= self.known.keys()

    def describe(self) -> str:
        """A line for each person."""
        return "\n".join(self._line(name, entry) for name, entry in self.known.items()) or "nobody is known"

    def export(self, person_id: str = "") -> str:
        """What is known of one person, or of everybody, as text for `read`."""
        chosen = {name: entry for name, entry in self.lasting.items() if person_id in ("", name)}
        if not chosen and person_id in self.known:
            raise RequestError(
                f"'{person_id}' is an id of this run, and will be somebody else's in another: have a person manager "
                "(ROS4HRI) tell who that is"
            )
        if not chosen:
            raise RequestError(f"nothing was learned of '{person_id}'" if person_id else "nobody is known")
        head = {"format": _FORMAT, "bundle": self._bundle.model_id, **self._model}
        return json.dumps({**head, "people": chosen})

    def read(self, text: str) -> Learned:
        """What `export` gave, checked."""
        try:
            if len(text) > _LONGEST:
                raise ValueError(f"more than {_LONGEST} characters")
            content = json.loads(text)
            if not isinstance(content, dict) or content.get("format") != _FORMAT:
                raise ValueError(f"its format is not '{_FORMAT}'")
            if any(content.get(name) != value for name, value in self._model.items()):
                raise RequestError(
                    f"these voices were learned with another bundle, {str(content.get('bundle'))[:80]}, and mean "
                    f"nothing to {self._bundle.model_id}: import them with that bundle, or let this one learn anew"
                )
            people = content["people"]
            if not isinstance(people, dict) or len(people) > _MOST:
                raise ValueError(f"it is not of at most {_MOST} people")
            return {name: self._checked(name, entry) for name, entry in people.items()}
        except (ValueError, TypeError, KeyError, ArithmeticError, RecursionError) as error:
            raise RequestError(
                f"this is no export of voices ({str(error)[:200]}): give the text that ~/export_voices gave, unchanged"
            ) from None

    def take_in(self, learned: Learned) -> None:
        """Know these people by what `read` gave; others stay as they are, and so does what it does not tell of."""
        voices = {name: entry for name, entry in learned.items() if "sum" in entry}
        kept = {name: entry for name, entry in self._recognizer.learned().items() if name not in voices}
        self._recognizer.restore({**kept, **voices})
        self._states.learn({name: entry["usual"] for name, entry in learned.items() if "usual" in entry})
        self._passing -= learned.keys()
        self._recognizer.rename(self._identities.current_name, learned)
        self._states.rename(self._identities.current_name, learned)
        self.note()

    def erase(self) -> None:
        """Forget everybody, and leave nothing on the disk."""
        self._recognizer.forget()
        self._states.unlearn()
        self.known = self._saved = {}
        self._passing.clear()
        if self._path is not None:
            erase_files(str(self._path.parent))

    def load(self) -> None:
        """Take in what an earlier run has saved, if any was."""
        if self._path is None:
            return
        try:
            text = self._path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            raise RequestError(
                f"{self._path} cannot be read ({error}): make it readable, or erase it by ~/forget_voices"
            ) from None
        try:
            self.take_in(self.read(text))
        except RequestError as error:
            raise RequestError(f"{self._path} begins anew: {error}") from None
        self._saved = self.lasting

    def save(self) -> None:
        """Write the file, whole or not at all, if there is news and somebody has asked for one."""
        self.note()
        kept = self.lasting
        if self._path is None or kept == self._saved:
            return
        draft = self._path.with_suffix(f"{self._path.suffix}.{os.getpid()}.tmp")
        try:
            if not kept:  # who was known has turned out to be anonymous
                self._path.unlink(missing_ok=True)
                self._saved = kept
                return
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
                file.write(self.export())
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._path)
        except OSError as error:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)
            raise RequestError(
                f"{self._path} cannot be written ({error}): set voices_folder to one that can be, or to '' for none"
            ) from None
        self._saved = kept

    def _line(self, name: str, entry: Mapping[str, Any]) -> str:
        parts = []
        if "sum" in entry:
            offset = np.linalg.solve(np.array(entry["precision"]), np.array(entry["sum"]))
            best = int(offset.argmax())
            parts.append(
                f"{entry['utterances']} utterances heard, which sound more {self._bundle.labels[best]} than others' by "
                f"{offset[best]:.2f} (logits)"
            )
        if "usual" in entry:
            best = int(np.argmax(entry["usual"]))
            parts.append(f"mostly {self._bundle.labels[best]} ({entry['usual'][best]:.0%})")
        return f"{name or 'whoever has no name'}: {'; '.join(parts)}"

    def _checked(self, name: str, entry: Any) -> Mapping[str, Any]:
        """The known parts of one person. Raises `ValueError`, `KeyError` or `TypeError`."""
        classes = len(self._bundle.labels)
        checked: dict[str, Any] = {}
        if len(name.encode()) > _LONGEST_NAME:
            raise ValueError(f"a name of {len(name)} characters")
        if "sum" in entry:
            total, precision = np.array(entry["sum"], np.float64), np.array(entry["precision"], np.float64)
            fits = total.shape == (classes,) and precision.shape == (classes, classes)
            if not (fits and np.isfinite(total).all() and np.isfinite(precision).all()):
                raise ValueError(f"'{name}' has numbers that are not those of {classes} classes")
            if not np.allclose(precision, precision.T) or np.linalg.eigvalsh(precision).min() <= 0:
                raise ValueError(f"the precision of '{name}' is none")
            with np.errstate(all="ignore"):
                offset = np.linalg.solve(precision, total)
            if not np.abs(offset).max() <= _LARGEST_OFFSET:  # nor where it is no number
                raise ValueError(f"'{name}' sounds like no voice")
            count = int(entry["utterances"])
            checked |= {"sum": total.tolist(), "precision": precision.tolist(), "utterances": max(0, count)}
        if "usual" in entry:
            usual = np.array(entry["usual"], np.float64)
            if usual.shape != (classes,) or not (usual >= 0).all() or abs(usual.sum() - 1) > 1e-6:
                raise ValueError(f"what is usual for '{name}' are no shares of {classes} classes")
            checked["usual"] = usual.tolist()
        return checked


def erase_files(folder: str) -> None:
    """Delete what any bundle's `People` has saved in a folder. Raises `RequestError` where that cannot be."""
    try:
        for path in Path(folder).expanduser().glob(f"*{_SUFFIX}*"):
            path.unlink(missing_ok=True)
    except OSError as error:
        raise RequestError(
            f"what is saved in {folder} could not be erased ({error}): delete *{_SUFFIX} there"
        ) from None


def _model_of(bundle: Bundle) -> dict[str, Any]:
    """What must be the same for what was learned to mean the same: classes, and the graph whose logits it is about."""
    speech = bundle.modalities.get("speech")
    digest = bundle.manifest["files"][speech.graph]["sha256"] if speech and speech.baseline else ""
    return {"labels": list(bundle.labels), "speech": digest}


def _key(model: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(model, sort_keys=True).encode()).hexdigest()[:16]
