"""Fake pods that misbehave, for KWOK. A pod asks for it by a label of its template."""

from dev.cluster import Cluster

LABEL = "crm-tests/pod"
NEVER_READY = {LABEL: "never-ready"}
CRASHING = {LABEL: "crashing"}
MISCONFIGURED = {LABEL: "misconfigured"}
SLOW = {LABEL: "slow"}
SLOW_SECONDS = 4  # until it is Ready

_STAGE = """
apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata:
  name: {name}
spec:
  resourceRef: {{apiGroup: v1, kind: Pod}}
  weight: 1
  delay: {{durationMilliseconds: {delay}}}
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
      - {{type: Ready, {ready}, lastTransitionTime: {{{{ Now | Quote }}}}}}
      containerStatuses:
      {{{{ range .spec.containers }}}}
      - name: {{{{ .name | Quote }}}}
        image: {{{{ .image | Quote }}}}
        ready: {is_ready}
        restartCount: {restarts}
        state: {state}
      {{{{ end }}}}
"""


def starting_pod(
    name: str,
    *,
    label: str,
    value: str,
    ready: bool,
    delay_ms: int = 0,
    restarts: int = 0,
    state: str = "{running: {startedAt: {{ Now | Quote }}}}",
) -> str:
    """The Stage document `name`: what a Pending pod with the label `label: value` becomes after `delay_ms` (>= 0)."""
    return _STAGE.format(
        name=name,
        label=label,
        value=value,
        delay=delay_ms,
        ready='status: "True"' if ready else 'status: "False", reason: ContainersNotReady',
        is_ready=str(ready).lower(),
        restarts=restarts,
        state=state,
    )


_NEVER_READY, _CRASHING, _MISCONFIGURED = (f"crm-tests-{what}" for what in ("never-ready", "crashing", "misconfigured"))
_DOCUMENTS = "\n---\n".join(
    [
        starting_pod(_NEVER_READY, label=LABEL, value="never-ready", ready=False),
        starting_pod("crm-tests-slow", label=LABEL, value="slow", ready=True, delay_ms=SLOW_SECONDS * 1000),
        starting_pod(
            _CRASHING,
            label=LABEL,
            value="crashing",
            ready=False,
            restarts=4,
            state="{waiting: {reason: CrashLoopBackOff, message: back-off restarting}}",
        ),
        starting_pod(
            _MISCONFIGURED,
            label=LABEL,
            value="misconfigured",
            ready=False,
            state="{waiting: {reason: CreateContainerConfigError, message: configmap crm not found}}",
        ),
    ]
)


def teach(cluster: Cluster) -> None:
    """Once per cluster."""
    add_once(cluster, _NEVER_READY, _DOCUMENTS)


def add_once(cluster: Cluster, name: str, documents: str) -> None:
    """Add Stage documents to the cluster's KWOK, unless the one called `name` is there already."""
    if f"name: {name}\n" not in (cluster.work / "stages.yaml").read_text():
        # The new KWOK would wait for the leases of the old one to run out, 40 s: frozen, it does not renew them.
        cluster.freeze_component("kwok")
        cluster.run_kubectl("delete", "leases", "--all", "--namespace", "kube-node-lease")
        cluster.add_stages(documents)
