"""Container images without a Docker engine: built by buildah, as archives that `Cluster.load_image` takes.

    from dev.images import build_image, python_base, redis_image
    archive = build_image(Path("Dockerfile"), Path("."), "localhost/crm-operator:dev", {"BASE": python_base()})

On the command line: `python -m dev.images --help`. Needs root.
"""

from dev.images.base import python_base, redis_image
from dev.images.builder import build_image

__all__ = ["build_image", "python_base", "redis_image"]
