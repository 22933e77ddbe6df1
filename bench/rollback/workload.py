"""The workers: the demo's, with quicker jobs, and with the version as a label and in their environment."""

from dataclasses import dataclass

from bench.recorder import Json
from bench.rollback.cells import SLOW_START, STRATEGIES, Cell, Start
from bench.rollback.story import VERSION
from demo.versions import integration

#: The demo application, which the node is given.
IMAGE = "localhost/crm-dev/app:dev"
#: Two threads of each worker, so that five of them can do about 90 jobs/s.
JOB_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Addresses:
    """As the pods see them."""

    redis: str
    hubspot: str


def demo_integration(version: str, where: Addresses, cell: Cell) -> Json:
    """The demo's CrmIntegration with these workers, started and replaced as the cell says."""
    body = integration(version)
    template: Json = body["spec"]["workers"]["template"]
    template["metadata"]["labels"][VERSION] = version
    (container,) = template["spec"]["containers"]
    ours = {"REDIS_URL": where.redis, "HUBSPOT_URL": where.hubspot, "JOB_SECONDS": f"{JOB_SECONDS:g}"}
    for variable in container["env"]:
        if variable["name"] in ours:
            variable["value"] = ours[variable["name"]]
    if cell.start is Start.SLOW:
        container["readinessProbe"] = {
            "httpGet": {"path": "/metrics", "port": "metrics"},
            "initialDelaySeconds": SLOW_START,
            "periodSeconds": 1,
            "timeoutSeconds": 2,
        }
    body["spec"]["workers"]["strategy"] = STRATEGIES[cell.surge]
    body["spec"]["queue"]["url"] = where.redis
    return body
