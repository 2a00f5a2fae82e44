"""ROS4HRI (REP-155) for the nodes: ids that come and go below /humans, and the topics of each of them.

Needs `hri_msgs`; where that is not installed, `load_hri_messages` says so, and nothing else here may be used.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from importlib import import_module
from typing import Any

from mser_msgs.msg import AudioFrame
from std_msgs.msg import Bool, String

from ..messages.audio_topics import AUDIO_TYPES
from ..messages.conversions import fill
from ..messages.hri import expression_to_fields, id_from_msg, ids_from_msg, match_from_msg, speech_to_fields
from ..stages.identities import Identities, Kind, Match, Someone
from ..types import EmotionEstimate, UtteranceEvent, UtteranceState
from .base import PerceptionNode
from .diagnostics import UNTIL_CLEARED
from .subscriptions import Flow, InputTopic, find_type, type_name

_HUMANS = "/humans"
_SOURCE = "the ROS4HRI nodes"
#: How a list of ids is asked for; and what is told of one of them, which may end before the list says that it is gone.
_KEPT: Any = {"depth": 16, "flow": Flow.OPTIONAL, "source": _SOURCE, "kept": True}
_PASSING: Any = {"flow": Flow.PASSING, "source": _SOURCE}
#: How often publishers of ids that are gone are put away [s].
_TIDY_S = 1.0
#: What a person's topics tell of which kind of id.
_LINKS = {"face_id": Kind.FACE, "body_id": Kind.BODY, "voice_id": Kind.VOICE}


def load_hri_messages(node: PerceptionNode) -> Any | None:
    """The messages of hri_msgs; None, with a sentence in log and diagnostics, where they are not installed."""
    try:
        return import_module("hri_msgs.msg")
    except ImportError:
        node.health.warn(
            "hri_msgs is not installed, so ros4hri.enabled has no effect: sudo apt install ros-$ROS_DISTRO-hri-msgs, "
            "or build it and source its workspace",
            lasts_s=UNTIL_CLEARED,
        )
        return None


def _folder(node: PerceptionNode, kind: str) -> str:
    """Where the topics of each id are: beside the list of ids, also where that was remapped, as nobody can remap the
    topics of ids that are not known yet."""
    return str(node.resolve_topic_name(f"{_HUMANS}/{kind}/tracked")).rpartition("/")[0]


class Tracked:
    """Follows /humans/`kind`/tracked from the node's activation on: `came` and `left` are called in the executor for
    each id that is new in the list, or not in it any more."""

    def __init__(
        self, node: PerceptionNode, hri: Any, kind: str, *, came: Callable[[str], None], left: Callable[[str], None]
    ) -> None:
        self.ids: frozenset[str] = frozenset()
        self._came, self._left = came, left
        node.adapt(node.subscribe(hri.IdsList, f"{_HUMANS}/{kind}/tracked", self._on_ids, **_KEPT))

    def lose(self) -> None:
        """Who sends the list has died: nobody will tell who leaves. A new list brings back who is there."""
        self._set(frozenset())

    def _on_ids(self, message: Any) -> None:
        self._set(frozenset(ids_from_msg(message)))

    def _set(self, ids: frozenset[str]) -> None:
        before, self.ids = self.ids, ids
        for its_id in sorted(before - self.ids):
            self._left(its_id)
        for its_id in sorted(self.ids - before):
            self._came(its_id)


class Publishers:
    """A publisher for each id: the executor opens and closes them, the worker publishes."""

    def __init__(self, node: PerceptionNode, message_class: type, topic: str, *, kept: bool = False) -> None:
        """`topic`: with {} for the id."""
        self._node = node
        self._class = message_class
        self._topic = topic
        self._kept = kept
        self._open: dict[str, tuple[Any, object]] = {}  # with a mark of its own for each time that it was opened
        self._past: list[str] = []

    def open(self, its_id: str) -> None:
        topic, depth = self._topic.format(its_id), 1 if self._kept else 16
        self._open[its_id] = self._node.outputs.open(self._class, topic, depth=depth, kept=self._kept), object()

    def close(self, its_id: str) -> None:
        """As soon as the worker has done what came before; unless it was opened again until then."""
        opened = self._open.get(its_id)

        def leave() -> None:
            if opened is not None and self._open.get(its_id) is opened:
                del self._open[its_id]
                self._past.append(its_id)

        self._node.submit(leave, is_order=True)

    def tidy(self) -> None:
        """Put away what the worker has done with. To be called in the executor."""
        while self._past:
            if (its_id := self._past.pop()) not in self._open:
                self._node.outputs.close(self._topic.format(its_id))

    def publish(self, its_id: str, fields: Callable[[Any], dict[str, Any]]) -> None:
        """Publish on an id's topic, if there is one, what `fields` makes of an empty message."""
        if (opened := self._open.get(its_id)) is not None:
            message = self._class()
            opened[0].publish(fill(message, fields(message)))


