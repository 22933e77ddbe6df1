"""Builds the images of product and demo as archives for `Cluster.load_image`.

    python -m demo.images            # prints the archives' paths

Each is built again only when what it is made from has changed; the builds themselves need no network.
"""

from pathlib import Path

from demo.wheelhouse import DEMO, OPERATOR, REPOSITORY, prepare
from dev.cluster.progress import PlainProgress, Progress
from dev.images import build_image, python_base, redis_image

#: As in demo/k8s/operator/kustomization.yaml, demo/k8s/app and demo/k8s/integration.
OPERATOR_IMAGE = "localhost/crm-dev/operator:dev"
APP_IMAGE = "localhost/crm-dev/app:dev"


def operator_image(*, progress: Progress | None = None) -> Path:
    """The operator, from this tree. Raises WheelhouseError, and ClusterError as `build_image` does."""
    prepare(OPERATOR)
    return _build(REPOSITORY / "Dockerfile", OPERATOR_IMAGE, progress)


def app_image(*, progress: Progress | None = None) -> Path:
    """The demo application: worker, fake HubSpot, load and tally. Raises as above."""
    prepare(DEMO)
    return _build(REPOSITORY / "demo/Dockerfile", APP_IMAGE, progress)


def all_images(*, progress: Progress | None = None) -> list[Path]:
    """Everything that the demo's node must have."""
    return [operator_image(progress=progress), app_image(progress=progress), redis_image(progress=progress)]


def _build(dockerfile: Path, tag: str, progress: Progress | None) -> Path:
    return build_image(dockerfile, REPOSITORY, tag, {"BASE": python_base(progress=progress)}, progress=progress)


def main() -> None:
    for archive in all_images(progress=PlainProgress()):
        print(archive)


if __name__ == "__main__":
    main()
