"""Arcs: a storyline that took effect becomes an arc of chapters, opened and closed by the world's clock (spec A.16).

What quest decided for the storyline becomes its chapters' objectives, and memory says whether it carries on the arc
before; without them it starts after a minute, by itself and with objectives of its own. It starts when the storyline
takes effect, however late that was approved. By a storyline of no arc none starts: the next is due in 14 days.

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
CARRY_ON = "carry_on"
#: What a hero does to take part in a chapter, by the kind of its objective.
TAKES_PART: Mapping[str, tuple[str, ...]] = {
    "explore": ("place_entered",),
    "escort": ("place_entered",),
    "guard": ("place_entered",),
    "fetch": ("gold_gained",),
    "hunt": ("player_levelled",),
    "descend": ("depth_reached",),
    "rally": ("place_entered", "gold_gained", "player_levelled", "depth_reached"),
}
# One arc is due at a time, and one that was approved late may overlap the next; players follow no more.
ARCS_OPEN_MAX = 2

# Their deadline is ten seconds, by the stamps; with a person's approval in between there is no end to waiting.
WAIT_MS = 60_000

_TALE, _ARC, _PLAN = "tale:", "arc:", "plan:"
# The arc that ended last, while no other has carried it on or laid it to rest.
_BEFORE = "before"
# Who has come and what was done when a chapter opens.
_NOBODY: Mapping[str, Any] = {"participants": [], "deeds": 0, "votes": {}}


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
        return (state, ()) if decision.action == structure.NO_ARC else _told(state, event)
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
    content = {**json_object(decision.content), "action": decision.action}
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
    before = state.get(_BEFORE) if tale["memory"] == CARRY_ON else None
    plan = {**structure.plan(tale["content"], active, now_ms, tale["quests"], before), "memory": tale["memory"]}
    started = ArcStarted(
        arc=arc,
        title=plan["title"],
        plan=orjson.dumps(plan).decode(),
        start_ms=now_ms,
        participation_threshold=plan["participation_threshold"],
    )
    told = Announced(text=f"{plan['title']}. {plan['hook']}", reason="arc", decision_id=tale["decision_id"])
    # Carried on or laid to rest, an arc is not taken up a second time.
    state = _without(state, f"{_TALE}{arc}", *([_BEFORE] if tale["memory"] else []))
    waiting = {"path": [], "open": False, **_NOBODY}
    state, opened = _moved({**state, f"{_PLAN}{arc}": plan, f"{_ARC}{arc}": waiting}, now_ms)
    return state, [(arc, started), (WORLD, told), *opened]


def _moved(state: State, now_ms: int) -> Reaction:
    """Close and open the chapters whose time has come."""
    said: list[Said] = []
    for arc in _named(state, _ARC):
        plan, at = state[f"{_PLAN}{arc}"], state[f"{_ARC}{arc}"]
        while (chapter := structure.chapter(plan, at["path"])) is not None:
            if chapter["closes_ms" if at["open"] else "opens_ms"] > now_ms:
                break
            at, told = (_closed if at["open"] else _opened)(arc, plan, chapter, at)
            said += told
        if chapter is None:
            ending = structure.ending(plan, at["path"])
            said.append((WORLD, Announced(text=f"{plan['title']}: {ending}", reason="arc")))
            before = {"title": plan["title"], "ending": ending, "tone": structure.tone(plan, at["path"])}
            state = {**_without(state, f"{_PLAN}{arc}", f"{_ARC}{arc}"), _BEFORE: before}
        elif at is not state[f"{_ARC}{arc}"]:
            state = {**state, f"{_ARC}{arc}": at}
    return state, said


def _opened(
    arc: str, plan: structure.Plan, chapter: structure.Chapter, at: Mapping[str, Any]
) -> tuple[Mapping[str, Any], list[Said]]:
    text = structure.opening(plan, at["path"])
    opened = ChapterOpened(
        arc=arc, chapter=chapter["chapter"], title=chapter["title"], text=text, due_ms=chapter["opens_ms"]
    )
    told = f"{plan['title']}, chapter {chapter['chapter']}: {chapter['title']}. {text}"
    if chapter["choice"]:
        told = f"{told} {chapter['choice']['question']}"
    return {**at, "open": True, **_NOBODY}, [(arc, opened), (WORLD, Announced(text=told, reason="chapter"))]


def _closed(
    arc: str, plan: structure.Plan, chapter: structure.Chapter, at: Mapping[str, Any]
) -> tuple[Mapping[str, Any], list[Said]]:
    participants = sketch.different(at["participants"])
    votes = {option: sketch.different(voters) for option, voters in at["votes"].items()}
    branch = structure.branch_of(plan, at["path"], participants, at["deeds"], votes)
    closed = ChapterClosed(
        arc=arc,
        chapter=chapter["chapter"],
        participants=participants,
        participation_threshold=chapter["participation_threshold"],
        branch=branch,
    )
    return {**at, "open": False, "path": [*at["path"], branch]}, [(arc, closed)]


def _took_part(state: State, event: Event) -> State:
    for arc in _named(state, _ARC):
        plan, at = state[f"{_PLAN}{arc}"], state[f"{_ARC}{arc}"]
        if not at["open"]:
            continue
        if event.HasField("flag_set"):
            after = _voted(arc, plan, at, event)
        else:
            after = _did(structure.objective(plan, at["path"]), at, event)
        if after is not at:
            state = {**state, f"{_ARC}{arc}": after}
    return state


def _voted(arc: str, plan: structure.Plan, at: Mapping[str, Any], event: Event) -> Mapping[str, Any]:
    chapter, option = structure.chapter(plan, at["path"]), event.flag_set.flag
    choice = chapter["choice"] if chapter else None
    if event.flag_set.quest != arc or not choice or option not in choice["options"]:
        return at
    at = _noted(at, event.subject)
    before = at["votes"].get(option, [])
    voters = sketch.noted(before, event.subject)
    return at if voters is before else {**at, "votes": {**at["votes"], option: voters}}


def _did(objective: structure.Objective, at: Mapping[str, Any], event: Event) -> Mapping[str, Any]:
    fact = event.WhichOneof("fact") or ""
    # Only what tells of a place tells how deep it lies.
    depth = getattr(getattr(event, fact), "depth", objective["depth"])
    if fact not in TAKES_PART[objective["kind"]] or depth < objective["depth"]:
        return at
    at = _noted(at, event.subject)
    # What is done beyond what is asked for need not be counted, nor stored.
    return at if at["deeds"] >= objective["count"] else {**at, "deeds": at["deeds"] + 1}


def _noted(at: Mapping[str, Any], player: str) -> Mapping[str, Any]:
    participants = sketch.noted(at["participants"], player)
    return at if participants is at["participants"] else {**at, "participants": participants}


def _without(state: State, *names: str) -> State:
    return {name: value for name, value in state.items() if name not in names}


def _named(state: State, kind: str) -> list[str]:
    return sorted(name.removeprefix(kind) for name in state if name.startswith(kind))


def _upgraded(version: int, state: State) -> State:
    """The first version's plans had no paths: its arcs end untold, and the next is due within 14 days."""
    return {name: value for name, value in state.items() if not name.startswith((_TALE, _ARC, _PLAN))}


arcs = Policy(
    name="arcs",
    reads=(ClockTicked, DecisionEffective, PlaceEntered, GoldGained, PlayerLevelled, DepthReached, FlagSet),
    react=_react,
    version=2,
    upgrade=_upgraded,
)
