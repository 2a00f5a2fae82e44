"""Reading an experiment: YAML, overrides `dotted.key=value`, and one sentence for each mistake."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from ...errors import SettingsError
from ...resources import train_dir
from ...settings.schema import Setting
from .settings import CorpusConfig, ExperimentConfig

#: The resolved settings of a run, in its folder.
CONFIG = "config.yaml"
#: How often a household's own recordings are seen where others' are seen once: they are few.
OWN_REPEAT = 5
#: That of libyaml reads ten times as fast, and a name is looked up in the files of all experiments.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
#: Whisper has no positions for what is as long as this, or longer.
_WHISPER_S = 30.0
#: The encoders that read each modality.
_KINDS = {"speech": ("log_mel", "pretrained", "whisper"), "text": ("pretrained",), "mocap": ("motion", "paper_a_mocap")}


def load_config(
    source: Path | str,
    *,
    overrides: Sequence[str] = (),
    data: Mapping[str, str] | None = None,
    add: Sequence[Path] = (),
) -> ExperimentConfig:
    """Read an experiment. `source`: a file, or the `name` of one that ships in `config/train`. `overrides`:
    `dotted.key=value`, values in YAML. `data`: folders of corpora by name. `add`: folders of recordings of one's own
    that are learned from as well; the experiment is then named after them, too.

    A file may name others as its `base`, relative to its own folder: what it does not say is as in the last of them
    that says it. Raises `SettingsError`: unreadable file, unknown key or corpus, wrong type, value out of range,
    settings that do not fit together.
    """
    path = find_config(source)
    tree = _read_with_base(path, ())
    for text in overrides:
        name, equals, value = text.partition("=")
        if not equals:
            raise SettingsError(f"'{text}' is not of the form key=value, as in optimiser.epochs=10")
        _put(tree, name.strip(), parse_value(value, text))
    config = build_config(tree, where=path.name)
    check_data(data or {}, [config], path.name)
    config = dataclasses.replace(with_data(config, data or {}), name=config.name or path.stem)
    if add:
        config = _with_own(config, add)
        if fault := next(_faults(config), ""):
            raise SettingsError(fault)
    return config


def _with_own(config: ExperimentConfig, folders: Sequence[Path]) -> ExperimentConfig:
    own = [
        CorpusConfig(
            folder.resolve().name, str(folder.resolve()), repeat=OWN_REPEAT, test=config.folds.scheme == "people"
        )
        for folder in folders
    ]
    names = [corpus.name for corpus in (*config.corpora, *own)]
    if twice := sorted({corpus.name for corpus in own if names.count(corpus.name) > 1}):
        raise SettingsError(f"two corpora are called '{twice[0]}': rename the folder that is added")
    return dataclasses.replace(
        config,
        name="_with_".join([config.name, *(corpus.name for corpus in own)]),
        corpora=(*config.corpora, *own),
    )


def check_data(data: Mapping[str, str], configs: Sequence[ExperimentConfig], where: str) -> None:
    """Raise `SettingsError` for a folder of a corpus that none of these experiments learns from."""
    names = {corpus.name for config in configs for corpus in config.corpora}
    for name in data:
        if name not in names:
            raise SettingsError(f"--data names '{name}', but {where} trains on {', '.join(sorted(names))}")


def with_data(config: ExperimentConfig, data: Mapping[str, str]) -> ExperimentConfig:
    """The same, with its corpora in these folders, by name."""
    corpora = tuple(dataclasses.replace(one, path=data.get(one.name, one.path)) for one in config.corpora)
    return dataclasses.replace(config, corpora=corpora)


def find_config(source: Path | str) -> Path:
    """The file of an experiment, given by its path or by the name of one that ships with the package.

    Raises `SettingsError`, with the nearest names, where there is neither.
    """
    path = Path(source)
    if path.suffix or path.is_file() or len(path.parts) > 1:
        return path
    known = shipped_configs()
    if path.name not in known:
        near = get_close_matches(path.name, known, 1)
        hint = f"did you mean '{near[0]}'?" if near else f"these are {', '.join(known)}"
        raise SettingsError(f"no experiment is called '{path.name}', and there is no such file: {hint}")
    return known[path.name]


def shipped_configs() -> dict[str, Path]:
    """The experiments of `config/train` by name; what only serves others as a base has none."""
    trees = ((path, _read(path, "restore it")) for path in sorted(train_dir().rglob("*.yaml")))
    return {tree["name"]: path for path, tree in trees if "name" in tree}


def build_config(tree: Mapping[str, Any], *, where: str = "") -> ExperimentConfig:
    """An experiment from nested mappings; raises `SettingsError`."""
    config = _build(ExperimentConfig, tree, "", where)
    if fault := next(_faults(config), ""):
        raise SettingsError(f"{where}: {fault}" if where else fault)
    return config


def read_config(folder: Path) -> ExperimentConfig:
    """The experiment of a run folder. Raises `SettingsError` where it is none."""
    path = folder / CONFIG
    if not path.is_file():
        raise SettingsError(f"{folder} is not a run folder, it has no {CONFIG}: name what 'mser train' wrote")
    return build_config(_read(path, "restore the file, or train anew in another folder"), where=str(path))


def parse_value(value: str, text: str) -> Any:
    """A value in YAML; `text`: what the user typed, for the error. Raises `SettingsError`."""
    try:
        return yaml.safe_load(value)
    except (yaml.YAMLError, ValueError) as error:
        reason = getattr(error, "problem", None) or error
        raise SettingsError(
            f"the value of '{text}' cannot be understood ({reason}): close its brackets, or put a text in quotes"
        ) from None


def check_encoders(config: ExperimentConfig) -> None:
    """Raise `SettingsError` where an encoder cannot be trained as its settings say; they may do to measure speed."""
    for name in config.modalities:
        stream = getattr(config.model.streams, name)
        if stream.train == "none" and stream.kind not in ("pretrained", "whisper") and not stream.weights:
            raise SettingsError(
                f"model.streams.{name}.train: none would keep the random weights of a {stream.kind} encoder: "
                f"name a run in model.streams.{name}.weights, or train it"
            )


def config_tree(config: Any) -> Any:
    """The settings as nested mappings, fit for YAML and for comparison."""
    if is_dataclass(config):
        return {item.name: config_tree(getattr(config, item.name)) for item in fields(config)}
    return [config_tree(item) for item in config] if isinstance(config, tuple) else config


def what_matters(config: ExperimentConfig) -> dict[str, Any]:
    """Values by dotted key, without those that say where things lie and how the work is done: a run may go on with
    other ones."""
    corpora = tuple(dataclasses.replace(entry, path="") for entry in config.corpora)
    return _flat(config_tree(dataclasses.replace(config, corpora=corpora, threads=1, devices=1, cache="")))


def overrides_of(config: ExperimentConfig) -> list[str] | None:
    """What `mser train NAME` needs behind the name, as `key=value`, to train this experiment; None where none ships
    under its name. Folders of this machine are left out: runs lie in `runs`, models in FOLDER."""
    if config.name not in shipped_configs():
        return None
    mine, shipped = (_placed(what_matters(one)) for one in (config, load_config(config.name)))
    return [f"{name}={_in_yaml(value)}" for name, value in mine.items() if value != shipped[name]]


def _placed(values: Mapping[str, Any]) -> dict[str, Any]:
    out = dict(values)
    for name, value in values.items():
        if name.endswith(".weights") and value:
            out[name] = f"runs/{Path(value).name}"
        elif name.endswith(".source") and Path(value).expanduser().is_absolute():
            out[name] = f"FOLDER/{Path(value).name}"
    bare = config_tree(CorpusConfig())
    out["corpora"] = [{key: one[key] for key in one if one[key] != bare[key]} for one in values["corpora"]]
    return out


def _in_yaml(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=float("inf"))
    return text.removesuffix("...\n").strip()


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, value in tree.items():
        out.update(_flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value})
    return out


def _read_with_base(path: Path, above: tuple[Path, ...]) -> dict[str, Any]:
    """The file's settings on top of those of its bases. `above`: the files that led here."""
    if path.resolve() in above:
        raise SettingsError(f"{path} is a base of itself: take one of the 'base' lines out")
    tree = _read(path, f"correct 'base' in {above[-1].name}" if above else "name a file of config/train")
    bases = tree.pop("base", [])
    bases = [bases] if isinstance(bases, str) else bases
    if not isinstance(bases, list) or not all(isinstance(base, str) for base in bases):
        raise SettingsError(f"base in {path.name} must be a file or a list of files, not {bases!r}")
    whole: dict[str, Any] = {}
    for base in bases:
        below = _read_with_base(path.parent / base, (*above, path.resolve()))
        below.pop("name", None)  # two experiments must not share a run folder
        whole = _on_top(whole, below)
    return _on_top(whole, tree)


