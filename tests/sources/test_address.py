"""Which hosts a custom resource may name."""

from datetime import timedelta

import pytest

from crm_operator.domain.world import Unknown
from crm_operator.sources.address import AddressPolicy
from crm_operator.sources.queues.address import BrokerAddress, Master, broker_address
from crm_operator.sources.queues.source import QueueSource
from crm_operator.sources.secret import Secret


@pytest.mark.parametrize(
    ("host", "looked_up"),
    [
        pytest.param("redis", "redis.crm.svc", id="a bare Service is looked up in the integration's namespace"),
        pytest.param("redis.crm", "redis.crm.svc", id="with its namespace"),
        pytest.param("redis.crm.svc", "redis.crm.svc", id="with svc"),
        pytest.param("redis.crm.svc.cluster.local", "redis.crm.svc", id="in full"),
        pytest.param("Redis.CRM.svc.", "redis.crm.svc", id="case and a final dot do not matter"),
        pytest.param("redis-0.redis.crm.svc", "redis-0.redis.crm.svc", id="a pod of a headless Service"),
    ],
)
def test_services_of_the_own_namespace_are_allowed(host: str, looked_up: str) -> None:
    policy = AddressPolicy()
    assert policy.check(host, namespace="crm") is None
    assert policy.lookup_name(host, namespace="crm") == looked_up


@pytest.mark.parametrize(
    "host",
    [
        pytest.param("redis.other", id="another namespace"),
        pytest.param("redis.other.svc.cluster.local", id="another namespace in full"),
        pytest.param("example.com", id="the internet"),
        pytest.param("redis.crm.svc.example.com", id="a name that only begins like a Service"),
        pytest.param("localhost.localdomain", id="a local name"),
        pytest.param("10.0.0.5", id="an address"),
        pytest.param("127.0.0.1", id="loopback"),
        pytest.param("127.1", id="loopback, short"),
        pytest.param("2130706433", id="loopback as one number"),
        pytest.param("0x7f000001", id="loopback in hex"),
        pytest.param("169.254.169.254", id="metadata"),
        pytest.param("::1", id="loopback of IPv6"),
        pytest.param("::ffff:127.0.0.1", id="loopback of IPv4 in IPv6"),
        pytest.param("0.0.0.0", id="unspecified"),
        pytest.param("redis crm", id="no host at all"),
        pytest.param("", id="nothing"),
    ],
)
def test_everything_else_is_refused_with_field_and_remedy(host: str) -> None:
    refused = AddressPolicy().check(host, namespace="crm")
    assert isinstance(refused, Unknown)
    assert refused.reason == "HostNotAllowed"
    assert refused.why.startswith("spec.queue.url: ")
    assert "--allow-host" in refused.why


@pytest.mark.parametrize(
    ("allow", "host"),
    [
        pytest.param("redis.shared.svc", "redis.shared.svc", id="an exact name"),
        pytest.param("*.example.com", "redis.example.com", id="a suffix"),
        pytest.param("10.0.0.0/8", "10.1.2.3", id="a network"),
        pytest.param("10.1.2.3", "10.1.2.3", id="an address"),
        pytest.param("127.0.0.1", "127.0.0.1", id="loopback when it is listed"),
        pytest.param("127.0.0.0/8", "127.0.0.9", id="loopback when its network is listed"),
        pytest.param("fd00::/8", "fd00::5", id="IPv6"),
    ],
)
def test_the_operator_may_list_more(allow: str, host: str) -> None:
    assert AddressPolicy((allow,)).check(host, namespace="crm") is None


@pytest.mark.parametrize(
    ("allow", "host"),
    [
        pytest.param("*.example.com", "example.com.evil.org", id="a suffix is at the end"),
        pytest.param("*.example.com", "badexample.com", id="a suffix begins at a dot"),
        pytest.param("0.0.0.0/0", "127.0.0.1", id="a wide network does not open loopback"),
        pytest.param("0.0.0.0/0", "169.254.169.254", id="nor metadata"),
        pytest.param("::/0", "::1", id="nor loopback of IPv6"),
        pytest.param("::/0", "fd00:ec2::254", id="nor metadata of IPv6"),
    ],
)
def test_a_listing_opens_no_more_than_it_says(allow: str, host: str) -> None:
    assert isinstance(AddressPolicy((allow,)).check(host, namespace="crm"), Unknown)


def test_where_a_service_leads_is_checked_too() -> None:
    """An ExternalName Service is a CNAME of the user's choice."""
    policy = AddressPolicy(deny=("10.96.0.1",))
    assert policy.refuse_resolved("redis.crm.svc", "10.96.7.7") is None
    for address in ("127.0.0.1", "169.254.169.254", "::1", "64:ff9b::a9fe:a9fe", "10.96.0.1"):
        assert policy.refuse_resolved("redis.crm.svc", address) is not None, address
    assert AddressPolicy(("localhost",)).refuse_resolved("localhost", "127.0.0.1") is None
    assert AddressPolicy(("*.example.com",)).refuse_resolved("a.example.com", "127.0.0.1") is not None


