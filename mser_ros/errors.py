"""Every error that a user of this package can cause, as one tree.

::

    MserError                 one sentence that says what is wrong and how to mend it
    ├── SettingsError         a parameter or configuration value is unknown, of the wrong type or out of range
    ├── AudioError            audio that cannot be used: format, rate, channels, an unreadable sound file, no microphone
    ├── SkeletonError         a skeleton that cannot be used: joint count, layout, an unreadable motion file
    ├── TranscriberError      the speech recogniser or its model cannot be used
    ├── ModelError            a model of the store is missing or damaged, or cannot be had
    ├── BundleError           a model bundle is missing, damaged, tampered with or of another format
    ├── BagError              a bag that cannot be read, or lacks what is needed
    ├── CorpusError           a corpus is missing or broken
    └── DependencyError       an optional package is not installed

The core raises them; a node catches them by name, logs the sentence and lives on; the command line prints the sentence
and exits with 1. Anything else that escapes is a bug of ours and keeps its traceback.
"""

from __future__ import annotations


class MserError(Exception):
    """A mistake that the user can mend; the message is one sentence that names the cure."""


class SettingsError(MserError):
    """A parameter is unknown, of the wrong type or out of range."""


class AudioError(MserError):
    """Audio that cannot be used."""


class SkeletonError(MserError):
    """A skeleton that cannot be used."""


class TranscriberError(MserError):
    """The speech recogniser or its model cannot be used."""


class ModelError(MserError):
    """A model of the store that is missing or damaged, or cannot be had."""


class BundleError(MserError):
    """A model bundle that cannot be used."""


class BagError(MserError):
    """A bag that cannot be read."""


class CorpusError(MserError):
    """A corpus that is missing or broken."""


class DependencyError(MserError):
    """An optional package that is not installed."""
