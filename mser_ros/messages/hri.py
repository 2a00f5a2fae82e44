"""Between values and the messages of ROS4HRI (`hri_msgs`, REP-155), by their fields. Nothing here imports ROS."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..errors import PeopleError
from ..labels import UNKNOWN
from ..languages import language_tag
from ..types import EmotionEstimate, Transcript, UtteranceEvent, UtteranceState
from .conversions import MAX_NAME, MAX_TEXT, Fields, header_fields

#: Ids that are taken of one list: more people than any robot follows.
MAX_IDS = 64
#: What an id may look like, for it is a part of names of topics, and how long it may be for these.
_ID, _LONGEST_ID = re.compile(r"[A-Za-z]\w*", re.ASCII), 200


def ids_from_msg(message: Any) -> tuple[str, ...]:
    """Of an `IdsList`, each once. Raises `PeopleError` for ids that can be part of no topic, or too many."""
    if len(message.ids) > MAX_IDS:
        raise PeopleError(f"a list of {len(message.ids)} ids of people: send at most {MAX_IDS}")
    return tuple(dict.fromkeys(check_id(its_id) for its_id in message.ids))


def id_from_msg(message: Any) -> str:
    """Of a `std_msgs/String` such as a person's `voice_id`; '' where there is none. Raises `PeopleError`."""
    return check_id(message.data) if message.data else ""


def check_id(its_id: str) -> str:
    """The id. Raises `PeopleError` for one that cannot be part of a topic's name."""
    if len(its_id) > _LONGEST_ID or not _ID.fullmatch(its_id):
        raise PeopleError(
            f"the id '{its_id[:_LONGEST_ID]}' of a person, voice, body or face: give it letters, digits and '_' only, "
            f"a letter first, {_LONGEST_ID} at most"
        )
    return its_id


def match_from_msg(message: Any) -> tuple[tuple[int, str], tuple[int, str], float]:
    """Of an `IdsMatch`: kind and id of the one and the other, and the confidence (0..1) that they are of one person.
    Raises `PeopleError` for kinds that do not exist, a confidence that is none, or an id with itself."""
    one, other = (int(message.id1_type), str(message.id1)), (int(message.id2_type), str(message.id2))
    for kind, its_id in (one, other):
        check_id(its_id)
        if not 1 <= kind <= 4:
            raise PeopleError(f"a match of '{its_id}', which is of kind {kind}: say PERSON, FACE, BODY or VOICE")
    if one == other or not 0 <= message.confidence <= 1:
        raise PeopleError(
            f"a match of '{one[1]}' and '{other[1]}' with confidence {message.confidence:g}: match two ids with a "
            "confidence from 0 to 1"
        )
    return one, other, float(message.confidence)


def speech_to_fields(event: UtteranceEvent, message: Any) -> Fields:
    """Fields of `LiveSpeech`, of those that `message` has: `language` until hri_msgs 2.2, `locale` since 2.1.

    Only the last text of an utterance is `final`, as ROS4HRI wants it.
    """
    transcript = event.transcript
    is_last = event.state is UtteranceState.ENDED and transcript.is_final
    known = "" if transcript.language == "und" else transcript.language
    languages = {"language": known, "locale": known.replace("-", "_")}
    return {
        "header": header_fields(event.stamp_ns, event.frame_id),
        "incremental": transcript.text,
        "final": transcript.text if is_last else "",
        "confidence": transcript.confidence or 0.0,
        **{name: value for name, value in languages.items() if hasattr(message, name)},
    }


def text_from_msg(message: Any) -> Transcript:
    """What another recogniser has read: of a `LiveSpeech`, or of a `std_msgs/String`, which is final.

    A confidence of 0 is none: few recognisers fill it. Raises `PeopleError` for a text that is too long or no text.
    """
    if hasattr(message, "data"):
        text, is_final, confidence, language = message.data, True, 0.0, ""
    else:
        text, is_final, confidence = message.final or message.incremental, bool(message.final), message.confidence
        language = language_tag(getattr(message, "locale", "") or getattr(message, "language", ""))
    if len(text) > MAX_TEXT or len(language) > MAX_NAME:
        raise PeopleError(f"a text of {len(text)} characters in '{language[:20]}': send at most {MAX_TEXT}")
    if not 0 <= confidence <= 1:
        raise PeopleError(f"a text with confidence {confidence:g}: send 0 to 1, or 0 where it is not known")
    return Transcript(" ".join(text.split()), confidence or None, language=language, is_final=is_final)


def expression_to_fields(estimate: EmotionEstimate) -> Fields:
    """Fields of `Expression`, whose names of the four classes are ours; an estimate that abstains is no expression,
    with confidence 0."""
    knows = estimate.label != UNKNOWN
    values: Mapping[str, Any] = {
        "expression": estimate.label,
        "valence": min(max(estimate.valence, -1.0), 1.0),
        "arousal": min(max(estimate.arousal, -1.0), 1.0),
        "confidence": estimate.confidence,
    }
    nothing = {"expression": "", "valence": 0.0, "arousal": 0.0, "confidence": 0.0}
    return {"header": header_fields(estimate.stamp_ns, estimate.frame_id), **(values if knows else nothing)}