class Voices:
    """Hears the audio of each voice of /humans/voices, and tells there what it says and whether it speaks.

    `came`, `left`, `heard` (message, id) and `read` (message, id) are called in the executor. With `read` it is another
    node that tells what is said, else this one.
    """

    def __init__(
        self,
        node: PerceptionNode,
        hri: Any,
        *,
        came: Callable[[str], None],
        left: Callable[[str], None],
        heard: Callable[[Any, str], None],
        read: Callable[[Any, str], None] | None,
    ) -> None:
        self._node, self._hri = node, hri
        self._has_come, self._has_left, self._heard, self._read = came, left, heard, read
        self._inputs: dict[str, list[InputTopic]] = {}
        self._folder = _folder(node, "voices")
        self._speech = Publishers(node, hri.LiveSpeech, f"{self._folder}/{{}}/speech")
        self._is_speaking = Publishers(node, Bool, f"{self._folder}/{{}}/is_speaking", kept=True)
        self._speaking: dict[str, str] = {}  # voices, and in which utterance
        self._audio = _audio_class()
        self._clockwork = node.create_timer(_TIDY_S, self._tidy)
        self._tracked = Tracked(node, hri, "voices", came=self._came, left=self._left)

    def publish(self, event: UtteranceEvent) -> None:
        """Tell the voice's listeners. To be called by the worker."""
        voice_id, before = event.voice_id, self._speaking.get(event.voice_id)
        if event.state not in (UtteranceState.ENDED, UtteranceState.CANCELLED):
            self._speaking[voice_id] = event.utterance_id
        elif before == event.utterance_id:  # words of an earlier one may come while the next one lasts
            del self._speaking[voice_id]
        if (before is not None) != (voice_id in self._speaking):
            self._is_speaking.publish(voice_id, lambda message: {"data": voice_id in self._speaking})
        if event.transcript.text and event.state in (UtteranceState.PARTIAL, UtteranceState.ENDED):
            self._speech.publish(voice_id, lambda message: speech_to_fields(event, message))

    def lack(self, topics: Collection[str]) -> None:
        """These inputs of the node are missing."""
        if f"{_HUMANS}/voices/tracked" in topics:
            self._tracked.lose()

    def close(self) -> None:
        self._node.destroy_timer(self._clockwork)

    def _came(self, voice_id: str) -> None:
        self._has_come(voice_id)
        self._is_speaking.open(voice_id)
        first = type_name(self._audio)
        others = tuple(name for name in AUDIO_TYPES if name != first)
        heard = partial(self._with_id, self._heard, voice_id)
        place = f"{self._folder}/{voice_id}"
        inputs = [self._node.subscribe(self._audio, f"{place}/audio", heard, depth=256, others=others, **_PASSING)]
        if self._read is None:
            self._speech.open(voice_id)
        else:
            read = partial(self._with_id, self._read, voice_id)
            inputs.append(self._node.subscribe(self._hri.LiveSpeech, f"{place}/speech", read, depth=64, **_PASSING))
        for item in inputs:
            self._node.adapt(item)
        self._inputs[voice_id] = inputs

    def _left(self, voice_id: str) -> None:
        for item in self._inputs.pop(voice_id, []):
            self._node.unsubscribe(item)
        self._has_left(voice_id)
        self._speech.close(voice_id)
        self._is_speaking.close(voice_id)

    def _tidy(self) -> None:
        self._speech.tidy()
        self._is_speaking.tidy()

    @staticmethod
    def _with_id(callback: Callable[[Any, str], None], voice_id: str, message: Any) -> None:
        callback(message, voice_id)


