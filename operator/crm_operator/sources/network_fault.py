"""What kind of trouble an exchange over the network had, whatever library it went through."""

import socket
import ssl
from enum import Enum


class NetworkFault(Enum):
    """Each with the reason that a condition gives."""

    TIMEOUT = "Timeout"
    REFUSED = "ConnectionRefused"
    CLOSED = "ConnectionClosed"
    UNTRUSTED = "TlsUntrusted"
    TLS = "TlsFailed"
    NOT_FOUND = "HostNotFound"


def fault_of(error: BaseException) -> NetworkFault | None:
    """Of `error` itself. None: it does not tell."""
    match error:
        case TimeoutError():
            return NetworkFault.TIMEOUT
        case ConnectionRefusedError():
            return NetworkFault.REFUSED
        case ConnectionResetError() | BrokenPipeError():
            return NetworkFault.CLOSED
        case ssl.SSLCertVerificationError():
            return NetworkFault.UNTRUSTED
        case ssl.SSLError():
            return NetworkFault.TLS
        case socket.gaierror():
            return NetworkFault.NOT_FOUND
        case _:
            return None


def fault_in(error: BaseException) -> NetworkFault | None:
    """Of the first in the chain of causes that tells: libraries hide the operating system's error behind their own."""
    seen: BaseException | None = error
    while seen is not None:
        found = fault_of(seen)
        if found is not None:
            return found
        seen = seen.__cause__ or seen.__context__
    return None