@pytest.mark.parametrize(
    ("told", "used"),
    [
        pytest.param("10.1.2.3", "10.1.2.3", id="a pod"),
        pytest.param("fd00::7", "fd00::7", id="a pod, IPv6"),
        pytest.param("redis-0.redis.crm.svc.cluster.local", "redis-0.redis.crm.svc", id="a pod of an own Service"),
        pytest.param("redis", "redis.crm.svc", id="an own Service"),
        pytest.param("db.example.com", "db.example.com", id="a listed host"),
        pytest.param("127.0.0.9", None, id="the operator's host"),
        pytest.param("::ffff:127.0.0.1", None, id="the operator's host, hidden in IPv6"),
        pytest.param("2130706433", None, id="the operator's host as a number"),
        pytest.param("169.254.169.254", None, id="metadata of a cloud"),
        pytest.param("fe80::1%eth0", None, id="the link"),
        pytest.param("10.96.0.1", None, id="the API server"),
        pytest.param("redis.other.svc", None, id="another namespace"),
        pytest.param("www.example.org", None, id="a host that is not listed"),
        pytest.param("", None, id="nothing"),
        pytest.param("a b", None, id="no host"),
    ],
)
def test_what_an_allowed_host_tells_is_checked_as_if_it_led_there(told: str, used: str | None) -> None:
    policy = AddressPolicy(allow=("db.example.com", "sentinel.example.com"), deny=("10.96.0.1",))
    found = policy.told_host(told, namespace="crm")
    if used is None:
        assert isinstance(found, Unknown)
        assert found.reason == "HostNotAllowed"
    else:
        assert found == used


def test_an_address_that_is_listed_may_be_told() -> None:
    assert AddressPolicy(("127.0.0.1",)).told_host("127.0.0.1", namespace="crm") == "127.0.0.1"


def test_a_sentinels_url_is_taken_apart() -> None:
    found = broker_address(
        source("rediss+sentinel://us:pw@sentinel/my.master"), namespace="crm", policy=AddressPolicy()
    )
    master = Master("my.master", "crm")
    assert found == BrokerAddress("sentinel.crm.svc", 26379, 0, True, "us", "pw", master=master)


def source(url: str) -> QueueSource:
    return QueueSource(Secret(url), "dramatiq", ("sync",), timedelta(seconds=20), field="Secret redis")


def test_a_url_is_taken_apart() -> None:
    found = broker_address(source("rediss://us%40er:p%2Fw@redis/3"), namespace="crm", policy=AddressPolicy())
    assert found == BrokerAddress("redis.crm.svc", 6379, 3, True, "us@er", "p/w")
    assert "p/w" not in repr(found)


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("redis://:hun/ter2@redis:6379/0", id="a slash in the password"),
        pytest.param("redis://:hun#ter2@redis:6379/0", id="a hash in the password"),
        pytest.param("redis://:hun?ter2@redis:6379/0", id="a question mark in the password"),
        pytest.param("redis://hun:1/ter2@redis:6379/0", id="a part of the password that looks like a port"),
        pytest.param("redis+sentinel://:hun/ter2@redis/mymaster/0", id="a slash in the password for Sentinel"),
        pytest.param("redis+sentinel://redis/hun ter2/0", id="no name of a master"),
        pytest.param("redis://[hunter2", id="a broken address"),
        pytest.param("redis://redis:6379/hunter2", id="no database number"),
        pytest.param("redis://redis:99999/0?x=hunter2", id="a port out of range"),
        pytest.param("redis://redis:6379/0?ssl_ca_certs=hunter2", id="options can name the operator's files"),
        pytest.param("unix:///hunter2.sock", id="a socket"),
        pytest.param("hunter2", id="no URL"),
        pytest.param("", id="nothing"),
    ],
)
def test_a_bad_url_is_refused_without_repeating_it(url: str) -> None:
    found = broker_address(source(url), namespace="crm", policy=AddressPolicy())
    assert isinstance(found, Unknown)
    assert found.reason == "QueueUrlInvalid"
    assert found.why.startswith("Secret redis: ")
    assert not any(part in found.why for part in ("hun", "ter2"))


def test_a_secret_does_not_show() -> None:
    secret = Secret("hunter2")
    assert "hunter2" not in f"{secret} {secret!r} {[secret]} {source('hunter2')}"
    assert secret == Secret("hunter2")
    assert secret != Secret("hunter3")
