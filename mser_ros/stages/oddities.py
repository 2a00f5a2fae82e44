"""What befell the data of a recording, in sentences: the counters of the stages, for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: By counter.
_SENTENCES: Mapping[str, str] = {
    "unstamped": "blocks of audio have no stamp: the time of their arrival stands for it",
    "duplicates": "blocks of audio came twice, or too late to be heard",
    "lost_samples": "samples of audio are missing",
    "filled_samples": "of the missing samples became silence",
    "changes": "times rate, channels or voice changed: what was being said ended there",
    "clock_steps": "times the stamps and the count of the samples disagreed: the clock was set anew",
    "discontinuities": "times audio did not go on where it had been: what was being said ended there",
    "inverted_samples": "samples were mixed with a channel turned round, as its phase was opposite",
    "left_out_samples": "samples were mixed without a channel that was silent, clipped or hummed",
    "clipped_samples": "samples lie at full scale: the microphone is overdriven",
    "rejected_texts": "times words were left out that the recogniser seemed to invent: of noise or music; of another "
    "language than the one that is set, which --asr-language names",
    "robot_samples": "samples of audio were not heard, as the robot itself spoke",
    "unmatched_texts": "texts of the other recogniser belong to no utterance, and were left out",
    "without_text": "utterances have no words, as the other recogniser sent none",
    "unread": "utterances have no words, as the recogniser failed",
    "duplicate": "skeletons of one body have the same stamp: the first counts",
    "late": "skeletons are older than what is remembered",
    "unseen": "skeletons have no joint that was seen: look at the confidences of their source",
    "evicted": "skeletons were too many to be remembered",
    "resets": "times the clock of the skeletons was set back",
}
#: So many are as it should be: loud voices touch full scale, and a file begins at time 0.
_USUAL = {"clipped_samples": 100, "unstamped": 1}


def oddities(counters: Mapping[str, Any]) -> list[str]:
    """A sentence, with its number, for each thing that befell audio and skeletons. `counters`: those of the speech
    stage, the emotion stage and its skeletons."""
    found = []
    for name, sentence in _SENTENCES.items():
        count = counters.get(name, 0)
        if count > _USUAL.get(name, 0):
            found.append(f"{count} {sentence}")
    final, frames = counters.get("final", 0), counters.get("frames", 0)
    if final and frames > counters.get("unseen", 0) and counters.get("without_body") == final:
        found.append(
            f"{frames} skeletons came, and none at the time of an utterance: stamp audio and skeletons by one clock"
        )
    return found