class Persons:
    """Follows /humans/persons and /humans/candidate_matches, and publishes the expression of voices and faces.

    `tell` has the worker do something with the `Identities`, whether or not it `is_order` (as of `submit`): what a
    person manager says is, what recognisers say all the time is not. `faces`: also for the face of who speaks.
    """

    def __init__(
        self,
        node: PerceptionNode,
        hri: Any,
        *,
        tell: Callable[[Callable[[Identities], Collection[str]], bool], None],
        faces: bool,
    ) -> None:
        self._node, self._tell = node, tell
        self._inputs: dict[str, list[InputTopic]] = {}
        self._told: dict[tuple[str, str], str] = {}  # by person and topic
        self._faces: dict[str, str] = {}  # of a person, where its expression is published
        self._folder = _folder(node, "persons")
        self._of_voice = Publishers(node, hri.Expression, f"{_folder(node, 'voices')}/{{}}/expression")
        # Faces have no list here: they are beside the persons who have them.
        faces_folder = f"{self._folder.rpartition('/')[0]}/faces"
        self._of_face = Publishers(node, hri.Expression, f"{faces_folder}/{{}}/expression")
        self._has_faces = faces
        self._clockwork = node.create_timer(_TIDY_S, self._tidy)
        Tracked(node, hri, "voices", came=self._on_voice, left=self._of_voice.close)
        Tracked(node, hri, "persons", came=self._came, left=self._left)
        matches: Any = {"depth": 64, "flow": Flow.OPTIONAL, "source": _SOURCE}
        node.adapt(node.subscribe(hri.IdsMatch, f"{_HUMANS}/candidate_matches", self._on_match, **matches))

    def publish(self, estimate: EmotionEstimate, someone: Someone) -> None:
        """Publish the estimate for who speaks. To be called by the worker."""
        fields = expression_to_fields(estimate)
        self._of_voice.publish(estimate.voice_id, lambda message: fields)
        self._of_face.publish(someone.face_id, lambda message: fields)

    def close(self) -> None:
        self._node.destroy_timer(self._clockwork)

    def _on_voice(self, voice_id: str) -> None:
        self._of_voice.open(voice_id)
        self._tell(lambda identities: identities.make_up((Kind.VOICE, voice_id)), True)

    def _on_anonymous(self, person_id: str, message: Bool) -> None:
        is_made_up = bool(message.data)
        is_news = self._is_news(person_id, "anonymous", str(is_made_up))
        self._tell(lambda identities: identities.make_up((Kind.PERSON, person_id), is_made_up), is_news)

    def _came(self, person_id: str) -> None:
        place = f"{self._folder}/{person_id}"
        topics = {
            "alias": partial(self._on_alias, person_id),
            **{name: partial(self._on_link, person_id, kind) for name, kind in _LINKS.items()},
        }
        self._inputs[person_id] = [
            self._node.subscribe(String, f"{place}/{name}", callback, depth=16, kept=True, **_PASSING)
            for name, callback in topics.items()
        ]
        anonymous = partial(self._on_anonymous, person_id)
        self._inputs[person_id].append(
            self._node.subscribe(Bool, f"{place}/anonymous", anonymous, depth=16, kept=True, **_PASSING)
        )
        for item in self._inputs[person_id]:
            self._node.adapt(item)

    def _left(self, person_id: str) -> None:
        for item in self._inputs.pop(person_id, []):
            self._node.unsubscribe(item)
        self._show_face(person_id, "")
        self._told = {key: its_id for key, its_id in self._told.items() if key[0] != person_id}
        self._tell(lambda identities: identities.vanish(person_id), True)

    def _on_alias(self, person_id: str, message: String) -> None:
        other_id = id_from_msg(message)
        self._tell(
            lambda identities: identities.alias(person_id, other_id), self._is_news(person_id, "alias", other_id)
        )

    def _on_link(self, person_id: str, kind: Kind, message: String) -> None:
        its_id = id_from_msg(message)
        is_news = self._is_news(person_id, kind.name, its_id)
        self._tell(lambda identities: identities.link(person_id, kind, its_id), is_news)
        if kind is Kind.FACE:
            self._show_face(person_id, its_id)

    def _on_match(self, message: Any) -> None:
        (kind, its_id), (other_kind, other_id), confidence = match_from_msg(message)
        match = Match((Kind(kind), its_id), (Kind(other_kind), other_id), confidence)
        self._tell(lambda identities: identities.match(match), False)

    def _is_news(self, person_id: str, what: str, its_id: str) -> bool:
        """Whether something else was told of a person before, or another one has taken it meanwhile: what is told again
        and again must not fill the queue."""
        if self._told.get((person_id, what)) == its_id:
            return False
        is_owned = bool(its_id) and what in Kind.__members__  # else it may be told of several people at a time
        for key in [key for key, other in self._told.items() if is_owned and key[1] == what and other == its_id]:
            del self._told[key]
        self._told[person_id, what] = its_id
        return True

    def _show_face(self, person_id: str, face_id: str) -> None:
        before = self._faces.pop(person_id, "")
        if before and before != face_id:
            self._of_face.close(before)
        if face_id and self._has_faces:
            self._faces = {other: theirs for other, theirs in self._faces.items() if theirs != face_id}
            self._faces[person_id] = face_id
            self._of_face.open(face_id)

    def _tidy(self) -> None:
        self._of_voice.tidy()
        self._of_face.tidy()


def _audio_class() -> type:
    """What REP-155 sends as audio, where that package is installed, so that it is heard from its first message on."""
    return find_type("audio_common_msgs/msg/AudioData") or AudioFrame
