"""Presidio as a detector (extra ``pii``): cards, accounts, passports, phone numbers of many countries.

Without a model it looks for what has a form; names and places need a spaCy model, which the user installs. Presidio
finds e-mail addresses by a list of domains that ``tldextract`` would download on first use: here it may not, and uses
the list that comes with it. Nothing is downloaded and nothing is sent.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Any

import msgspec

from overspill.detectors.protocol import Finds
from overspill.errors import OverspillError

_EVERYWHERE = frozenset({"DATE_TIME", "URL", "UUID", "NRP"})
"""Says little of a person and is in half of all texts; looked for if it is asked for by name."""


class PresidioOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to look for, and how sure it must be."""

    language: str = "en"
    entities: tuple[str, ...] = ()
    """Presidio's names; empty for all but dates, addresses of web pages, UUIDs and nationalities."""
    min_score: float = 0.4
    """From 0 to 1; a phone number without words that speak of one has 0.4."""
    model: str | None = None
    """A spaCy model that is installed; finds names and places too."""


class Presidio:
    """See the module."""

    kind = "presidio"
    description = "Presidio (`pip install 'overspill[pii]'`); names and places with a spaCy model"

    def check(self, options: Mapping[str, Any]) -> None:
        """See ``Detector``; looks whether the packages are there, without importing them."""
        wanted = _read(options)
        if importlib.util.find_spec("presidio_analyzer") is None:
            raise OverspillError("presidio is not installed; install it with: pip install 'overspill[pii]'")
        if wanted.model is not None and importlib.util.find_spec(wanted.model) is None:
            raise OverspillError(
                f"options: the spaCy model {wanted.model} is not installed; python -m spacy download {wanted.model}"
            )

    def load(self, options: Mapping[str, Any]) -> Finds:
        """See ``Detector``; takes seconds."""
        wanted = _read(options)
        analyzer = _analyzer(wanted)
        offered = set(analyzer.get_supported_entities(wanted.language))
        entities = sorted(wanted.entities or offered - _EVERYWHERE)
        unknown = [name for name in entities if name not in offered]
        if unknown:
            known = ", ".join(sorted(offered))
            raise OverspillError(
                f"presidio does not find {', '.join(unknown)} in {wanted.language!r}; it finds {known}"
            )

        def finds(text: str) -> bool:
            found = analyzer.analyze(
                text, language=wanted.language, entities=entities, score_threshold=wanted.min_score
            )
            return bool(found)

        return finds


def _read(options: Mapping[str, Any]) -> PresidioOptions:
    try:
        wanted = msgspec.convert(options, PresidioOptions)
    except msgspec.ValidationError as error:
        raise OverspillError(f"options: {error}") from None
    if not 0 <= wanted.min_score <= 1:
        raise OverspillError(f"options: min_score is {wanted.min_score:g}; it must be from 0 to 1")
    if wanted.model is not None and not wanted.model.isidentifier():
        raise OverspillError(f"options: {wanted.model!r} is no name of a spaCy model, such as en_core_web_sm")
    return wanted


def _analyzer(wanted: PresidioOptions) -> Any:
    _stay_offline()
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
    from presidio_analyzer.nlp_engine import NlpEngine, NoOpNlpEngine, SpacyNlpEngine

    language = wanted.language
    engine: NlpEngine
    if wanted.model is None:
        engine = NoOpNlpEngine(models=[{"lang_code": language, "model_name": "none"}])
    else:
        engine = SpacyNlpEngine(models=[{"lang_code": language, "model_name": wanted.model}])
    engine.load()
    registry = RecognizerRegistry(supported_languages=[language])
    registry.load_predefined_recognizers(languages=[language], nlp_engine=engine)
    return AnalyzerEngine(registry=registry, nlp_engine=engine, supported_languages=[language])


def _stay_offline() -> None:
    """Give ``tldextract`` no address to load its list from, and no folder to keep it in."""
    import tldextract

    offline = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)
    tldextract.extract = offline  # type: ignore[assignment, unused-ignore]
