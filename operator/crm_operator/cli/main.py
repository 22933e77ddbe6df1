"""The command line of `kubectl crm`. Answers go to stdout, trouble to stderr; exit code 0 done, 1 no, 2 misuse."""

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence

from crm_operator.api.v1alpha1 import Verb
from crm_operator.cli import access, verbs, view
from crm_operator.clock import utc_now
from crm_operator.controller.kube import Kube, KubeError, NotFound, Object
from crm_operator.controller.resources import CRMINTEGRATIONS

DONE, NO = 0, 1
_EXAMPLES = """examples:
  kubectl crm explain hubspot
  kubectl crm pause hubspot --reason INC-42
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """The entry point; returns the exit code."""
    flags = _parser().parse_args(arguments)
    try:
        where = access.find(flags.kubeconfig, flags.context, flags.namespace)
        return asyncio.run(_run(flags, where))
    except KubeError as error:
        print(f"error: {error}", file=sys.stderr)
        return NO


async def _run(flags: argparse.Namespace, where: access.Access) -> int:
    async with await where.connect() as kube:
        match flags.command:
            case "status" if flags.name is None:
                items, _ = await kube.list(CRMINTEGRATIONS, where.namespace)
                _print([_plain(item) for item in items] if flags.output == "json" else view.table(items))
                return DONE
            case "status" | "explain":
                item = await _integration(kube, where.namespace, flags.name)
                show = view.status if flags.command == "status" else view.explain
                _print(_plain(item) if flags.output == "json" else show(item, utc_now()))
                return DONE
            case _:
                return _told(await _ask(kube, where.namespace, flags))


async def _ask(kube: Kube, namespace: str, flags: argparse.Namespace) -> verbs.Outcome:
    match flags.command:
        case "pause":
            return await verbs.pause(
                kube,
                namespace,
                flags.target,
                reason=flags.reason,
                integration=flags.integration,
                expires_after=flags.expires_after,
            )
        case "resume":
            return await verbs.resume(kube, namespace, flags.target)
        case "promote":
            how = "full" if flags.full else "step"
            return await verbs.ask(kube, namespace, flags.name, Verb.PROMOTE, now=utc_now(), how=how)
        case verb:
            return await verbs.ask(kube, namespace, flags.name, Verb(verb), now=utc_now())


async def _integration(kube: Kube, namespace: str, name: str) -> Object:
    item = await kube.get(CRMINTEGRATIONS, namespace, name)
    if item is None:
        raise NotFound(f"CrmIntegration {name} does not exist in namespace {namespace}; see: kubectl crm status")
    return item


def _told(outcome: verbs.Outcome) -> int:
    print(outcome.message, file=sys.stdout if outcome.done else sys.stderr)
    return DONE if outcome.done else NO


def _plain(item: Object) -> Object:
    metadata = item["metadata"]
    return {
        "namespace": metadata["namespace"],
        "name": metadata["name"],
        "generation": metadata["generation"],
        "status": item.get("status") or {},
    }


def _print(answer: object) -> None:
    is_text = isinstance(answer, list) and all(isinstance(line, str) for line in answer)
    print("\n".join(answer) if is_text and isinstance(answer, list) else json.dumps(answer, indent=2))


def _parser() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("-n", "--namespace", help="default: the context's, else default")
    shared.add_argument("--kubeconfig", help="default: KUBECONFIG, else ~/.kube/config")
    shared.add_argument("--context", help="default: the kubeconfig's present one")
    parser = argparse.ArgumentParser(
        prog="kubectl crm",
        description="Look at CRM integrations, and ask the operator for things.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, help_: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=help_, description=help_, parents=[shared])

    status = command("status", "What an integration is doing; without NAME a table of all.")
    status.add_argument("name", nargs="?", metavar="NAME")
    explain = command("explain", "What it is doing and why: guards, decisions, what comes next.")
    explain.add_argument("name", metavar="NAME")
    for reader in (status, explain):
        reader.add_argument("-o", "--output", choices=["text", "json"], default="text")
    promote = command("promote", "End the canary's present step now.")
    promote.add_argument("--full", action="store_true", help="give all workers the new version")
    abort = command("abort", "Roll the version that is on trial back now.")
    retry = command("retry", "Try the version that was rolled back again.")
    for verb in (promote, abort, retry):
        verb.add_argument("name", metavar="NAME")
    pause = command("pause", "Stop all workers of a provider in this namespace.")
    pause.add_argument("target", metavar="PROVIDER")
    pause.add_argument("--reason", required=True, help="why, in one line; everybody sees it")
    pause.add_argument("--integration", action="store_true", help="PROVIDER is the name of one CrmIntegration")
    pause.add_argument("--expires-after", metavar="TIME", help="e.g. 4h; default: never")
    resume = command("resume", "Lift the pauses of a provider or integration.")
    resume.add_argument("target", metavar="PROVIDER")
    return parser


if __name__ == "__main__":
    sys.exit(main())
