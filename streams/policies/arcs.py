"""Arcs: a storyline that took effect becomes an arc of chapters, opened and closed by the world's clock (spec A.16).

What memory and quest decided for the storyline goes into the arc's plan; without them it starts after a minute.

Who takes part is counted from what players do while a chapter is open; where a chapter offers a choice, a player
chooses by setting a flag of the arc: FlagSet(quest=arc, flag=option).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from inference import arc as structure
from inference.reading import json_object, number, text
from schemas import (
    Announced,
    ArcStarted,
    ChapterClosed,
    ChapterOpened,
    ClockTicked,
    DecisionEffective,
    DepthReached,
    Event,
    FlagSet,
    GoldGained,
    PlaceEntered,
    PlayerLevelled,
    derived_id,
)
from schemas.stamps import time_ms
from schemas.topics import DAY_MS
from streams import sketch
from streams.policy import WORLD, Policy, Reaction, Said, State
from streams.seen import seen

STORYLINE, MEMORY, QUEST = "storyline", "memory", "quest"
#: What a hero does to take part in a chapter, by the kind of its objective.
TAKES_PART = {
    "visit": "place_entered",
    "gather": "gold_gained",
    "grow": "player_levelled",
    "descend": "depth_reached",
}
# One arc is due at a time, and one that was approved late may overlap the next; players follow no more.
ARCS_OPEN_MAX = 2

# Their deadline is ten seconds, by the stamps; with a person's approval in between there is no end to waiting.
WAIT_MS = 60_000

_TALE, _ARC, _PLAN = "tale:", "arc:", "plan:"


def _react(state: State, event: Event) -> Reaction:
    fact = event.WhichOneof("fact")
    if fact == "clock_ticked":
        now_ms = event.clock_ticked.time_ms
        if now_ms <= state.get("now_ms", 0):
            return state, ()
        state, started = _waited({**state, "now_ms": now_ms}, event)
        state, moved = _moved(state, now_ms)
        return state, [*started, *moved]
    if fact == "decision_effective":
        return _decided(state, event)
    return _took_part(_active(state, event), event), ()


def _active(state: State, event: Event) -> State:
    """Players of this day and of the day before, by whom thresholds are set."""
    day = state.get("now_ms", 0) // DAY_MS
    before = state.get("players", {"day": day, "today": [], "yesterday": []})
    if day != before["day"]:
        before = {"day": day, "today": [], "yesterday": before["today"]}
    today = sketch.noted(before["today"], event.subject)
    return state if today is before["today"] else {**state, "players": {**before, "today": today}}


def _decided(state: State, event: Event) -> Reaction:
    decision = event.decision_effective
    if decision.agent == STORYLINE:
        return _told(state, event)
    for arc in _named(state, _TALE):
        tale = state[f"{_TALE}{arc}"]
        about = json_object(decision.about)
        if decision.agent not in (MEMORY, QUEST) or not tale["title"] or text(about, "title") != tale["title"]:
            continue
        content = {**json_object(decision.content), "action": decision.action}
        if decision.agent == MEMORY:
            tale = {**tale, "memory": tale["memory"] or content["action"]}
        else:
            chapter = str(number(about, "chapter"))
            told = {"count": number(about, "count"), "depth": number(about, "depth")}
            tale = {**tale, "quests": {chapter: {**content, **told}, **tale["quests"]}}
        state = {**state, f"{_TALE}{arc}": tale}
        if tale["memory"] and len(tale["quests"]) >= structure.CHAPTERS:
            return _started(state, arc, event)
    return state, ()


def _told(state: State, event: Event) -> Reaction:
    """A storyline waits for what memory and quest make of it; ARCS_OPEN_MAX of them and no more."""
    decision = event.decision_effective
    known = seen(state.get("seen", ()), decision.decision_id)
    if known is None or len(_named(state, _ARC)) + len(_named(state, _TALE)) >= ARCS_OPEN_MAX:
        return state, ()
    content = {"action": decision.action, **json_object(decision.content)}
    tale = {
        "decision_id": decision.decision_id,
        "content": content,
        "title": text(content, "title"),
        "told_ms": time_ms(event.stamp),
        "memory": "",
        "quests": {},
    }
    arc = derived_id("arc", decision.decision_id)
    return {**state, "seen": known, f"{_TALE}{arc}": tale}, ()


def _waited(state: State, event: Event) -> Reaction:
    """Start the arcs whose memory and quests have not come in time; they are told without."""
    said: list[Said] = []
    for arc in _named(state, _TALE):
        if time_ms(event.stamp) - state[f"{_TALE}{arc}"]["told_ms"] >= WAIT_MS:
            state, started = _started(state, arc, event)
            said += started
    return state, said


def _started(state: State, arc: str, event: Event) -> Reaction:
    tale = state[f"{_TALE}{arc}"]
    now_ms = state.get("now_ms") or time_ms(event.stamp)
    players = state.get("players", {"today": [], "yesterday": []})
    active = sketch.different(sketch.joined(players["today"], players["yesterday"]))
    plan = {**structure.plan(tale["content"], active, now_ms), "memory": tale["memory"], "quests": tale["quests"]}
    started = ArcStarted(
        arc=arc,
        title=plan["title"],
        plan=orjson.dumps(plan).decode(),
        start_ms=now_ms,
        participation_threshold=plan["participation_threshold"],
    )
    told = Announced(text=f"{plan['title']}. {plan['hook']}", reason="arc", decision_id=tale["decision_id"])
    waiting = {"chapter": 0, "next": 1, "branch": "", "participants": [], "votes": {}}
    state = {name: value for name, value in state.items() if name != f"{_TALE}{arc}"}
    state, opened = _moved({**state, f"{_PLAN}{arc}": plan, f"{_ARC}{arc}": waiting}, now_ms)
    return state, [(arc, started), (WORLD, told), *opened]


def _moved(state: State, now_ms: int) -> Reaction:
    """Close and open the chapters whose time has come."""
    said: list[Said] = []
    for arc in _named(state, _ARC):
        plan = state[f"{_PLAN}{arc}"]
        at: Mapping[str, Any] | None = state[f"{_ARC}{arc}"]
        while at is not None and (step := _step(arc, plan, at, now_ms)) is not None:
            at, told = step
            said += told
        if at is None:
            state = {name: value for name, value in state.items() if name not in (f"{_PLAN}{arc}", f"{_ARC}{arc}")}
        elif at is not state[f"{_ARC}{arc}"]:
            state = {**state, f"{_ARC}{arc}": at}
    return state, said


def _step(
    arc: str, plan: structure.Plan, at: Mapping[str, Any], now_ms: int
) -> tuple[Mapping[str, Any] | None, list[Said]] | None:
    """One step of an arc: its state, None at its end, and what is told; None when nothing is due."""
    if at["chapter"]:
        chapter = _chapter(plan, at["chapter"])
        return _closed(arc, plan, chapter, at) if chapter["closes_ms"] <= now_ms else None
    chapter = _chapter(plan, at["next"])
    if chapter["opens_ms"] > now_ms:
        return None
    text = structure.opening(chapter, at["branch"])
    opened = ChapterOpened(
        arc=arc, chapter=chapter["chapter"], title=chapter["title"], text=text, due_ms=chapter["opens_ms"]
    )
    told = f"{plan['title']}, chapter {chapter['chapter']}: {chapter['title']}. {text}"
    if chapter["choice"]:
        told = f"{told} {chapter['choice']['question']}"
    following = {**at, "chapter": chapter["chapter"], "participants": [], "votes": {}}
    return following, [(arc, opened), (WORLD, Announced(text=told, reason="chapter"))]


def _closed(
    arc: str, plan: structure.Plan, chapter: structure.Chapter, at: Mapping[str, Any]
) -> tuple[Mapping[str, Any] | None, list[Said]]:
    participants = sketch.different(at["participants"])
    votes = {option: sketch.different(voters) for option, voters in at["votes"].items()}
    branch = structure.branch_of(chapter, participants, votes)
    closed = ChapterClosed(
        arc=arc,
        chapter=chapter["chapter"],
        participants=participants,
        participation_threshold=chapter["participation_threshold"],
        branch=branch,
    )
    following = structure.next_chapter(plan, chapter["chapter"], branch)
    if following is None:
        told = f"{plan['title']}: {structure.ending(plan, branch)}"
        return None, [(arc, closed), (WORLD, Announced(text=told, reason="arc"))]
    return {**at, "chapter": 0, "next": following["chapter"], "branch": branch}, [(arc, closed)]


def _took_part(state: State, event: Event) -> State:
    fact = event.WhichOneof("fact")
    for arc in _named(state, _ARC):
        at = state[f"{_ARC}{arc}"]
        if not at["chapter"]:
            continue
        chapter = _chapter(state[f"{_PLAN}{arc}"], at["chapter"])
        after = at
        if fact == "flag_set" and event.flag_set.quest == arc:
            after = _voted(chapter, at, event.flag_set.flag, event.subject)
        elif fact == TAKES_PART[chapter["objective"]["kind"]]:
            after = _noted(at, event.subject)
        if after is not at:
            state = {**state, f"{_ARC}{arc}": after}
    return state


def _voted(chapter: structure.Chapter, at: Mapping[str, Any], option: str, player: str) -> Mapping[str, Any]:
    if not chapter["choice"] or option not in chapter["choice"]["options"]:
        return at
    at = _noted(at, player)
    before = at["votes"].get(option, [])
    voters = sketch.noted(before, player)
    return at if voters is before else {**at, "votes": {**at["votes"], option: voters}}


def _noted(at: Mapping[str, Any], player: str) -> Mapping[str, Any]:
    participants = sketch.noted(at["participants"], player)
    return at if participants is at["participants"] else {**at, "participants": participants}


def _named(state: State, kind: str) -> list[str]:
    return sorted(name.removeprefix(kind) for name in state if name.startswith(kind))


def _chapter(plan: structure.Plan, number: int) -> structure.Chapter:
    chapter: structure.Chapter = plan["chapters"][number - 1]
    return chapter


arcs = Policy(
    name="arcs",
    reads=(ClockTicked, DecisionEffective, PlaceEntered, GoldGained, PlayerLevelled, DepthReached, FlagSet),
    react=_react,
)
