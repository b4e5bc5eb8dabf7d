"""Router: who answers a request (spec C.7): the rules, the cache, one call for several that are alike, or its own."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from inference.agent import COMPLEX, Answer
from inference.attempt import Question, by_rules
from inference.cache import Cache
from inference.complexity import FULL_MIN, RULES_MAX
from inference.prompts import canonical
from inference.validation import Refused, misfit

Kind = Literal["rule", "cache", "batch", "full"]


@dataclass(frozen=True)
class Route:
    """Who answers, and why; with the answer where it is there already, else with the group it may be asked in."""

    kind: Kind
    answer: Answer | None
    why: Mapping[str, Any]
    complexity: float
    group: str = ""


class Router:
    """Chooses the cheapest route that will do, from the rules to a call of its own."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    def route(self, question: Question) -> Route:
        """Who answers this question. Whatever its context holds, there is a route."""
        agent, score = question.agent, complexity(question)
        if score <= RULES_MAX:
            answer = _by_rules(question)
            if answer is not None:
                return Route("rule", answer, {"complexity": score, "rules_max": RULES_MAX}, score)
        hit = self._cache.find(question)
        refused = None if hit is None else fits(question, hit.answer)
        if hit is not None and refused is None:
            return Route("cache", hit.answer, {**hit.why, "complexity": score}, score)
        why: dict[str, Any] = {"complexity": score, "full_min": FULL_MIN}
        if refused is not None:
            why["unfit"] = refused.detail
        group = "" if score >= FULL_MIN or agent.ensemble else group_of(question)
        return Route("batch" if group else "full", None, why, score, group)

    def learned(
        self, question: Question, answer: Answer, *, route: str, fallback_reason: str = "", safety: str = ""
    ) -> bool:
        """Keep a model's answer for when the question comes again; False when it is none to be kept.

        Only what a model answered itself is: no fallback, nothing that safety replaced, and nothing that does not fit.
        """
        if route not in ("batch", "full") or fallback_reason or safety or fits(question, answer) is not None:
            return False
        return self._cache.put(question, answer)


def complexity(question: Question) -> float:
    """How hard the agent takes the decision to be, 0 to 1; as hard as can be when it cannot say."""
    try:
        score = float(question.agent.complexity(question.context))
    except Exception:  # anybody may have written the context: it must not stop the worker
        return COMPLEX
    return min(1.0, max(0.0, score)) if score == score else COMPLEX


def fits(question: Question, answer: Answer) -> Refused | None:
    """Why an answer given before does not fit this question: its shape, its action or the agent's check; or None."""
    try:
        return misfit(answer, question.agent, question.context, question.legal_actions)
    except Exception as error:  # as above
        return Refused("unfit", f"the agent cannot check it here: {type(error).__name__}")


def group_of(question: Question) -> str:
    """What is equal in all requests that one call may answer; empty for a request that is like no other."""
    agent, request = question.agent, question.request
    if agent.signature is None:
        return ""
    try:
        signature = agent.signature(question.context)
        alike = {name: value for name, value in signature.items() if name not in agent.blurs}
        key = canonical([agent.name, sorted(request.legal_actions), request.world_version, alike])
    except Exception:  # as above
        return ""
    return hashlib.blake2b(key.encode(), digest_size=16).hexdigest()


def _by_rules(question: Question) -> Answer | None:
    try:
        answer, fault = by_rules(question)
    except Exception:  # as above, even of the default, which should not
        return None
    return None if fault else answer
