"""What the two papers and others report on 4-class IEMOCAP, with the protocol behind each number.

Percentages. Where the authors' public notebooks log other numbers than the paper prints, both are given.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One line of a table. `system`: how the name of the experiment ends that is held against it. `modalities`: what
    that experiment was trained on; empty: what it was trained on does not matter."""

    system: str
    modalities: tuple[str, ...]
    title: str
    published: str
    protocol: str


_A = "Patamia et al. 2023 (arXiv 2312.01568)"
_B = "Krishna D N 2021 (arXiv 2108.09669)"
_A_PROTOCOL = "one split, session 5 is validation and test set: best (last) epoch of the authors' notebooks"
_NOT_GIVEN = "splits, heads and rates are not public"

_ALL = ("speech", "text", "mocap")
_OWN = "WA 77.58 in the paper; 77.0 (69.2)"

PAPERS: dict[str, tuple[Row, ...]] = {
    f"Paper A: {_A}": (
        Row("a_speech", ("speech",), "speech", "WA 64.0 (60.6)", _A_PROTOCOL),
        Row("a_text", ("text",), "text", "WA 69.3 (67.2)", _A_PROTOCOL),
        Row("a_mocap", ("mocap",), "motion capture", "WA 51.7 (47.9)", _A_PROTOCOL),
        Row("a_fusion", ("text", "mocap"), "text + motion capture", "WA 71.9 (70.9)", _A_PROTOCOL),
        Row("a_fusion", ("speech", "text"), "speech + text", "WA 74.9 (74.5)", _A_PROTOCOL),
        Row("a_fusion", _ALL, "all three", _OWN, _A_PROTOCOL),
        Row("a_protocol_speech", ("speech",), "speech, by the paper's own protocol", "WA 64.0 (60.6)", _A_PROTOCOL),
        Row("a_protocol_text", ("text",), "text, by the paper's own protocol", "WA 69.3 (67.2)", _A_PROTOCOL),
        Row("a_protocol_mocap", ("mocap",), "motion, by the paper's own protocol", "WA 51.7 (47.9)", _A_PROTOCOL),
        Row("a_protocol", _ALL, "all three, by the paper's own protocol", _OWN, _A_PROTOCOL),
    ),
    f"Paper B: {_B}": (
        Row("b_audio", ("speech",), "audio", "in the paper, not at hand here", _NOT_GIVEN),
        Row("b_text", ("text",), "text", "in the paper, not at hand here", _NOT_GIVEN),
        Row("b_fusion", ("speech", "text"), "audio + text", "+1.88 points over Krishna & Patil 2020", _NOT_GIVEN),
    ),
    "Ours: three streams, robust to missing modalities": (Row("ours", (), "all that is there", "–", "–"),),
}

#: What today's single encoders reach on IEMOCAP with honest folds (leave one session out, separate validation session).
BARS: tuple[tuple[str, str], ...] = (
    ("emotion2vec, linear", "WA 71.8"),
    ("WavLM-large, linear (SUPERB)", "WA 70.0"),
    ("HuBERT-large, linear (SUPERB)", "WA 67.6"),
    ("wav2vec 2.0 base, linear (SUPERB)", "WA 63.4"),
)
