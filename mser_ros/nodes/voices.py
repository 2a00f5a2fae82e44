"""Services about what was learned of people: show, export, import and erase."""

from __future__ import annotations

import time
from typing import Any

from mser_msgs.srv import ExportVoices, ImportVoices
from std_srvs.srv import Trigger

from ..errors import RequestError
from ..stages.people import People, erase_files
from ..types import EmotionEstimate
from .base import PerceptionNode
from .diagnostics import UNTIL_CLEARED, as_sentence

#: A node that is killed loses what it has learned in so long, where it is kept at all [s].
_SAVE_S = 60.0


class VoiceServices:
    """`~/show_voices`, `~/export_voices`, `~/import_voices` and `~/forget_voices` of a node.

    `people` is what they are about, None while the node is unconfigured. The node's worker alone changes it; requests
    are checked and answered at once.
    """

    def __init__(self, node: PerceptionNode) -> None:
        self.people: People | None = None
        self._node = node
        self._problem: RequestError | None = None
        self._saved_s = time.monotonic()
        node.create_service(Trigger, "~/show_voices", self._show)
        node.create_service(ExportVoices, "~/export_voices", self._export)
        node.create_service(ImportVoices, "~/import_voices", self._import)
        node.create_service(Trigger, "~/forget_voices", self._forget)

    def open(self, people: People) -> None:
        """Begin with what an earlier run has saved."""
        self.people, self._problem = people, None
        self._saved_s = time.monotonic()
        try:
            people.load()
        except RequestError as error:
            self._problem = error

    def connect(self) -> None:
        """The node begins to work, which clears the problems of before: tell again what `open` has met."""
        if self._problem is not None:
            self._node.health.warn(self._problem, lasts_s=UNTIL_CLEARED)

    def meet(self, estimate: EmotionEstimate) -> None:
        """Something may be learned from an estimate. To be called by the worker."""
        if self.people is not None:
            self.people.meet(estimate)

    def note(self) -> None:
        """Something may have been learned. To be called by the worker."""
        if self.people is not None:
            self.people.note()
            if time.monotonic() - self._saved_s > _SAVE_S:
                self._save(self.people)

    def finish(self) -> None:
        """The node stops working."""
        if self.people is not None:
            self._save(self.people)

    def close(self) -> None:
        self.people = None

    def _save(self, people: People) -> None:
        self._saved_s = time.monotonic()
        self._node.guard(people.save)

    def _show(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success = self.people is not None
        response.message = self.people.describe() if self.people else _UNCONFIGURED
        return response

    def _export(self, request: ExportVoices.Request, response: ExportVoices.Response) -> ExportVoices.Response:
        try:
            response.voices = _of(self.people).export(request.person_id)
        except RequestError as error:
            return _refused(response, error)
        response.success, response.message = True, "import it with the same bundle"
        return response

    def _import(self, request: ImportVoices.Request, response: ImportVoices.Response) -> ImportVoices.Response:
        try:
            people = _of(self.people)
            learned = people.read(request.voices)
        except RequestError as error:
            return _refused(response, error)
        self._do(lambda: people.take_in(learned))
        names = ", ".join(name or "whoever has no name" for name in learned)
        response.success, response.message = True, as_sentence(f"known again: {names}" if names else "of nobody")
        return response

    def _forget(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        try:
            # At once, so that the answer can tell whether that was possible; and by the worker, which may just write.
            folder = self._node.get_parameter("voices_folder").value
            if isinstance(folder, str) and folder:
                erase_files(folder)
        except RequestError as error:
            return _refused(response, error)
        if self.people is not None:
            self._do(self.people.erase)
        response.success, response.message = True, "what was learned of voices is forgotten"
        return response

    def _do(self, work: Any) -> None:
        if not self._node.submit(work, otherwise=work, is_order=True):  # also where the node stops or fails before
            self._node.guard(work)  # inactive: nobody else touches it


_UNCONFIGURED = "the node is not configured and knows nobody: configure it first"


def _of(people: People | None) -> People:
    if people is None:
        raise RequestError(_UNCONFIGURED)
    return people


def _refused(response: Any, error: RequestError) -> Any:
    response.success, response.message = False, as_sentence(error)
    return response
