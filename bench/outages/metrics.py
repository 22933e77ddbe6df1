"""Plays one plan: a healthy release whose metrics misbehave for a while."""

import asyncio
import time

from bench.outages.judge import is_blind, was_rolled_back
from bench.outages.plans import Plan, When
from bench.outages.stage import BAKE, HOLD, OUTAGE, Stage
from bench.outages.story import Story
from bench.recorder import Json


async def play(stage: Stage, plan: Plan) -> Json:
    """From the first version to the end of the second one's rollout; times are seconds from the outage's beginning."""
    name = plan.name
    await stage.ship(name, 1)
    old = await stage.settled(name)
    if plan.when is not When.BEFORE:
        await stage.ship(name, 2)
        await stage.until(lambda: _has_come(stage.stories[name], plan.when) or None, f"{name} {plan.when}")
        await asyncio.sleep(plan.phase * {When.HOLD: HOLD / 2, When.BAKE: BAKE / 2}.get(plan.when, 0.0))
    await stage.begin(plan, old)
    began = time.time()
    if plan.when is When.BEFORE:
        await asyncio.sleep(plan.phase)
        await stage.ship(name, 2)
    await asyncio.sleep(OUTAGE)
    await stage.end(plan)
    ended = time.time()
    end = await stage.end_of(name, old)
    story = stage.stories[name]
    return {
        "plan": plan.number,
        "fault": plan.fault,
        "whose": plan.whose.value,
        "when": plan.when.value,
        "outage_s": round(ended - began, 2),
        "end": end,
        "end_after_s": round(time.time() - ended, 2),
        "rolled_back": was_rolled_back(story.decisions),
        "blind": [d.what for d in story.decisions if d.at >= began and is_blind(d, stage.reads(story, old, d.at))],
        "decisions": [[round(decided.at - began, 2), decided.what] for decided in story.decisions],
        "said": _said(story, began, ended),
    }


def _has_come(story: Story, when: When) -> bool:
    match when:
        case When.BEFORE:
            return True
        case When.HOLD:  # its clock runs
            return story.phase == "Canary" and "stepStartTime" in story.rollout
        case When.PROMOTION:
            return story.decided("Promoted") is not None
        case When.BAKE:
            return story.decided("Baking") is not None


def _said(story: Story, began: float, ended: float) -> str | None:
    """The last that the guard said of what it could not judge."""
    unknown = [said.message for said in story.verdicts if began <= said.at <= ended + 1 and said.state == "Unknown"]
    return unknown[-1] if unknown else None
