"""Before the curtain: cluster, images, operator, and the world around the workers."""

import time

from demo.images import app_image, operator_image
from demo.story.commands import from_anywhere, shown
from demo.story.narrator import Narrator
from dev.cluster import Cluster, Tier, down, up
from dev.images import redis_image

OPERATOR_NAMESPACE = "crm-operator-system"


def new_cluster(name: str, narrator: Narrator) -> Cluster:
    """A fresh one: what an earlier run left under this name goes first. Raises ClusterError."""
    if down(name, progress=narrator):
        narrator.step(f"an earlier cluster {name} was there, and is gone")
    return up(name, Tier.NODE, progress=narrator)


def load_images(cluster: Cluster, narrator: Narrator) -> None:
    """Build what has changed, and give it to the node. Raises ClusterError and WheelhouseError."""
    for what, build in (("operator", operator_image), ("demo application", app_image), ("Redis", redis_image)):
        began = time.monotonic()
        narrator.busy(f"building the image of the {what}")
        archive = build(progress=narrator)
        narrator.busy(f"loading the image of the {what}")
        cluster.load_image(archive)
        narrator.step(f"image of the {what} is on the node after {time.monotonic() - began:.1f} s")
    narrator.idle()


def install(cluster: Cluster, narrator: Narrator) -> float:
    """Operator and application as a user installs them; returns the seconds it took. Raises ClusterError."""
    began = time.monotonic()

    def run(*arguments: str) -> None:
        narrator.command(shown(arguments))
        narrator.busy("waiting for kubectl")
        output = cluster.run_kubectl(*(from_anywhere(each) for each in arguments))
        narrator.idle()
        narrator.output(output)

    run("apply", "-k", "demo/k8s/operator")
    run("apply", "-k", "demo/k8s/app")
    for namespace, deployment in ((OPERATOR_NAMESPACE, "crm-operator"), ("crm", "redis"), ("crm", "fake-hubspot")):
        run("-n", namespace, "rollout", "status", f"deploy/{deployment}", "--timeout=120s")
    return time.monotonic() - began
