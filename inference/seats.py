"""Who votes in the story teller's ensemble, read from one line of text.

    SEATS := [ WEIGHT * ] ENGINES + [ WEIGHT * ] ENGINES ...      ENGINES as in inference/engines/choosing.py

`0.6 * deepseek, llamacpp + 0.4 * openai` has two seats, the first of which asks a second engine when its first fails.
One engine alone is single-model mode (spec, Phase 1).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from inference.engines import Engine, choose_engine
from inference.engines.choosing import LOCAL, NowMs
from inference.ensemble import Seat

_WEIGHT = re.compile(r"\s*(?P<weight>\d+(\.\d+)?)\s*\*")
# A plus may stand in a model's name; one that separates seats stands between spaces, or before a weight.
_NEXT_SEAT = re.compile(r"\s+\+\s+|\+(?=\s*\d+(?:\.\d+)?\s*\*)")

#: Spec A.4: who votes where nobody chooses otherwise, and with what weight.
DEFAULT_SEATS: Mapping[str, float] = {"openai:gpt-5.1": 0.4, "anthropic:claude-4.1": 0.4, "gemini:gemini-2.5-pro": 0.2}
# With keys for fewer providers there is no ensemble of several, and one model is asked several times.
PROVIDERS_MIN = 2
# As many as the ensemble of several has; the first draws as the engine itself likes to, the others more freely.
DRAWS = 3
DRAW_TEMPERATURE = 0.9


def choose_seats(
    spec: str | None = None,
    keys: Mapping[str, str] | None = None,
    *,
    host_keys: Mapping[str, str] | None = None,
    local: Engine | None = None,
    now_ms: NowMs | None = None,
) -> Sequence[Seat]:
    """The seats that a line names; none where there is no model: the rules answer.

    Without a line these are the models of spec A.4 for which there are keys, if there are two; else the local model,
    which is asked several times. `local` is the engine that this process runs already, so that it need not run twice.
    Raises EngineRefused for what cannot be used, with what would make it usable.
    """
    keys = keys or {}
    if spec is None:
        weights = {one: weight for one, weight in DEFAULT_SEATS.items() if keys.get(one.partition(":")[0])}
        if len(weights) < PROVIDERS_MIN:
            return _draws(local or choose_engine(now_ms=now_ms))
        spec = " + ".join(f"{weight} * {one}" for one, weight in weights.items())
    seats: list[Seat] = []
    for part in _NEXT_SEAT.split(spec):
        weighed = _WEIGHT.match(part)
        line = part[weighed.end() if weighed else 0 :].strip()
        engine = (
            local
            if local is not None and line == LOCAL
            else choose_engine(line, keys, host_keys=host_keys, now_ms=now_ms)
        )
        if engine is not None:
            draw = sum(seat.engine.model == engine.model for seat in seats)
            name = f"{engine.model} #{draw + 1}" if draw else engine.model
            seats.append(Seat(name=name, weight=float(weighed["weight"]) if weighed else 1.0, engine=engine, draw=draw))
    return seats


def _draws(engine: Engine | None) -> Sequence[Seat]:
    """One model asked several times: it agrees with itself as far as it is sure (self-consistency)."""
    if engine is None:
        return ()
    return [
        Seat(
            name=f"{engine.model} #{draw + 1}",
            weight=1.0,
            engine=engine,
            draw=draw,
            temperature=DRAW_TEMPERATURE if draw else None,
        )
        for draw in range(DRAWS)
    ]
