"""The engines and the ensemble that the settings name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from pydantic import SecretStr

from inference.engines import Engine, choose_engine, models_of
from inference.engines.choosing import VLLM, VLLM_WEIGHTS
from inference.engines.providers import PROVIDERS
from inference.ensemble import Ensemble, Seat
from inference.prices import Prices
from inference.purse import UNLIMITED, Purse
from inference.seats import choose_seats
from schemas import TIERS
from streams.config import Settings

#: What vLLM runs for a tier where the settings do not say.
VLLM_WEIGHTS_OF: Mapping[str, str] = {"silver": "Qwen/Qwen2.5-7B-Instruct"}

NowMs = Callable[[], int]


def engines_of(settings: Settings, *, now_ms: NowMs) -> Mapping[str, Engine | None]:
    """The engine of each tier, None where the rules answer; tiers that name the same have one between them.

    Raises EngineRefused for what cannot be used, and UnknownPrice for a model without a price.
    """
    prices = Prices.of(settings.prices)
    chosen: dict[tuple[str | None, str], Engine | None] = {}
    engines: dict[str, Engine | None] = {}
    for tier in TIERS:
        spec: str | None = getattr(settings, tier)
        weights = VLLM_WEIGHTS_OF.get(tier, VLLM_WEIGHTS)
        same = spec, weights if VLLM in (spec or "") else ""
        if same not in chosen:
            chosen[same] = choose_engine(
                spec, _keys(settings), host_keys=_host_keys(settings), now_ms=now_ms, vllm_weights=weights
            )
        engines[tier] = chosen[same]
    for engine in filter(None, chosen.values()):
        prices.check(models_of(engine))
    return engines


def ensemble_of(
    settings: Settings, *, now_ms: NowMs, local: Engine | None = None, purse: Purse = UNLIMITED
) -> Ensemble | None:
    """The story teller's ensemble; None where there is no model, and the rules answer.

    `local` is the packaged model that this process runs already, if it does. Raises EngineRefused.
    """
    seats: Sequence[Seat] = choose_seats(
        settings.story, _keys(settings), host_keys=_host_keys(settings), local=local, now_ms=now_ms
    )
    return Ensemble(seats, now_ms=now_ms, purse=purse, prices=Prices.of(settings.prices)) if seats else None


def _keys(settings: Settings) -> Mapping[str, str]:
    given: Mapping[str, SecretStr | None] = {name: getattr(settings, f"{name}_key") for name in PROVIDERS}
    return {name: key.get_secret_value() for name, key in given.items() if key is not None}


def _host_keys(settings: Settings) -> Mapping[str, str]:
    return {host: key.get_secret_value() for host, key in settings.keys.items()}
