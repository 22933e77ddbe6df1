"""The application's own JSON metrics endpoint. `backend_hub` is what the program builds; the rest serves it."""

from crm_operator.sources.backend.source import BackendSource
from crm_operator.sources.backend.watched import BackendHub, backend_hub

__all__ = ["BackendHub", "BackendSource", "backend_hub"]
