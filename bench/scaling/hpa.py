"""Kubernetes' own HorizontalPodAutoscaler as a peer: it asks for the length of the queue whenever it likes to.

An adapter for `external.metrics.k8s.io`, as KEDA and the Prometheus adapter are, reads Redis when it is asked, so what
the HPA gets is never old. What KEDA adds (from 0 to 1 and back, by polling) is not here; one worker always stays.
"""

import datetime
import json
import ssl
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self

import redis

from bench.recorder import Json
from bench.scaling.scalers import NAME, QUEUE
from bench.scaling.traces import MAX_REPLICAS
from dev.cluster import Cluster
from dev.cluster.pki import Authority

GROUP = "external.metrics.k8s.io/v1beta1"
#: Jobs waiting and running; the metric's name says nothing more.
METRIC = "backlog"


#: The controller manager's interval where an HPA is at its fastest. Managed clusters leave it at 15 s.
TUNED_SYNC_SECONDS = 3
#: And its behavior: any growth at once, down after 15 s.
_TUNED = {
    "scaleUp": {"stabilizationWindowSeconds": 0, "policies": [{"type": "Pods", "value": 100, "periodSeconds": 15}]},
    "scaleDown": {
        "stabilizationWindowSeconds": 15,
        "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
    },
}


def autoscaler(jobs_per_worker: int, *, tuned: bool) -> Json:
    """An HPA with its default behavior: doubling or 4 pods in 15 s, down after 300 s; or one that is tuned."""
    target = {"type": "AverageValue", "averageValue": str(jobs_per_worker)}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": NAME},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": NAME},
            "minReplicas": 1,
            "maxReplicas": MAX_REPLICAS,
            **({"behavior": _TUNED} if tuned else {}),
            "metrics": [{"type": "External", "external": {"metric": {"name": METRIC}, "target": target}}],
        },
    }


class Adapter:
    """A server on loopback; `url` is the Redis to read. A context: it serves until it is left."""

    def __init__(self) -> None:
        self.url: str | None = None
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        with tempfile.TemporaryDirectory() as folder:
            pair = Authority(Path(folder) / "pki").server("adapter", "adapter", ["localhost", "127.0.0.1"])
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(pair.certificate, pair.key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @contextmanager
    def registered(self, cluster: Cluster) -> Iterator[None]:
        """The cluster's API server asks here; afterwards it knows of no such API. Raises ClusterError."""
        group, _, version = GROUP.partition("/")
        objects: list[Json] = [
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": "bench-metrics", "namespace": "kube-system"},
                "spec": {"type": "ExternalName", "externalName": "localhost", "ports": [{"port": self.port}]},
            },
            {
                "apiVersion": "apiregistration.k8s.io/v1",
                "kind": "APIService",
                "metadata": {"name": f"{version}.{group}"},
                "spec": {
                    "group": group,
                    "version": version,
                    "insecureSkipTLSVerify": True,
                    "groupPriorityMinimum": 100,
                    "versionPriority": 100,
                    "service": {"name": "bench-metrics", "namespace": "kube-system", "port": self.port},
                },
            },
        ]
        everything = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        try:
            cluster.run_kubectl("apply", "--filename", "-", stdin=everything)
            cluster.run_kubectl(
                "wait", "--for=condition=Available", "--timeout=30s", "--filename", "-", stdin=json.dumps(objects[1])
            )
            yield
        finally:
            # No namespace could be deleted while an API of the cluster does not answer.
            cluster.run_kubectl("delete", "--ignore-not-found", "--filename", "-", stdin=everything)

    def answer(self, path: str) -> Json | None:
        """What a GET of `path` gets; None: there is no such. Raises redis.RedisError."""
        path = path.partition("?")[0].rstrip("/")
        if path == f"/apis/{GROUP}":
            resource = {"name": METRIC, "namespaced": True, "kind": "ExternalMetricValueList", "verbs": ["get"]}
            return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": GROUP, "resources": [resource]}
        if not path.startswith(f"/apis/{GROUP}/namespaces/") or not path.endswith(f"/{METRIC}") or self.url is None:
            return None
        with redis.Redis.from_url(self.url) as broker:
            jobs = int(broker.hlen(f"dramatiq:{QUEUE}.msgs"))
        now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        value = {"metricName": METRIC, "metricLabels": {}, "timestamp": now, "value": str(jobs)}
        return {"kind": "ExternalMetricValueList", "apiVersion": GROUP, "metadata": {}, "items": [value]}


def _handler(adapter: Adapter) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            try:
                found = adapter.answer(self.path)
                status, body = (404, {"message": "not found"}) if found is None else (200, found)
            except redis.RedisError as error:
                status, body = 500, {"message": type(error).__name__}
            text = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: object) -> None:
            """Nobody reads it."""

    return Handler
