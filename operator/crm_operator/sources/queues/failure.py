"""What went wrong with a broker, without any of its own words: they could repeat a key, a user, a password.

The only place that knows redis-py's errors. `Failure` becomes an `Unknown` for each integration on the broker.
"""

from dataclasses import dataclass

import redis.exceptions as errors

from crm_operator.domain.world import Unknown
from crm_operator.sources.network_fault import NetworkFault, fault_of

#: What redis-py raises when a peer does not speak the protocol, beside its own errors.
GARBAGE = (ValueError, LookupError, TypeError, ArithmeticError, MemoryError, RecursionError, EOFError)
#: Everything that a read of a broker can raise.
READ_ERRORS = (errors.RedisError, OSError, TimeoutError, *GARBAGE)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a broker, or one queue of it, could not be read."""

    reason: str  # CamelCase
    clause: str  # what happened and the remedy

    def unknown(self, *, field: str, shown: str) -> Unknown:
        """For an integration whose URL stands in `field` and names `shown` (host:port)."""
        return Unknown(f"{field} ({shown}): {self.clause}", self.reason)


REFUSED = Failure("ConnectionRefused", "connection refused; check that the broker runs and the port is right")
TIMEOUT = Failure(
    "Timeout", "no answer in time; check that the broker is not stuck and no NetworkPolicy drops the traffic"
)
TLS_TIMEOUT = Failure("Timeout", "no answer in time; check that the broker is not stuck and that this port speaks TLS")
NOT_FOUND = Failure("HostNotFound", "the host name cannot be resolved; check its spelling and that the Service exists")
UNREACHABLE = Failure("Unreachable", "the host cannot be reached; check the address and the network")
CLOSED = Failure(
    "ConnectionClosed", "the connection was closed; check that the broker runs and speaks TLS as the URL says"
)
TLS = Failure("TlsFailed", "the TLS handshake failed; check the certificate, and whether a URL without TLS was meant")
UNTRUSTED = Failure(
    "TlsUntrusted",
    "its certificate is not trusted, or is for another host; give its CA with queue.tls.caFrom, and use a host in it",
)
AUTH = Failure("AuthenticationFailed", "user or password were refused; check them in the URL's Secret")
NO_PASSWORD = Failure("AuthenticationFailed", "Redis wants a password; put the URL into a Secret and use queue.urlFrom")
LOADING = Failure("Loading", "Redis is loading its data; it answers when that is done")
MAX_CLIENTS = Failure("TooManyClients", "Redis has no free connection; raise its maxclients")
NO_MASTER_LINK = Failure("ReplicaStale", "this replica has lost its master and does not answer; use the master's host")
NO_SUCH_MASTER = Failure("MasterUnknown", "Sentinel knows no master of this name; check the part after the host")
DATABASE = Failure("DatabaseInvalid", "there is no such database; check the number at the end of the URL")
NO_PERMISSION = Failure("NotPermitted", "the user may not read the queues; grant it the commands in docs/scaling.md")
WRONG_TYPE = Failure("WrongType", "keys have another type than Dramatiq's; check queue.namespace and queue.names")
CLUSTER = Failure("ClusterUnsupported", "Redis is a cluster, in which Dramatiq cannot work; use a single node")
NO_REDIS = Failure(
    "BrokerError", "it lacks commands of Redis; a Sentinel is asked with redis+sentinel://HOST:PORT/MASTER"
)
GARBLED = Failure("ProtocolError", "the answer is not Redis's; check host and port")
ERROR = Failure("BrokerError", "Redis answered with an error; see its log")

_FAULTS = {
    NetworkFault.TIMEOUT: TIMEOUT,
    NetworkFault.REFUSED: REFUSED,
    NetworkFault.CLOSED: CLOSED,
    NetworkFault.UNTRUSTED: UNTRUSTED,
    NetworkFault.TLS: TLS,
    NetworkFault.NOT_FOUND: NOT_FOUND,
}


def known_failure(error: BaseException) -> Failure | None:
    """What `error` means for a user; the most telling error of its chain decides. None: nothing in it tells."""
    seen: BaseException | None = error
    while seen is not None:
        known = _known(seen)
        if known is not None:
            return known
        seen = seen.__cause__ or seen.__context__
    return None


def failure_of(error: BaseException) -> Failure:
    """What an `error` of redis-py means for a user."""
    known = known_failure(error)
    if known is not None:
        return known
    if isinstance(error, errors.ResponseError):
        return ERROR
    if isinstance(error, errors.ConnectionError | EOFError):
        return CLOSED
    return UNREACHABLE if isinstance(error, OSError) else GARBLED


def _known(error: BaseException) -> Failure | None:
    match error:
        case errors.BusyLoadingError():
            return LOADING
        case errors.AuthenticationError():
            return NO_PASSWORD if "authentication required" in str(error).lower() else AUTH
        case errors.AuthenticationWrongNumberOfArgsError() | errors.AuthorizationError():
            return AUTH
        case errors.NoPermissionError():
            return NO_PERMISSION
        case errors.MasterDownError():
            return NO_MASTER_LINK
        case errors.MovedError() | errors.AskError() | errors.ClusterDownError() | errors.ClusterCrossSlotError():
            return CLUSTER
        case errors.InvalidResponse():
            return GARBLED
        case errors.TimeoutError():
            return TIMEOUT
        case errors.ResponseError() | errors.ConnectionError():
            return _by_words(str(error))
        case _:
            fault = fault_of(error)
            return None if fault is None else _FAULTS[fault]


def _by_words(text: str) -> Failure | None:
    if text.startswith("WRONGTYPE"):
        return WRONG_TYPE
    if "max number of clients" in text:
        return MAX_CLIENTS
    if text.startswith("unknown command"):
        return NO_REDIS
    if "DB index is out of range" in text or "invalid DB index" in text:
        return DATABASE
    return None
