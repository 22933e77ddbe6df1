"""The certificate authority that a custom resource brings for its own TLS."""

import ssl

from crm_operator.domain.world import Unknown
from crm_operator.sources.secret import Secret


def refuse_ca(ca: Secret | None, *, tls: bool, field: str, ca_field: str, schemes: str, reason: str) -> Unknown | None:
    """Why `ca` (PEM) from `ca_field` is of no use to the URL in `field`; None if it is, or there is none.

    `schemes`: those of TLS, for the remedy. `reason`: of a URL without TLS.
    """
    if ca is None:
        return None
    if not tls:
        return Unknown(
            f"{field}: it is not for TLS, but {ca_field} is given; write {schemes} in the URL, or remove it", reason
        )
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=ca.reveal())
    except (ssl.SSLError, ValueError):
        return Unknown(f"{ca_field}: it is no certificate; store the CA in PEM format", "CaInvalid")
    return None