def _on_top(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Groups are merged, everything else is replaced, lists too."""
    out = dict(below)
    for key, value in above.items():
        both = isinstance(value, Mapping) and isinstance(out.get(key), Mapping)
        out[key] = _on_top(out[key], value) if both else value
    return out


def _read(path: Path, cure: str) -> dict[str, Any]:
    try:
        tree = copy.deepcopy(_parse(path.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError, ValueError) as error:  # ValueError: not UTF-8, or a date that does not exist
        raise SettingsError(f"{path} cannot be read ({_reason(error)}): {cure}") from None
    if not isinstance(tree, dict):
        raise SettingsError(f"{path} is not a mapping of settings: {cure}")
    return tree


@functools.lru_cache(maxsize=128)
def _parse(text: str) -> Any:
    """Nobody may change what comes of it: for each name that is looked up all experiments are read."""
    try:
        return yaml.load(text, _LOADER)
    except yaml.YAMLError:
        return yaml.safe_load(text)  # raises as well, and says better where the mistake is


def _reason(error: Exception) -> str:
    """In one line, unlike PyYAML's own."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"line {error.problem_mark.line + 1}: {error.problem}"
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8"
    return str(error).splitlines()[0]


def _faults(config: ExperimentConfig) -> Iterator[str]:
    """Rules between settings that are broken."""
    fusion, several = config.model.fusion, len(config.modalities) > 1
    if not config.modalities:
        yield "no encoder is given: set model.streams.speech.kind, …text.kind or …mocap.kind"
    if not config.corpora or not all(corpus.name for corpus in config.corpora):
        yield "a corpus is not named: list at least one under 'corpora', as in [{name: iemocap}]"
    for corpus in config.corpora:
        if set(corpus.name) & {":", "/"}:
            yield (
                f"a corpus cannot be called '{corpus.name}', as ':' and '/' part names of figures and files: rename "
                "it, or the folder that is added"
            )
    for name in config.modalities:
        yield from _stream_faults(config, name)
    if several and not fusion.kind:
        yield "a network of several modalities needs model.fusion.kind: concat or cross_attention"
    if fusion.kind == "cross_attention" and not several:
        yield "model.fusion.kind cross_attention needs two modalities or more: leave it empty for one"
    if fusion.kind == "cross_attention" and fusion.width % fusion.heads:
        yield f"model.fusion.heads must divide model.fusion.width, {fusion.width}, not be {fusion.heads}: change either"
    if config.folds.validation == "none" and config.optimiser.choose != "last":
        yield "folds.validation none leaves nobody to choose an epoch: set optimiser.choose to last"
    yield from _probe_faults(config)
    if config.optimiser.batch < config.devices:
        yield f"optimiser.batch must be at least devices, {config.devices}, so that each process has an utterance"
    heads = [getattr(config.model.streams, name).head_norm for name in config.modalities if fusion.auxiliary]
    if config.optimiser.batch == 1 and (any(heads) if several else config.model.norm):
        yield "optimiser.batch must be 2 or more for batch normalisation: raise it, or set norm and head_norm to false"


def _probe_faults(config: ExperimentConfig) -> Iterator[str]:
    model, settings = config.model, config.optimiser
    if not settings.probe:
        if not settings.epochs:
            yield "optimiser.epochs is 0, which leaves the classifier random: set optimiser.probe, or train for longer"
        return
    if len(config.modalities) > 1 or model.hidden or model.norm or model.ensemble > 1:
        yield (
            "optimiser.probe is for one encoder with a linear classifier: set model.hidden to 0, model.norm to false "
            "and model.ensemble to 1"
        )
    for name in config.modalities:
        pooling = getattr(model.streams, name).pooling or model.pooling
        if pooling not in ("statistics", "mean", "first"):
            yield f"optimiser.probe cannot be with pooling '{pooling}', which is learned: set it to statistics"
    if settings.choose != "last":
        yield "optimiser.probe leaves no epoch to choose: set optimiser.choose to last"


def _stream_faults(config: ExperimentConfig, name: str) -> Iterator[str]:
    stream, at = getattr(config.model.streams, name), f"model.streams.{name}"
    if stream.kind not in _KINDS[name]:
        yield f"{at}.kind cannot be '{stream.kind}', which reads another modality: choose {' or '.join(_KINDS[name])}"
    pretrained = stream.kind == "pretrained"
    if stream.kind in ("pretrained", "whisper") and not stream.source:
        which = "a folder or a Hugging Face id" if pretrained else "a folder that holds CTranslate2's model.bin"
        yield f"{at} needs 'source', {which}: set {at}.source"
    if stream.joined > stream.depth or (stream.joined and stream.kind != "whisper"):
        yield f"{at}.joined is for whisper, and at most its depth: set it to 0, or to {at}.depth or less"
    if stream.kind == "whisper" and (heard_s := _longest_voice_s(config)) >= _WHISPER_S:
        yield f"{at} hears less than {_WHISPER_S:g} s, and voices may last {heard_s:.1f} s: lower inputs.max_s"
    if stream.train == "top" and stream.kind not in ("pretrained", "whisper"):
        yield f"{at}.train cannot be 'top' for a {stream.kind} encoder, which is trained as a whole: set all or none"
    if stream.kind == "paper_a_mocap" and (config.augment.mocap.mirror or config.augment.mocap.upper_body):
        yield f"augment.mocap.mirror and upper_body change joints, and {at} reads markers: set them to false and 0"
    flattens = (stream.pooling or config.model.pooling) == "flatten" and config.model.fusion.kind != "cross_attention"
    if flattens and not (stream.kind == "paper_a_mocap" or (name == "speech" and pretrained and config.inputs.fixed_s)):
        cure = "set inputs.fixed_s" if name == "speech" and pretrained else f"set {at}.pooling to another one"
        yield f"pooling 'flatten' of {name} needs utterances of one length: {cure}"


def _longest_voice_s(config: ExperimentConfig) -> float:
    """Also in training, where a part of a voice may be slowed down."""
    longest_s, change = config.inputs.max_s, config.augment.speech
    return max(longest_s, min(longest_s, change.crop_s or longest_s) * (1 + change.speed))


def _put(tree: dict[str, Any], name: str, value: Any) -> None:
    *groups, last = name.split(".")
    for key in groups:
        tree = tree.setdefault(key, {})
        if not isinstance(tree, dict):
            raise SettingsError(f"'{name}' cannot be set: '{key}' is not a group of settings")
    tree[last] = value


def _build(kind: type, tree: Any, prefix: str, where: str) -> Any:
    if not isinstance(tree, Mapping):
        raise SettingsError(f"'{prefix.rstrip('.')}' in {where} must be a group of settings, not {tree!r}")
    known = {item.name: item for item in fields(kind)}
    hints = typing.get_type_hints(kind)
    values = {}
    for key, value in tree.items():
        if key not in known:
            near = get_close_matches(str(key), known, 1)
            hint = f"did you mean '{prefix}{near[0]}'?" if near else f"known ones are {', '.join(known)}"
            raise SettingsError(f"unknown setting '{prefix}{key}' in {where}: {hint}")
        values[key] = _value(known[key], hints[key], value, f"{prefix}{key}", where)
    return kind(**values)


def _value(item: dataclasses.Field, hint: Any, value: Any, name: str, where: str) -> Any:
    if is_dataclass(hint):
        return _build(hint, {} if value is None else value, f"{name}.", where)  # type: ignore[arg-type]
    if typing.get_origin(hint) is tuple:
        inner = typing.get_args(hint)[0]
        if not isinstance(value, (list, tuple)):
            raise SettingsError(f"{name} in {where} must be a list, not {value!r}")
        if is_dataclass(inner):
            return tuple(_build(inner, part, f"{name}.", where) for part in value)  # type: ignore[arg-type]
        if odd := [part for part in value if not isinstance(part, inner)]:
            raise SettingsError(f"{name} in {where} must be a list of texts, not of {odd[0]!r}: put it in quotes")
        return tuple(value)
    if typing.get_origin(hint) is dict:
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise SettingsError(f"{name} in {where} must be a mapping from names, not {value!r}")
        return dict(value)
    meta = item.metadata
    if isinstance(item.default, float) and isinstance(value, str):  # YAML 1.1 reads 1e-4 as text
        with contextlib.suppress(ValueError):
            value = float(value)
    scalar = Setting(name, item.default, meta["description"], meta["unit"], meta["low"], meta["high"], meta["choices"])
    try:
        return scalar.check(value)
    except SettingsError as error:
        raise SettingsError(f"{error} in {where}") from None
