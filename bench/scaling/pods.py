"""Fake pods that need a while to become Ready, as real ones do that pull an image and import their program."""

from dev.cluster import Cluster
from tests.cluster.stages import add_once

_LABEL = "crm-bench/ready-after"
_STAGE = """
apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata:
  name: {name}
spec:
  resourceRef: {{apiGroup: v1, kind: Pod}}
  weight: 1
  delay: {{durationMilliseconds: {milliseconds}}}
  selector:
    matchLabels: {{{label}: {value}}}
    matchExpressions:
    - {{key: .metadata.deletionTimestamp, operator: DoesNotExist}}
    - {{key: .status.phase, operator: In, values: [Pending]}}
  next:
    statusTemplate: |
      phase: Running
      startTime: {{{{ Now | Quote }}}}
      conditions:
      - {{type: Ready, status: "True", lastTransitionTime: {{{{ Now | Quote }}}}}}
      containerStatuses:
      {{{{ range .spec.containers }}}}
      - name: {{{{ .name | Quote }}}}
        image: {{{{ .image | Quote }}}}
        ready: true
        restartCount: 0
        state: {{running: {{startedAt: {{{{ Now | Quote }}}}}}}}
      {{{{ end }}}}
"""


def ready_after(cluster: Cluster, seconds: float) -> dict[str, str]:
    """The labels of pods that become Ready this long (>= 0) after they were put on a node; teaches the cluster so.

    Raises ClusterError for a cluster without fake nodes.
    """
    if seconds == 0:
        return {}
    milliseconds = round(seconds * 1000)
    name, value = f"crm-bench-ready-after-{milliseconds}", f"{milliseconds}ms"
    add_once(cluster, name, _STAGE.format(name=name, milliseconds=milliseconds, label=_LABEL, value=value))
    return {_LABEL: value}
