"""Where guards find their metrics, besides the queue. docs/metrics.md explains each source."""

from datetime import timedelta
from typing import Annotated

from pydantic import Field, StringConstraints

from crm_operator.api.base import ApiModel, Matching, cel, rules
from crm_operator.api.duration import duration_between
from crm_operator.api.v1alpha1.secret_ref import FromSecret, Tls

_HOST = r"([a-zA-Z0-9._-]+|\[[0-9a-fA-F:.]+\])"
_PATH = "(/[-a-zA-Z0-9._~/%]*)?"
_ONE_URL = cel(
    "has(self.url) != has(self.urlFrom)",
    expression="(has(self.url) ? 'both url and urlFrom are given' : 'url and urlFrom are both missing') + "
    "'; give exactly one of them (urlFrom when the URL holds a password)'",
)
_TLS_FITS = cel(
    "!has(self.tls) || !has(self.url) || self.url.startsWith('https')",
    "tls is given, but url does not ask for TLS; write https://, or remove tls",
    path=".tls",
)


class PodMetrics(ApiModel):
    """Prometheus metrics of the worker pods, which know which version said what."""

    port: int = Field(default=9191, ge=1, le=65535, description="Default 9191, Dramatiq's own.")
    path: Annotated[
        str,
        StringConstraints(max_length=200),
        Matching("^/[-a-zA-Z0-9._~/]*$", "must be a path: / and then letters, digits, -, ., _, ~ and /"),
    ] = Field(default="/metrics", description="Default /metrics.")
    interval: duration_between("1s", "5m") = Field(  # type: ignore[valid-type]
        default=timedelta(seconds=5),
        description="Time between scrapes. Default 5s; during a rollout 1s, and down to 250ms for the new version.",
    )


class HttpMetrics(ApiModel):
    """What all endpoints have in common."""

    url_from: FromSecret | None = Field(
        default=None, description="The URL from a Secret in this namespace; it may hold a user and password."
    )
    token_from: FromSecret | None = Field(default=None, description="A bearer token from a Secret in this namespace.")
    tls: Tls | None = Field(default=None, description="For a server whose certificate a private authority signed.")


class BackendMetrics(HttpMetrics):
    """The application's own JSON endpoint, whose numbers are those of all workers together."""

    model_config = ApiModel.model_config | {"json_schema_extra": rules(_ONE_URL, _TLS_FITS)}

    url: (
        Annotated[
            str,
            StringConstraints(max_length=512),
            Matching(
                rf"^https?://{_HOST}(:[0-9]{{1,5}})?{_PATH}([?][-a-zA-Z0-9._~/%&=+]*)?$",
                "must be http://HOST:PORT/PATH or https://..., a query is allowed; "
                "a URL with a user or password belongs in a Secret, see urlFrom",
            ),
        ]
        | None
    ) = Field(default=None, description="Of the metrics, e.g. http://api:8000/crm/metrics.")
    root: Annotated[
        str,
        StringConstraints(max_length=200),
        Matching(
            r"^([a-zA-Z0-9_-]+(\.[a-zA-Z0-9_-]+)*)?$",
            "must be the way to the object with the numbers: names of letters, digits, _ and -, with dots between",
        ),
    ] = Field(default="metrics", description="The object with the numbers. Default metrics; '' is the answer itself.")
    interval: duration_between("1s", "5m") = Field(  # type: ignore[valid-type]
        default=timedelta(seconds=5), description="Time between looks. Default 5s."
    )


class PrometheusMetrics(HttpMetrics):
    """A Prometheus server, or what answers its HTTP API."""

    model_config = ApiModel.model_config | {"json_schema_extra": rules(_ONE_URL, _TLS_FITS)}

    url: (
        Annotated[
            str,
            StringConstraints(max_length=512),
            Matching(
                rf"^https?://{_HOST}(:[0-9]{{1,5}})?{_PATH}$",
                "must be http://HOST:PORT or https://..., with the path before /api/v1 if there is one; "
                "a URL with a user or password belongs in a Secret, see urlFrom",
            ),
        ]
        | None
    ) = Field(default=None, description="Of the server, e.g. http://prometheus:9090.")
    interval: duration_between("1s", "5m") = Field(  # type: ignore[valid-type]
        default=timedelta(seconds=15),
        description="Time between looks and between the samples of a window. A sample older than three is stale, so "
        "it is at least a third of the server's scrape interval. Default 15s.",
    )


class Metrics(ApiModel):
    """Where guards find their metrics, besides the queue."""

    pods: PodMetrics | None = Field(default=None, description="Scrape the worker pods. {} takes all defaults.")
    backend: BackendMetrics | None = Field(default=None, description="Ask the application's JSON endpoint.")
    prometheus: PrometheusMetrics | None = Field(default=None, description="Ask a Prometheus server.")
