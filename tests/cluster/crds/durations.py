"""Where the API has durations."""

from tests.cluster.crds.specs import POD_GUARD, PODS
from tests.cluster.objects import a_guard, a_pause, an_integration

#: Every duration of the API: an object that has it, its path, and its bounds.
DURATIONS = [
    (lambda d: an_integration(scaling={"maxReplicas": 3, "drainTarget": d}), "spec.scaling.drainTarget", "1s", "24h"),
    (lambda d: an_integration(scaling={"maxReplicas": 3, "jobDuration": d}), "spec.scaling.jobDuration", "1ms", "1h"),
    (
        lambda d: an_integration(scaling={"maxReplicas": 3, "scaleDownAfter": d}),
        "spec.scaling.scaleDownAfter",
        "0s",
        "1h",
    ),
    (
        lambda d: an_integration(scaling={"maxReplicas": 3, "rateLimit": {"requests": 1, "per": d}}),
        "spec.scaling.rateLimit.per",
        "1s",
        "24h",
    ),
    (
        lambda d: an_integration(rollout={"steps": [{"weight": 1, "hold": d}]}),
        "spec.rollout.steps[0].hold",
        "0s",
        "168h",
    ),
    (lambda d: an_integration(rollout={"bake": d}), "spec.rollout.bake", "0s", "168h"),
    (lambda d: an_integration(rollout={"progressDeadline": d}), "spec.rollout.progressDeadline", "10s", "24h"),
    (lambda d: an_integration(metrics={"pods": {"interval": d}}), "spec.metrics.pods.interval", "1s", "5m"),
    (
        lambda d: an_integration(metrics={"prometheus": {"url": "http://prometheus:9090", "interval": d}}),
        "spec.metrics.prometheus.interval",
        "1s",
        "5m",
    ),
    (
        lambda d: an_integration(metrics={"backend": {"url": "http://api/", "interval": d}}),
        "spec.metrics.backend.interval",
        "1s",
        "5m",
    ),
    (
        lambda d: an_integration(metrics=PODS, guards=[a_guard(**POD_GUARD | {"window": d})]),
        "spec.guards[0].window",
        "5s",
        "1h",
    ),
    (lambda d: a_pause(expiresAfter=d), "spec.expiresAfter", "1m", "168h"),
]
