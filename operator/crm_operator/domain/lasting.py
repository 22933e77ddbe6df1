"""Whether what a guard said before goes on: a state that is only kept, see clearing.py, is no breach that lasts."""

from crm_operator.api.v1alpha1 import GuardState, GuardStatus


def lasting_breach(was: GuardStatus | None) -> GuardStatus | None:
    """`was`, if the guard's value was Critical. What is Critical now has been so since then."""
    lasts = was is not None and was.state is GuardState.CRITICAL and was.clear_time is None
    return was if lasts else None


def lasting_outage(was: GuardStatus | None) -> GuardStatus | None:
    """`was`, if the provider was to blame. An outage may flicker: it lasts as long as its state is kept."""
    lasts = was is not None and was.state is GuardState.CRITICAL and was.blame == "provider"
    return was if lasts else None
