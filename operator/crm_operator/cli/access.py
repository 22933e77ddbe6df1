"""Which cluster and namespace: as kubectl finds them, from KUBECONFIG, `~/.kube/config` and the present context."""

import os
from dataclasses import dataclass
from pathlib import Path

from crm_operator.controller.kube import Kube, Refused


@dataclass(frozen=True, slots=True)
class Access:
    """What the flags and the environment say."""

    kubeconfig: Path
    context: str | None
    namespace: str

    async def connect(self) -> Kube:
        """Raises Refused when the credentials cannot be used."""
        return await Kube.connect(self.kubeconfig, self.context, user_agent="kubectl-crm")


def find(kubeconfig: str | None, context: str | None, namespace: str | None) -> Access:
    """Raises Refused with what is missing, and the flag that gives it."""
    # Importing the client costs more than the rest of the program; `--help` does without.
    from kubernetes.aio.config import ConfigException
    from kubernetes.aio.config.kube_config import list_kube_config_contexts

    path = _path(kubeconfig)
    try:
        contexts, current = list_kube_config_contexts(str(path))
    except (ConfigException, OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        # Not the text: a loader's complaint may quote the file, which holds credentials.
        raise Refused(0, "NoCredentials", f"kubeconfig {path} cannot be read: {type(error).__name__}") from None
    if context is not None:
        current = next((item for item in contexts if item["name"] == context), None)
        if current is None:
            raise Refused(0, "NoContext", f"kubeconfig {path} has no context {context}")
    said = (current or {}).get("context", {}).get("namespace")
    return Access(path, context, namespace or said or "default")


def _path(kubeconfig: str | None) -> Path:
    if kubeconfig is not None:
        return Path(kubeconfig)
    listed = [part for part in os.environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    if len(listed) > 1:
        raise Refused(0, "NoCredentials", "KUBECONFIG names several files; give one of them with --kubeconfig")
    return Path(listed[0]) if listed else Path.home() / ".kube" / "config"
