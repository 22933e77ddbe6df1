"""The kinds of broker: how each one's URL is read, and what reads its queues. The only place that tells them apart."""

from collections.abc import Callable
from datetime import datetime
from typing import assert_never

from crm_operator.api.v1alpha1 import BrokerKind
from crm_operator.domain.world import Unknown
from crm_operator.sources.address import AddressPolicy
from crm_operator.sources.queues.address import BrokerAddress, broker_address
from crm_operator.sources.queues.management_address import ManagementAddress, management_address
from crm_operator.sources.queues.rabbitmq import RabbitReader
from crm_operator.sources.queues.reader import Reader
from crm_operator.sources.queues.redis_reader import RedisReader
from crm_operator.sources.queues.source import QueueSource

#: What tells brokers apart; equal ones are read together.
Address = BrokerAddress | ManagementAddress


def address_of(source: QueueSource, *, namespace: str, policy: AddressPolicy) -> Address | Unknown:
    """The broker of an integration in Kubernetes namespace `namespace`, or why its URL is not followed."""
    match source.broker:
        case BrokerKind.REDIS:
            return broker_address(source, namespace=namespace, policy=policy)
        case BrokerKind.RABBITMQ:
            return management_address(source, namespace=namespace, policy=policy)
        case _:
            assert_never(source.broker)


def reader_for(
    address: Address, *, policy: AddressPolicy, clock: Callable[[], datetime], timeout_seconds: float
) -> Reader:
    """Opens nothing yet; `timeout_seconds` bounds each exchange."""
    match address:
        case BrokerAddress():
            return RedisReader(address, policy=policy, clock=clock, timeout_seconds=timeout_seconds)
        case ManagementAddress():
            return RabbitReader(address, policy=policy, timeout_seconds=timeout_seconds)
        case _:
            assert_never(address)
