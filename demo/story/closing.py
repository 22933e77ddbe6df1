"""The last words: the table, and what to try by hand."""

from demo.story.stage import Stage
from dev.cluster import Cluster


def table(stage: Stage, elapsed: float) -> list[str]:
    """Everything measured, and how many checks held."""
    minutes, seconds = divmod(round(elapsed), 60)
    lines = stage.report.lines()
    rule = "  " + "-" * max((len(line) - 2 for line in lines), default=0)
    return [
        "",
        "Measured in this run",
        rule,
        *lines,
        rule,
        f"  All {stage.held} checks held, after {minutes}:{seconds:02} min. Holds and bakes are short for a demo.",
        "",
    ]


def by_hand(cluster: Cluster) -> list[str]:
    """Commands for a cluster that stays; they can be pasted at the repository's top."""
    return [
        "The cluster stays. Try by hand, from the top of the repository:",
        "",
        f"  export KUBECONFIG={cluster.kubeconfig}",
        f'  export PATH="{cluster.kubectl.parent}:$PATH"',
        "  kubectl config set-context --current --namespace crm",
        "",
        "  kubectl get crmi --watch                                          # what somebody on call sees",
        "  kubectl describe crmi hubspot                                     # conditions, guards, decisions, events",
        "  kubectl scale deploy/load --replicas=1                            # 24 jobs per second",
        "  kubectl create -f demo/k8s/load/burst.yaml                        # 500 jobs at once",
        "  kubectl apply -f demo/k8s/integration/hubspot-v2.yaml             # a good version",
        "  kubectl apply -f demo/k8s/integration/hubspot-v3-bad.yaml         # a bad one",
        '  kubectl patch syncpause hubspot --type merge -p \'{"spec":{"paused":true}}\'',
        '  kubectl patch syncpause hubspot --type merge -p \'{"spec":{"paused":false}}\'',
        "  kubectl -n crm-operator-system logs deploy/crm-operator --follow",
        "",
        f"  .venv/bin/python -m dev.cluster down --name {cluster.name}                    # when you are done",
        "",
    ]
