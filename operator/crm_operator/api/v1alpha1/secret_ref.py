"""How a resource refers to a Secret: by name and key, in its own namespace only."""

from typing import Annotated

from pydantic import Field, StringConstraints

from crm_operator.api.base import ApiModel, Matching


class SecretKeyRef(ApiModel):
    """One key of a Secret in the integration's own namespace."""

    name: Annotated[
        str,
        StringConstraints(max_length=253),
        Matching("^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", "must be the name of a Secret: a-z, 0-9, - and ."),
    ] = Field(description="Name of the Secret.")
    key: Annotated[
        str,
        StringConstraints(max_length=253),
        Matching("^[-._a-zA-Z0-9]+$", "must be a key of a Secret: letters, digits, -, _ and ."),
    ] = Field(description="Key within its data.")


class FromSecret(ApiModel):
    """A value that stands in a Secret."""

    secret_key_ref: SecretKeyRef


class Tls(ApiModel):
    """How a server's certificate is checked; against the usual authorities in any case."""

    ca_from: FromSecret = Field(description="A further certificate authority, in PEM format, from a Secret here.")
