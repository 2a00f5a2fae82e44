"""Whose data and weights are in a bundle, and what may be done with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Whose data a corpus is, as its licence asks to be told.
ATTRIBUTION: Mapping[str, str] = {
    "ravdess": "RAVDESS, the Ryerson Audio-Visual Database of Emotional Speech and Song, by S. R. Livingstone and "
    "F. A. Russo (2018), https://zenodo.org/record/1188976, CC BY-NC-SA 4.0",
    "nemo": "nEMO, a dataset of emotional speech in Polish, by I. Christop (2024), "
    "https://huggingface.co/datasets/amu-cai/nEMO, CC BY-NC-SA 4.0",
    "goemotions": "GoEmotions, by D. Demszky et al. (2020), Google Research, CC BY 4.0",
    "egait": "Emotion-Gait (E-Gait), by U. Bhattacharya et al. (2020), University of Maryland: research data, "
    "no licence stated",
    "bandai_namco": "Bandai-Namco Research Motion Dataset, by Bandai Namco Research Inc., CC BY-NC 4.0",
    "meld": "MELD, by S. Poria et al. (2019), lines of the television series Friends, GPL-3.0",
    "phrases": "phrases: sentences written for mser_ros, Apache License 2.0",
    "neutral_voices": "recorded prompts of the Debian packages asterisk-core-sounds (CC BY-SA 3.0), klettres-data and "
    "ktuberling-data (GPL 2 or later) and gcin-voice (CC BY 3.0)",
    "pseudo": "pseudo: voices, lines and walks of the corpora beside it, combined (SYNTHETIC)",
    "iemocap": "IEMOCAP, by C. Busso et al. (2008), University of Southern California: licensed to each user",
}
#: Whose weights a model started from.
BASE_MODELS: Mapping[str, str] = {
    "minilm": "all-MiniLM-L6-v2, by the sentence-transformers project (N. Reimers and I. Gurevych) after Microsoft's "
    "MiniLM, Apache License 2.0",
    "whisper-base": "Whisper base, by A. Radford et al., OpenAI (2022), MIT License, Copyright (c) 2022 OpenAI",
    "mpnet": "all-mpnet-base-v2, by the sentence-transformers project (N. Reimers and I. Gurevych) after Microsoft's "
    "MPNet, Apache License 2.0",
}
#: What the licence of such weights wants to go with every copy of them.
NOTICES: Mapping[str, str] = {
    "whisper-base": """MIT License

Copyright (c) 2022 OpenAI

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and
associated documentation files (the "Software"), to deal in the Software without restriction,
including without limitation the rights to use, copy, modify, merge, publish, distribute,
sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial
portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT
NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND
NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES
OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN
CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.""",
}
#: Full names and addresses of licences, the most restrictive first; weights take the first that their data carries.
LICENCES: Mapping[str, str] = {
    "not stated": "",
    "CC-BY-NC-SA-4.0": "Creative Commons Attribution-NonCommercial-ShareAlike 4.0 International, "
    "https://creativecommons.org/licenses/by-nc-sa/4.0/legalcode",
    "CC-BY-NC-4.0": "Creative Commons Attribution-NonCommercial 4.0 International, "
    "https://creativecommons.org/licenses/by-nc/4.0/legalcode",
    "Apache-2.0": "Apache License, Version 2.0, https://www.apache.org/licenses/LICENSE-2.0",
}

#: Those that let everybody use what they cover, also to earn money, and copy it as long as its origin is told.
PERMISSIVE = frozenset({"Apache-2.0", "MIT", "BSD-3-Clause", "CC0-1.0", "CC-BY-4.0"})


def weights_licence(corpora: Mapping[str, Mapping[str, Any]]) -> str:
    """The licence of weights: that of the most restrictive corpus, else Apache-2.0. A combined corpus has several."""
    carried = {part for entry in corpora.values() for part in str(entry["licence"]).split(" and ")}
    unknown = sorted(carried - set(LICENCES) - {"CC-BY-4.0", "CC-BY-SA-4.0", "CC0-1.0", "MIT"})
    return next((name for name in LICENCES if name in carried), unknown[0] if unknown else "Apache-2.0")


def base_model(source: str) -> str:
    """Whose weights `source` are; what is not known here is said not to be."""
    return BASE_MODELS.get(source, f"{source}: its licence is not known here, and binds these weights as well")


def models_of(manifest: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The entry of every model of a bundle: of each modality, and of what takes the place of one."""
    found = dict(manifest["modalities"])
    instead = manifest.get("fallback", {"modalities": {}})["modalities"]
    return found | {f"{name}, fallback": entry for name, entry in instead.items() if "graph" in entry}


def licence_notices(manifest: Mapping[str, Any]) -> dict[str, str]:
    """File name and text of a notice for each licence that a modality of the bundle carries."""
    notices: dict[str, list[Mapping[str, Any]]] = {}
    for entry in models_of(manifest).values():
        notices.setdefault(entry["licence"], []).append(entry)
    out = {}
    for licence, entries in notices.items():
        parts = [(entry["graph"], entry.get("weights", {}).get("recipe"), entry.get("tokenizer")) for entry in entries]
        files = [file for part in parts for file in part if file]
        files += filter(None, [manifest["fusion"].get("graph")])
        corpora = dict.fromkeys(corpus for entry in entries for corpus in entry["trained_on"])
        lines = [f"Files: {', '.join(files)}", ""]
        if LICENCES.get(licence):
            lines += [f"These weights are licensed under the {LICENCES[licence]}.", ""]
        else:
            lines += [
                f"The licence of the data behind these weights is: {licence}. They are given for research; whoever "
                "wants to use them for anything else has to ask the owners of the data.",
                "",
            ]
        lines += ["They were trained on:"]
        lines += [f"- {ATTRIBUTION.get(corpus, corpus)}" for corpus in corpora]
        bases = dict.fromkeys(entry["base"] for entry in entries if entry.get("base"))
        if bases:
            lines += ["", "They were adapted from (fine-tuned and quantised):"]
            lines += [f"- {base_model(base)}" for base in bases]
            lines += [f"\n{NOTICES[base]}" for base in bases if base in NOTICES]
        short = licence.replace(" ", "-")
        prefix = "LICENSE" if LICENCES.get(licence) else "NOTICE"
        out[f"{prefix}-{short}.txt"] = "\n".join(lines) + "\n"
    return out
