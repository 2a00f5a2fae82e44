"""What languages are called: from the names that others give them to BCP 47."""

from __future__ import annotations

from locale import normalize

#: ISO 639-2 codes, with 639-1's.
_LANGUAGES = {
    "ara": "ar", "ces": "cs", "cze": "cs", "dan": "da", "deu": "de", "dut": "nl", "ell": "el", "eng": "en",
    "fas": "fa", "fin": "fi", "fra": "fr", "fre": "fr", "ger": "de", "gre": "el", "heb": "he", "hin": "hi",
    "hun": "hu", "ind": "id", "ita": "it", "jpn": "ja", "kor": "ko", "nld": "nl", "nor": "no", "pol": "pl",
    "por": "pt", "ron": "ro", "rum": "ro", "rus": "ru", "spa": "es", "swe": "sv", "tha": "th", "tur": "tr",
    "ukr": "uk", "vie": "vi", "zho": "zh", "chi": "zh",
}  # fmt: skip


def language_tag(name: str) -> str:
    """A BCP 47 tag from a tag, from a locale such as 'en_US.UTF-8@euro', from ISO 639's three letters or from a
    language's English name; '' for the locales without a language."""
    first, _, rest = name.split(".")[0].split("@")[0].replace("_", "-").strip().partition("-")
    if first.upper() in ("C", "POSIX"):
        return ""
    if len(first) > 3 and "_" in (known := normalize(first.lower())):  # Windows: 'English_United States.1252'
        return known.split("_")[0]
    language = _LANGUAGES.get(first.lower(), first)
    return f"{language}-{rest}" if rest else language


def primary_language(name: str) -> str:
    """The language of a tag or a locale without its region: 'en'."""
    return language_tag(name).split("-")[0].lower()
