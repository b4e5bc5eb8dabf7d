"""Economy: the market balances itself: each hour prices follow how much gold there is to spend.

The spec only names it as a market simulation, and that the "economy self-balances".
"""

from __future__ import annotations

from typing import Literal

from inference.agent import Agent, Answer, Content, Context
from inference.complexity import weighed
from inference.reading import asked, crowd, due, last_action, wealth
from schemas import ScheduleDue

Step = Literal["small", "large"]
ACTIONS = ("hold_prices", "raise_prices", "lower_prices")
FOLLOWS = {"scarce": "lower_prices", "steady": "hold_prices", "plenty": "raise_prices"}
SYSTEM = "Balance a market. Gold scarce: lower prices. Gold plenty: raise prices. Gold steady: hold prices."
SOLVED = (
    ({"gold": "scarce", "last": "lower_prices"}, {"action": "lower_prices", "step": "large"}),
    ({"gold": "scarce", "last": "none"}, {"action": "lower_prices", "step": "small"}),
    ({"gold": "steady", "last": "raise_prices"}, {"action": "hold_prices", "step": "small"}),
    ({"gold": "plenty", "last": "raise_prices"}, {"action": "raise_prices", "step": "large"}),
    ({"gold": "plenty", "last": "none"}, {"action": "raise_prices", "step": "small"}),
)


class Prices(Content):
    """Which way prices go, and how far."""

    action: str
    step: Step


def _signature(context: Context) -> Context:
    return {"gold": wealth(context), "last": last_action(context, "economy", ACTIONS)}


def _do(action: str, step: Step) -> Answer:
    return Answer(action, Prices(action=action, step=step))


def _rules(context: Context) -> Answer:
    # What was not enough the last time is done more strongly.
    action = FOLLOWS[wealth(context)]
    is_again = action != "hold_prices" and action == last_action(context, "economy", ACTIONS)
    return _do(action, "large" if is_again else "small")


def _check(context: Context, answer: Answer) -> str:
    gold = wealth(context)
    if (gold, answer.action) in (("scarce", "raise_prices"), ("plenty", "lower_prices")):
        return f"{answer.action} throws a market where gold is {gold} further off its balance"
    return ""


economy = Agent(
    name="economy",
    trigger=(ScheduleDue,),
    asks=lambda event: due(event, "hour"),
    legal_actions=lambda context: ACTIONS,
    prompt=lambda signature: asked(SYSTEM, SOLVED, signature),
    output=Prices,
    check=_check,
    rules=_rules,
    default=lambda context: _do("hold_prices", "small"),
    tier="bronze",
    deadline_ms=60_000,
    cost_cap_usd_micros=25_000,
    max_tokens=24,
    signature=_signature,
    complexity=lambda context: weighed(
        unsteady=wealth(context) != "steady",
        again=FOLLOWS[wealth(context)] == last_action(context, "economy", ACTIONS),
        crowd=crowd(context) == "many",
    ),
    impact=lambda context: "medium",
    tells=("day", "hour"),
)
