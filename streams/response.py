"""Response: how many heroes have come to where the day's problem is, and how many were wanted there. Pure.

Coming to its place is what the log tells of a player's answer to a problem. What a hero does there it does not tell,
nor who was there before the problem came and stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inference.prompts import as_data
from inference.reading import NAME_MAX, json_object, number, text
from schemas import DecisionEffective, Event
from streams import sketch

#: The problem that is there, and who has come; empty when there is none.
Response = Mapping[str, Any]
#: The agent that makes problems, and its schedule.
PROBLEM = "problem"


def folded(response: Response, event: Event) -> Response:
    """The response after one more event; the same object when that changes nothing."""
    if event.HasField("decision_effective"):
        return _called_for(response, event.decision_effective)
    if not response or not event.HasField("place_entered"):
        return response
    # A problem names its place as contexts name places.
    if as_data(event.place_entered.zone, NAME_MAX) != response["zone"]:
        return response
    came = sketch.noted(response["came"], event.subject)
    return response if came is response["came"] else {**response, "came": came}


def shown(response: Response) -> Mapping[str, int]:
    """How many were wanted (`goal`) and how many came, for the context of a schedule."""
    return {"goal": response["goal"], "came": sketch.different(response["came"])} if response else {}


def _called_for(response: Response, decision: DecisionEffective) -> Response:
    if decision.agent != PROBLEM or decision.decision_id == response.get("decision_id"):
        return response
    about = json_object(decision.about)
    zone, goal = text(about, "zone"), number(about, "goal", 1, low=1)
    return {"decision_id": decision.decision_id, "zone": zone, "goal": goal, "came": []}
