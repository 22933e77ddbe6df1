"""The world around the workers, asked through kubectl only: it works alike on every provider of clusters.

The fake HubSpot answers through the API server's Service proxy; tally and bursts run in the application's own pods.
"""

import json
import re
from dataclasses import dataclass

from demo.app.hubspot_stats import HubSpotStats
from demo.app.tally import Tally
from dev.cluster import Cluster

NAMESPACE = "crm"
STATS = f"/api/v1/namespaces/{NAMESPACE}/services/fake-hubspot:8080/proxy/_stats"
TALLY = (
    "exec",
    "deploy/fake-hubspot",
    "--",
    "env",
    "REDIS_URL=redis://redis:6379/0",
    "python3",
    "-m",
    "demo.app.tally",
)
SENT = re.compile(r"^sent (?P<jobs>\d+) jobs from (?P<began>[\d.]+) to (?P<ended>[\d.]+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Burst:
    """Jobs that were sent at once; times are seconds since the epoch."""

    jobs: int
    began: float
    ended: float

    @classmethod
    def parse(cls, output: str) -> "Burst":
        """Read what `python -m demo.app.load --burst N` printed. Raises ValueError."""
        found = SENT.search(output)
        if found is None:
            raise ValueError(f"the load generator did not say what it sent: {output!r}")
        return cls(jobs=int(found["jobs"]), began=float(found["began"]), ended=float(found["ended"]))


@dataclass(frozen=True, slots=True)
class Outside:
    """Questions only; each is one call of kubectl. All raise ClusterError."""

    cluster: Cluster

    def stats(self) -> HubSpotStats:
        """The fake HubSpot's books, by its own clock."""
        return HubSpotStats.from_json(json.loads(self.cluster.run_kubectl("get", "--raw", STATS)))

    def tally(self) -> Tally:
        """Where every job is."""
        values = json.loads(self.cluster.run_kubectl("--namespace", NAMESPACE, *TALLY, "--json"))
        return Tally(**values)
