"""Fake pods that misbehave, for KWOK. A pod asks for it by a label of its template."""

from dev.cluster import Cluster

LABEL = "crm-tests/pod"
NEVER_READY = {LABEL: "never-ready"}
CRASHING = {LABEL: "crashing"}

_STAGE = """
apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata:
  name: {name}
spec:
  resourceRef: {{apiGroup: v1, kind: Pod}}
  weight: 1
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
      - {{type: Ready, status: "False", reason: ContainersNotReady, lastTransitionTime: {{{{ Now | Quote }}}}}}
      containerStatuses:
      {{{{ range .spec.containers }}}}
      - name: {{{{ .name | Quote }}}}
        image: {{{{ .image | Quote }}}}
        ready: false
        restartCount: {restarts}
        state: {state}
      {{{{ end }}}}
"""
_DOCUMENTS = "\n---\n".join(
    [
        _STAGE.format(
            name="crm-tests-never-ready", label=LABEL, value="never-ready", restarts=0, state="{running: {}}"
        ),
        _STAGE.format(
            name="crm-tests-crashing",
            label=LABEL,
            value="crashing",
            restarts=4,
            state="{waiting: {reason: CrashLoopBackOff, message: back-off restarting}}",
        ),
    ]
)


def teach(cluster: Cluster) -> None:
    """Once per cluster."""
    add_once(cluster, "crm-tests-never-ready", _DOCUMENTS)


def add_once(cluster: Cluster, name: str, documents: str) -> None:
    """Add Stage documents to the cluster's KWOK, unless the one called `name` is there already."""
    if f"name: {name}\n" not in (cluster.work / "stages.yaml").read_text():
        # The new KWOK would wait for the leases of the old one to run out, 40 s: frozen, it does not renew them.
        cluster.freeze_component("kwok")
        cluster.run_kubectl("delete", "leases", "--all", "--namespace", "kube-node-lease")
        cluster.add_stages(documents)
