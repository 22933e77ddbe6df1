"""Plays one outage of the provider that meets many healthy releases, each somewhere else in its rollout."""

import asyncio
import time
from collections.abc import Sequence

from bench.outages.judge import was_rolled_back
from bench.outages.plans import Release
from bench.outages.stage import OUTAGE, Stage, together
from bench.recorder import Json

PROVIDER = "hubspot"
#: Another integration of the provider, without a release of its own.
NEIGHBOUR = "steady"
#: The runbook's warning on sync errors.
WARNING = 0
#: A SyncPause that is asked for is there by then, in seconds.
PAUSED_WITHIN = 2.0


async def play(stage: Stage, releases: Sequence[Release]) -> list[Json]:
    """What became of each; times are seconds from the outage's beginning."""

    async def ship(release: Release, version: int) -> None:
        await stage.ship(release.name, version, provider=PROVIDER, pause=release.pause, warning=WARNING)

    async def ship_new(release: Release) -> None:
        await asyncio.sleep(longest - release.lead)
        await ship(release, 2)

    await stage.ship(NEIGHBOUR, 1, provider=PROVIDER, warning=WARNING)
    await together(ship(release, 1) for release in releases)
    await stage.settled(NEIGHBOUR)
    olds = {release.name: await stage.settled(release.name) for release in releases}
    longest = max(release.lead for release in releases)
    await together(ship_new(release) for release in releases)
    phases = {release.name: stage.stories[release.name].phase for release in releases}
    stage.workers.provider_fails()
    began = time.time()
    await asyncio.sleep(OUTAGE)
    stage.workers.provider_works()
    ended = time.time()
    await asyncio.sleep(PAUSED_WITHIN)
    paused = await stage.lift_all()

    async def outcome(release: Release) -> Json:
        name = release.name
        end = await stage.end_of(name, olds[name])
        after = time.time() - ended
        story = stage.stories[name]
        return {
            "release": release.number,
            "phase": phases[name],
            "pause": release.pause,
            "lead_s": round(release.lead, 2),
            "outage_s": round(ended - began, 2),
            "end": end,
            "end_after_s": round(after, 2),
            "rolled_back": was_rolled_back(story.decisions),
            "blamed": sorted({said.blame for said in story.verdicts if said.at >= began and said.blame is not None}),
            "paused": name in paused,
            "decisions": [[round(decided.at - began, 2), decided.what] for decided in story.decisions],
        }

    return list(await asyncio.gather(*(outcome(release) for release in releases)))
