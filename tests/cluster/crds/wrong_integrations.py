"""CrmIntegrations that are refused, guards apart."""

from typing import Any

from tests.cluster.crds.specs import MANY_LETTERS, PODS, steps, wrong
from tests.cluster.objects import Json, an_integration, worker_template


def with_strategy(**strategy: Any) -> Json:
    return an_integration(workers={"template": worker_template(), "strategy": strategy})


WRONG_INTEGRATIONS = [
    # names
    wrong(
        "name too long", an_integration("h" * 41), "metadata.name", f"{'h' * 41} has a dot or more than 40 characters"
    ),
    wrong("name with a dot", an_integration("crm.hubspot"), "metadata.name", "use at most 40 of a-z, 0-9 and -"),
    wrong("no provider", an_integration(provider=None), "spec.provider", "Required value"),
    wrong("provider", an_integration(provider="HubSpot"), "spec.provider", '"HubSpot": must be a DNS label'),
    wrong("provider too long", an_integration(provider="h" * 64), "spec.provider", "Too long: may not be more than 63"),
    wrong("provider empty", an_integration(provider=""), "spec.provider", "must be a DNS label"),
    # workers
    wrong("no workers", an_integration(workers=None), "spec.workers", "Required value"),
    wrong("no template", an_integration(workers={}), "spec.workers.template", "Required value"),
    wrong(
        "no pod spec",
        an_integration(workers={"template": {}}),
        "spec.workers.template",
        "spec.containers is missing or empty; give the worker container",
    ),
    wrong(
        "no containers",
        an_integration(workers={"template": {"spec": {"containers": []}}}),
        "spec.workers.template",
        "spec.containers is missing or empty; give the worker container",
    ),
    wrong(
        "which container",
        an_integration(workers={"template": {"spec": {"containers": [{"name": "a"}, {"name": "b"}]}}}),
        "spec.workers.template.spec.containers",
        "several containers, and none is named worker; give the one that takes jobs that name",
    ),
    wrong(
        "template is a list",
        an_integration(workers={"template": []}),
        "spec.workers.template",
        "must be of type object",
    ),
    wrong(
        "no concurrency",
        an_integration(workers={"template": an_integration()["spec"]["workers"]["template"], "concurrency": 0}),
        "spec.workers.concurrency",
        "greater than or equal to 1",
    ),
    *(
        wrong(
            f"maxSurge {value!r}",
            with_strategy(maxSurge=value),
            "spec.workers.strategy.maxSurge",
            "must be a whole number of workers from 0, or a percentage of them from 0% to 100%, like 25%",
        )
        for value in ("101%", "1000%", "-1%", "5", "25 %", "1.5%", "007%", "all", "")
    ),
    wrong(
        "maxUnavailable above 100 %",
        with_strategy(maxUnavailable="150%"),
        "spec.workers.strategy.maxUnavailable",
        '"150%": must be a whole number of workers from 0, or a percentage of them from 0% to 100%, like 25%',
    ),
    wrong(
        "a text too long",
        with_strategy(maxSurge="a" * 17),
        "spec.workers.strategy.maxSurge",
        "Too long: may not be more than 16",
    ),
    *(
        wrong(
            f"{field} {value}",
            with_strategy(**{"maxUnavailable": 1, field: value}),
            f"spec.workers.strategy.{field}",
            says,
        )
        for field in ("maxSurge", "maxUnavailable")
        for value, says in (
            (-1, "should be greater than or equal to 0"),
            (1001, "should be less than or equal to 1000"),
            (0.5, "must be of type integer,string"),
            (True, "must be of type integer,string"),
        )
    ),
    *(
        wrong(
            f"nobody could be replaced: {strategy}",
            with_strategy(**strategy),
            "spec.workers.strategy.maxUnavailable",
            "maxUnavailable is 0 (its default) and so is maxSurge, so no worker could be replaced; "
            "set maxUnavailable to 1 or more, or raise maxSurge",
        )
        for strategy in (
            {"maxSurge": 0},
            {"maxSurge": "0%"},
            {"maxSurge": 0, "maxUnavailable": 0},
            {"maxSurge": 0, "maxUnavailable": "0%"},
            {"maxSurge": "0%", "maxUnavailable": "0%"},
        )
    ),
    # queue
    wrong("no queue", an_integration(queue=None), "spec.queue", "Required value"),
    wrong(
        "no url",
        an_integration(queue={"names": ["q"]}),
        "spec.queue",
        "url and urlFrom are both missing; give exactly one of them (urlFrom when the URL holds a password)",
    ),
    wrong(
        "both urls",
        an_integration(
            queue={"names": ["q"], "url": "redis://r", "urlFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}
        ),
        "spec.queue",
        "both url and urlFrom are given; give exactly one of them",
    ),
    *(
        wrong(
            f"url {url}",
            an_integration(queue={"names": ["q"], "url": url}),
            "spec.queue.url",
            "a URL with a user or password belongs in a Secret, see urlFrom",
        )
        for url in (
            "redis://:secret@redis:6379/0",
            "redis://redis?password=secret",
            "amqp://rabbit",
            "redis:6379",
            "",
            "redis+sentinel://:secret@sentinel/mymaster",
            "redis+sentinel://sentinel:26379",
            "redis+sentinel://sentinel:26379/my master/0",
        )
    ),
    wrong(
        "a CA without TLS",
        an_integration(
            queue={
                "names": ["q"],
                "url": "redis://r",
                "tls": {"caFrom": {"secretKeyRef": {"name": "redis-ca", "key": "ca.crt"}}},
            }
        ),
        "spec.queue.tls",
        "tls is given, but url does not ask for TLS; write rediss://, rediss+sentinel:// or https://, or remove tls",
    ),
    wrong(
        "tls without a CA",
        an_integration(queue={"names": ["q"], "url": "rediss://r", "tls": {}}),
        "spec.queue.tls.caFrom",
        "Required value",
    ),
    *(
        wrong(
            f"url {url}",
            an_integration(queue={"names": ["q"], "url": url, "broker": "rabbitmq"}),
            "spec.queue.url",
            "a URL with a user or password belongs in a Secret, see urlFrom",
        )
        for url in (
            "http://u:secret@rabbit:15672/crm",
            "http://rabbit/crm",
            "https://rabbit:15671/a/b",
            "amqp://r:5672",
        )
    ),
    wrong(
        "broker",
        an_integration(queue={"names": ["q"], "url": "redis://r", "broker": "kafka"}),
        "spec.queue.broker",
        'Unsupported value: "kafka": supported values: "redis", "rabbitmq"',
    ),
    wrong(
        "the URL of the other broker",
        an_integration(queue={"names": ["q"], "url": "http://rabbit:15672/crm"}),
        "spec.queue.url",
        "an http:// URL does not fit broker redis; write redis://HOST:PORT/DATABASE, or add broker: rabbitmq",
    ),
    wrong(
        "the broker of the other URL",
        an_integration(queue={"names": ["q"], "url": "redis://r", "broker": "rabbitmq"}),
        "spec.queue.url",
        "a redis:// URL does not fit broker rabbitmq; write that of the management API, http://HOST:15672/VHOST, "
        "or remove broker",
    ),
    wrong(
        "a key prefix on RabbitMQ",
        an_integration(
            queue={"names": ["q"], "url": "http://rabbit:15672/crm", "broker": "rabbitmq", "namespace": "jobs"}
        ),
        "spec.queue.namespace",
        "namespace jobs is a key prefix of Redis, and RabbitMQ has none; remove namespace",
    ),
    wrong("url too long", an_integration(queue={"names": ["q"], "url": MANY_LETTERS}), "spec.queue.url", "Too long"),
    wrong(
        "no secret name",
        an_integration(queue={"names": ["q"], "urlFrom": {"secretKeyRef": {"key": "k"}}}),
        "spec.queue.urlFrom.secretKeyRef.name",
        "Required value",
    ),
    wrong(
        "secret of another namespace",
        an_integration(queue={"names": ["q"], "urlFrom": {"secretKeyRef": {"name": "other/s", "key": "k"}}}),
        "spec.queue.urlFrom.secretKeyRef.name",
        '"other/s": must be the name of a Secret',
    ),
    wrong(
        "secret key",
        an_integration(queue={"names": ["q"], "urlFrom": {"secretKeyRef": {"name": "s", "key": "a b"}}}),
        "spec.queue.urlFrom.secretKeyRef.key",
        '"a b": must be a key of a Secret',
    ),
    wrong("no queue names", an_integration(queue={"url": "redis://r"}), "spec.queue.names", "Required value"),
    wrong(
        "empty queue names",
        an_integration(queue={"url": "redis://r", "names": []}),
        "spec.queue.names",
        "should have at least 1 items",
    ),
    wrong(
        "too many queues",
        an_integration(queue={"url": "redis://r", "names": [f"q{i}" for i in range(17)]}),
        "spec.queue.names",
        "Too many: 17: must have at most 16 items",
    ),
    wrong(
        "a queue twice",
        an_integration(queue={"url": "redis://r", "names": ["q", "q"]}),
        "spec.queue.names[1]",
        'Duplicate value: "q"',
    ),
    wrong(
        "queue name",
        an_integration(queue={"url": "redis://r", "names": ["ok", "crm hubspot"]}),
        "spec.queue.names[1]",
        '"crm hubspot": must be a Dramatiq name',
    ),
    wrong(
        "queue namespace",
        an_integration(queue={"url": "redis://r", "names": ["q"], "namespace": "a:b"}),
        "spec.queue.namespace",
        '"a:b": must be a Dramatiq name',
    ),
    # scaling
    wrong("no scaling", an_integration(scaling=None), "spec.scaling", "Required value"),
    wrong("no maximum", an_integration(scaling={}), "spec.scaling.maxReplicas", "Required value"),
    wrong("maximum 0", an_integration(scaling={"maxReplicas": 0}), "spec.scaling.maxReplicas", "equal to 1"),
    wrong("maximum 1001", an_integration(scaling={"maxReplicas": 1001}), "spec.scaling.maxReplicas", "equal to 1000"),
    wrong(
        "maximum is text",
        an_integration(scaling={"maxReplicas": "3"}),
        "spec.scaling.maxReplicas",
        "must be of type integer",
    ),
    wrong(
        "minimum above maximum",
        an_integration(scaling={"minReplicas": 2, "maxReplicas": 1}),
        "spec.scaling.maxReplicas",
        "maxReplicas is below minReplicas; raise it to minReplicas or more",
    ),
    wrong(
        "minimum below 0",
        an_integration(scaling={"minReplicas": -1, "maxReplicas": 1}),
        "spec.scaling.minReplicas",
        "greater than or equal to 0",
    ),
    wrong(
        "two targets",
        an_integration(scaling={"maxReplicas": 3, "drainTarget": "60s", "backlogPerReplica": 50}),
        "spec.scaling",
        "drainTarget and backlogPerReplica are two ways to say one thing; remove one of them",
    ),
    wrong(
        "backlog 0",
        an_integration(scaling={"maxReplicas": 3, "backlogPerReplica": 0}),
        "spec.scaling.backlogPerReplica",
        "greater than or equal to 1",
    ),
    wrong(
        "no limit",
        an_integration(scaling={"maxReplicas": 3, "rateLimit": {"requestsPerJob": 2}}),
        "spec.scaling.rateLimit",
        "rateLimit names no limit; give a preset, or requests and per, concurrency or daily",
    ),
    wrong(
        "requests without a time",
        an_integration(scaling={"maxReplicas": 3, "rateLimit": {"requests": 100}}),
        "spec.scaling.rateLimit",
        "requests needs its time; add per, e.g. per: 10s",
    ),
    wrong(
        "a time without requests",
        an_integration(scaling={"maxReplicas": 3, "rateLimit": {"per": "10s", "daily": 1}}),
        "spec.scaling.rateLimit",
        "per needs a number; add requests, e.g. requests: 100",
    ),
    wrong(
        "an unknown preset",
        an_integration(scaling={"maxReplicas": 3, "rateLimit": {"preset": "salesforce"}}),
        "spec.scaling.rateLimit.preset",
        "supported values",
    ),
    wrong(
        "0 requests a job",
        an_integration(scaling={"maxReplicas": 3, "rateLimit": {"daily": 1, "requestsPerJob": 0}}),
        "spec.scaling.rateLimit.requestsPerJob",
        "greater than 0",
    ),
    wrong(
        "an account's name",
        an_integration(scaling={"maxReplicas": 3, "rateLimit": {"daily": 1, "account": "Acme Inc"}}),
        "spec.scaling.rateLimit.account",
        "must be a DNS label",
    ),
    # rollout
    wrong("weights fall", an_integration(rollout=steps(50, 20)), "spec.rollout.steps", "do not rise from step to step"),
    wrong("weights stay", an_integration(rollout=steps(10, 50, 50)), "spec.rollout.steps", "remove equal weights"),
    wrong("weight 0", an_integration(rollout=steps(0)), "spec.rollout.steps[0].weight", "equal to 1"),
    wrong("weight 101", an_integration(rollout=steps(101)), "spec.rollout.steps[0].weight", "equal to 100"),
    wrong("21 steps", an_integration(rollout=steps(*range(1, 22))), "spec.rollout.steps", "must have at most 20 items"),
    wrong(
        "no hold",
        an_integration(rollout={"steps": [{"weight": 10}]}),
        "spec.rollout.steps[0].hold",
        "Required value",
    ),
    wrong(
        "jobs cannot be counted",
        an_integration(rollout={"minJobs": 20}),
        "spec.rollout.minJobs",
        "minJobs counts jobs in the workers' metrics, but metrics.pods is not set; add it",
    ),
    wrong(
        "minJobs below 0", an_integration(rollout={"minJobs": -1}, metrics=PODS), "spec.rollout.minJobs", "equal to 0"
    ),
    # metrics
    wrong("port", an_integration(metrics={"pods": {"port": 70000}}), "spec.metrics.pods.port", "equal to 65535"),
    wrong("named port", an_integration(metrics={"pods": {"port": "http"}}), "spec.metrics.pods.port", "type integer"),
    wrong(
        "path",
        an_integration(metrics={"pods": {"path": "http://elsewhere/metrics"}}),
        "spec.metrics.pods.path",
        "must be a path: / and then letters, digits",
    ),
]
