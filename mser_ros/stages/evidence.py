"""What was heard and seen of late, whose it is, what of it belongs to an utterance, and how old that is."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, replace

from ..audio.history import Voices
from ..mocap.buffer import SkeletonBuffer
from ..settings import MocapSettings
from ..types import NS_PER_S, AbstainReason, ModalityEvidence, Utterance, UtteranceEvent, to_ns
from .identities import Identities, Someone

#: Audio and skeletons that are remembered: more than the longest utterance that settings allow.
HISTORY_S = 75.0
#: Voices that are remembered.
_VOICES = 16
#: Evidence that ends so long before the utterance's end lacks what its source would have given since.
_STALE_S = 0.3
#: Why a modality is not available of which there was nothing, or too little.
_LACKING = (AbstainReason.NO_EVIDENCE, AbstainReason.TOO_SHORT)


class EvidenceHistory:
    """Remembers the newest audio of each of the `voices` and the newest `skeletons`, which its owner pushes, and cuts
    out what belongs to an utterance.

    From the first `hold` to the `release` of an utterance it is known who speaks it, as far as that ever was: a person
    who vanishes meanwhile has spoken it all the same.
    """

    def __init__(self, mocap: MocapSettings, identities: Identities, *, choice: str, window_s: float) -> None:
        """`choice`: which of several bodies is the speaker's, one of `settings.BODY_CHOICES`, where `identities` do not
        tell. `window_s`: for how long the body is looked at, however short the utterance is."""
        self.voices = Voices(HISTORY_S, limit=_VOICES)
        self.skeletons = SkeletonBuffer(mocap, history_s=HISTORY_S, choice=choice)
        self.window_ns = to_ns(window_s)
        self._identities = identities
        self._speakers: dict[str, Someone] = {}

    def hold(self, event: UtteranceEvent) -> None:
        """Remember who speaks this utterance, as far as is known now."""
        self._speakers[event.utterance_id] = self._speaker(event)

    def release(self, event: UtteranceEvent) -> None:
        """Its last estimate has been made."""
        self._speakers.pop(event.utterance_id, None)

    def gather(self, event: UtteranceEvent) -> Utterance:
        """The utterance with the words, the audio and the body that there are of it."""
        since_ns = min(event.start_ns, event.end_ns - self.window_ns)
        speaker = self._speaker(event)
        others = self._identities.strangers_to(speaker, self.skeletons.bodies)
        skeleton = self.skeletons.window(
            event.start_ns, event.end_ns, since_ns=since_ns, body_id=speaker.body_id, others=others
        )
        bare = self.bare(event)
        if skeleton and not event.voice_id:  # nobody is told apart by the voice: it is who is seen
            bare = replace(bare, person_id=self._identities.of_body(skeleton.body_id).person_id)
        audio = self.voices.cut(event.voice_id, event.start_ns, event.end_ns)
        return replace(
            bare,
            audio=audio and replace(audio, clipped=event.clipped),
            transcript=event.transcript if event.transcript.text else None,
            skeleton=skeleton,
            body_id=skeleton.body_id if skeleton else "",
        )

    def bare(self, event: UtteranceEvent) -> Utterance:
        """The utterance without any evidence."""
        return Utterance(
            utterance_id=event.utterance_id,
            start_ns=event.start_ns,
            end_ns=event.end_ns,
            voice_id=event.voice_id,
            person_id=self._speaker(event).person_id,
            frame_id=event.frame_id,
        )

    def has_audio(self, event: UtteranceEvent) -> bool:
        """Whether all audio of the utterance has come."""
        newest_ns = self.voices.newest_ns(event.voice_id)
        return newest_ns is not None and newest_ns >= event.end_ns

    def has_skeletons(self, event: UtteranceEvent) -> bool:
        """Whether all skeletons of the utterance have come, or none will."""
        newest_ns = self.skeletons.newest_ns
        # A body that left before the utterance began, or was never there, is not waited for.
        return newest_ns is None or newest_ns >= event.end_ns or newest_ns < event.start_ns - self.window_ns

    def aged(
        self, evidence: ModalityEvidence, event: UtteranceEvent, words_ns: int, lost: Collection[str]
    ) -> ModalityEvidence:
        """What one modality said of the utterance, with how old that is, and whether what gives it is gone. `words_ns`:
        up to when the words are; `lost`: modalities whose source is gone."""
        until_ns = event.end_ns
        if evidence.modality == "speech":
            until_ns = self.voices.newest_ns(event.voice_id) or until_ns
        elif evidence.modality == "text":
            until_ns = words_ns
        if evidence.available and event.end_ns > until_ns:
            evidence = replace(evidence, age_s=(event.end_ns - until_ns) / NS_PER_S)
        lacks = evidence.age_s > _STALE_S if evidence.available else evidence.reason in _LACKING
        return replace(evidence, reason=AbstainReason.SOURCE_LOST) if evidence.modality in lost and lacks else evidence

    def _speaker(self, event: UtteranceEvent) -> Someone:
        speaker = self._identities.of_voice(event.voice_id)
        before = self._speakers.get(event.utterance_id, speaker)
        before = replace(before, person_id=self._identities.resolve_alias(before.person_id))
        if speaker.person_id in ("", before.person_id) or not before.person_id:  # else it is somebody else
            known = {name: its_id for name, its_id in asdict(speaker).items() if its_id}
            speaker = replace(before, **known)
        if event.utterance_id in self._speakers:
            self._speakers[event.utterance_id] = speaker
        return speaker
