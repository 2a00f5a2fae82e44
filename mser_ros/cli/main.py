"""`mser`: everything this package does from a terminal. Each subcommand is loaded only when it is called."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module

import click

from .. import __version__
from ..errors import MserError, not_installed, unusable_place

#: Where each subcommand lives, and what the list of commands says of it.
COMMANDS = {
    "demo": ("demo", "Replay a recorded person through the live nodes and watch the emotions."),
    "live": ("live", "Listen to this machine's microphone and watch the emotions."),
    "view": ("view", "Show on a page what the running nodes hear, see and believe."),
    "mic": ("mic", "Show the microphones, a level meter, and the words that are read."),
    "run": ("run", "Run all nodes in one process, for machines without ros2 launch."),
    "pose": ("pose", "Find bodies in a film, in pictures or before a camera, as skeletons."),
    "annotate": ("annotate", "Estimate the emotions in a bag or a sound file, without ROS."),
    "view-skeleton": ("view_skeleton", "Draw the bodies of a bag or motion file beside what the model makes of them."),
    "doctor": ("doctor", "Tell what is installed, what is missing and how to mend it."),
    "params": ("params", "Print every parameter of every node, as YAML or Markdown."),
    "bench": ("bench", "Measure latency, load and memory of the live nodes."),
    "models": ("models", "Get pre-trained models, such as the speech recogniser's, and check them."),
    "bundle": ("bundle", "Show or verify a model bundle."),
    "train": ("train", "Train a model from a configuration."),
    "evaluate": ("evaluate", "Measure a bundle on a corpus."),
    "checklist": ("checklist", "Test a bundle's model of words with sentences of daily life."),
    "learning-curve": ("learning_curve", "Measure what more people to learn from would bring."),
    "robustness": ("robustness", "Measure training runs in noise, in a room, cut short, half seen."),
    "household": ("household", "Measure what a few labelled clips of somebody bring to training runs."),
    "export": ("export", "Turn training runs into a bundle for the robot."),
    "speed": ("speed", "Measure full-size networks and speech recognisers on this machine."),
    "hearing": ("hearing", "Measure how well speech is found, read and translated."),
    "report": ("report", "Write one page that compares training runs with the papers."),
}


class _Commands(click.Group):
    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, _ = COMMANDS[name]
        return getattr(import_module(f"{__package__}.{module}"), name.replace("-", "_"))

    def resolve_command(self, context: click.Context, arguments: list[str]) -> tuple:
        try:
            return super().resolve_command(context, arguments)
        except click.UsageError as error:
            from difflib import get_close_matches

            near = get_close_matches(arguments[0], COMMANDS, 1)
            hint = f"did you mean '{near[0]}'?" if near else "see 'mser --help'"
            raise click.UsageError(f"{error.message.rstrip('.')}: {hint}", context) from None

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="mser")
def cli() -> None:
    """Multimodal emotion recognition for ROS 2: hear, read and see a person, tell what that person feels."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; its exit code. A user's mistake is one sentence and code 1, Ctrl-C is code 130."""
    try:
        # The call itself travels as the context's object, for who tells how a result was made.
        said = sys.argv[1:] if arguments is None else list(arguments)
        _refuse_files_like_options(said)
        result = cli.main(args=said, prog_name="mser", standalone_mode=False, obj=said)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except MserError as error:
        click.echo(f"mser: {error}", err=True)
        return 1
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("mser_ros"):
            raise
        click.echo(f"mser: {not_installed(error.name)}", err=True)
        return 1
    except (KeyboardInterrupt, click.Abort) as error:
        click.echo(f"interrupted: {error}" if str(error) else "interrupted", err=True)
        return 130
    except BrokenPipeError:
        # Whoever read our output, such as head, has seen enough.
        sys.stderr.close()
        return 0
    except OSError as error:
        if not (sentence := unusable_place(error)):
            raise
        click.echo(f"mser: {sentence}", err=True)
        return 1
    return result if isinstance(result, int) else 0


def _refuse_files_like_options(said: Sequence[str]) -> None:
    """A file whose name begins with a dash would be taken for options, as where a shell lists it for '*.wav'."""
    before = said[: said.index("--")] if "--" in said else said
    for word in before:
        if word.startswith("-") and os.path.isfile(word):
            raise click.UsageError(f"the file '{word}' would be taken for options: name it './{word}'")


if __name__ == "__main__":
    sys.exit(main())
