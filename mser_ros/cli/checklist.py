"""`mser checklist`: does a bundle understand what people say at home?"""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.progress import track

from ..corpora.phrases import read_phrases
from ..errors import BundleError, SettingsError
from ..evaluation.checklist import measure_checklist, share_passed
from ..recognition.bundle import load_bundle
from ..recognition.recognizer import EmotionRecognizer
from ..resources import checklist_file
from ..types import Transcript, Utterance
from .tables import figures, wide_console


@click.command()
@click.option("--bundle", "bundle_path", default="", metavar="DIR", help="Bundle to test.  [the default one]")
@click.option(
    "--file",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Your own sentences, in the form of config/checklist.yaml.  [that file]",
)
@click.option("--failed", is_flag=True, help="Print every sentence that was judged wrong.")
def checklist(bundle_path: str, path: Path | None, failed: bool) -> None:
    """Test a bundle's model of words with short sentences of daily life, kind by kind.

    Kinds are such as negation, change over time, idioms, requests, loneliness. Words alone are judged, and none of
    these sentences may have been trained on.
    """
    kinds = read_phrases(path or checklist_file())
    if not kinds:
        raise SettingsError(f"{path} holds no kind of sentence: name a file in the form of config/checklist.yaml")
    bundle = load_bundle(bundle_path)
    if "text" not in bundle.modalities:
        raise BundleError(f"bundle {bundle.model_id} does not judge words: name another one")
    recognizer = EmotionRecognizer(bundle)
    console, errors = wide_console(), Console(stderr=True)

    def say(text: str) -> str:
        utterance = Utterance("checklist", 0, 1, transcript=Transcript(text, language="en"))
        return bundle.labels[int(recognizer.recognize(utterance, modalities={"text"}).probabilities.argmax())]

    outcomes = []
    for kind, sentences in track(kinds.items(), description="sentences", console=errors, transient=True):
        outcomes += measure_checklist({kind: sentences}, say)
    table = figures(("kind", "sentences", "right", "for example wrong"), left=("kind", "for example wrong"))
    for outcome in outcomes:
        example = f"{outcome.failed[0][0].text}: {outcome.failed[0][1]}" if outcome.failed else ""
        table.add_row(outcome.kind, str(outcome.total), f"{outcome.passed:.0%}", example)
    table.add_section()
    table.add_row("all kinds", str(sum(item.total for item in outcomes)), f"{share_passed(outcomes):.1%}", "")
    console.print(table)
    for outcome in outcomes if failed else ():
        for sentence, said in outcome.failed:
            console.print(f"{outcome.kind}: {sentence.text}: {said} instead of {' or '.join(sorted(sentence.labels))}")
