"""Sources and their paths: the environment's scheme at `/v1/events`, each named source at `/v1/events/<name>`."""

from dataclasses import replace
from typing import Any, NamedTuple

from pydantic import SecretStr

from stream_router.envelope import valid_traceparent
from stream_router.errors import SettingProblem, SettingsError
from stream_router.receiver import auth
from stream_router.receiver.auth import Verify
from stream_router.receiver.intake import Intake
from stream_router.receiver.request import Headers
from stream_router.receiver.secrets import Secrets
from stream_router.settings import sources
from stream_router.settings.common import variable
from stream_router.settings.receiver import Receiver, Signature
from stream_router.settings.sources import PostedSource

EVENTS_PATH = "/v1/events"
MAX_TYPE_CHARS = 128
_KEYS = {
    variable(Receiver, name): name.removeprefix("webhook_")
    for name in (*Signature.model_fields, "webhook_scheme", "webhook_secrets")
}
"""Keys of a named source, by the variables of the environment's source."""


class Source(NamedTuple):
    """A source: the check of its senders and the converter of its bodies. `name` is "" for the environment's source."""

    name: str
    scheme: str
    verify: Verify
    secrets: Secrets | None
    intake: Intake

    def read_headers(self, headers: Headers) -> tuple[str, str, str]:
        """Return a request's content type, event type and trace context; "" for a missing or invalid value.

        The event type is read only if the scheme is `expert`.
        """
        content_type = headers.get("content-type").lower()[:MAX_TYPE_CHARS] if "content-type" in headers else ""
        event_type = headers.get("x-nexus-event-type") if self.scheme == "expert" else ""
        if len(event_type) > MAX_TYPE_CHARS or not event_type.isascii() or not event_type.isprintable():
            event_type = ""
        traceparents = headers.get_all("traceparent")
        traceparent = valid_traceparent(traceparents[0]) if len(traceparents) == 1 else ""
        return content_type, event_type, traceparent


def build_sources(settings: Receiver) -> dict[str, Source]:
    """Return every source by its path. Raises SettingsError if a source's settings are wrong, or no source exists."""
    posted = [
        source for source in sources.read(settings.config) if isinstance(source, PostedSource) and source.has_own_path
    ]
    by_path = {f"{EVENTS_PATH}/{source.name}": _build_named(settings, source) for source in posted}
    if settings.webhook_scheme is not None or not posted:
        by_path[EVENTS_PATH] = _build_source(settings, "", takes_xml=False)
    return by_path


def _build_named(settings: Receiver, source: PostedSource) -> Source:
    """Return a source of the config file. Its fields replace the environment's settings of the same meaning.

    Raises SettingsError that names the config file's field, in place of the environment's variable.
    """
    fields = {name: getattr(source, name) for name in source.model_fields_set & Signature.model_fields.keys()}
    changes: dict[str, Any] = {
        **fields,
        "webhook_scheme": source.scheme,
        "webhook_secrets": source.secrets or SecretStr(""),
    }
    defaults = {name: field.default for name, field in Signature.model_fields.items() if name.startswith("hmac_")}
    own = settings.model_copy(update={**defaults, **changes})
    # `model_copy` marks each updated field as set by the operator. The defaults among them were not.
    own.model_fields_set.difference_update(defaults.keys() - fields.keys())
    try:
        return _build_source(own, source.name, takes_xml=source.xml)
    except SettingsError as error:
        raise error.with_problems(_problem_of_source(source.name, problem) for problem in error.problems) from None


def _problem_of_source(name: str, problem: SettingProblem) -> SettingProblem:
    """Return the problem of a named source's key; the problem itself if no key of the source is wrong."""
    if problem.setting not in _KEYS:
        return problem
    place = (f"cxone.sources {name}", _KEYS[problem.setting], *problem.place)
    return replace(problem, setting=sources.VARIABLE, place=place)


def _build_source(settings: Receiver, name: str, *, takes_xml: bool) -> Source:
    """Return a source with these settings. With the scheme `expert` it always takes XML. Raises SettingsError."""
    verify, live = auth.make_check(settings)
    scheme = settings.webhook_scheme or ""
    intake = Intake(settings, source=name, takes_xml=takes_xml or scheme == "expert")
    return Source(name, scheme, verify, live, intake)
