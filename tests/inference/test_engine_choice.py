"""Which engines a line names, and what is said of a line that names none."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from inference.agents import AGENTS
from inference.attempt import Question, worst_usd_micros
from inference.chain import Chain
from inference.engines import Anthropic, EngineRefused, LlamaCpp, OpenAI, choose_engine, choosing, llamacpp, models_of
from inference.engines.engine import ALLOWED_MS
from inference.engines.providers import PROVIDERS, key_setting
from inference.engines.vllm import Vllm
from inference.ensemble import Ensemble
from inference.prices import HOSTED, LISTED, Prices, UnknownPrice, cost_usd_micros
from inference.prompts import Prompt
from inference.purse import UNLIMITED
from inference.requests import requests_for
from inference.seats import DEFAULT_SEATS, choose_seats
from inference.worker import Worker
from schemas import TIERS, ScheduleDue
from streams.chaos.faults import Plan
from streams.chaos.provider import Provider as Chaos
from streams.chaos.provider import started
from streams.config import Settings
from streams.engines import engines_of, ensemble_of
from streams.inferring import make_worker
from tests.inference.asking import NOW_MS, happened, now_ms
from tests.inference.providing import CHOSEN, asking

KEY = "sk-a-key-that-nobody-may-see"
KEYS = dict.fromkeys(PROVIDERS, KEY)


def asked_first(spec: str, host_keys: Mapping[str, str] | None = None) -> OpenAI | Anthropic:
    chain = choose_engine(spec, KEYS, host_keys=host_keys)
    assert isinstance(chain, Chain)
    engine = chain._engines[0]._engine
    assert isinstance(engine, OpenAI | Anthropic)
    return engine


@pytest.mark.parametrize("name", PROVIDERS)
def test_a_provider_is_asked_for_its_model_at_its_address_with_its_key(name: str) -> None:
    engine = asked_first(name)
    assert (engine.name, engine.model) == (name, PROVIDERS[name].model)
    assert isinstance(engine, Anthropic if name == "anthropic" else OpenAI)
    assert engine._server._url == PROVIDERS[name].url
    assert KEY in str(engine._server._headers)
    assert cost_usd_micros(engine.model, 1_000, 1_000, 1) > 1


def test_every_model_of_the_price_list_can_be_asked() -> None:
    assert {provider.model for provider in PROVIDERS.values()} >= set(HOSTED)


@pytest.mark.parametrize(
    ("spec", "model", "url"),
    [
        ("openai:gpt-5.1", "gpt-5.1", "https://api.openai.com/v1"),
        ("openai:llama3:8b", "llama3:8b", "https://api.openai.com/v1"),
        ("openai:Qwen/Qwen2.5-3B+awq@http://gpu-1:8000/v1/", "Qwen/Qwen2.5-3B+awq", "http://gpu-1:8000/v1"),
        (" groq:x , rules ", "x", "https://api.groq.com/openai/v1"),
    ],
)
def test_a_model_and_an_address_may_be_named(spec: str, model: str, url: str) -> None:
    engine = asked_first(spec)
    assert (engine.model, engine._server._url) == (model, url)


ELSEWHERE = "openai:m@https://elsewhere.example/v1"


@pytest.mark.parametrize(
    "spec",
    [
        ELSEWHERE,
        "openai:m@http://127.0.0.1:8000/v1",
        "openai:m@https://api.openai.com.elsewhere.example/v1",
        "openai:m@https://api.openai.com:8443/v1",
        "deepseek:m@https://api.openai.com/v1",
        "anthropic:m@https://api.openai.com/v1",
        "gemini:m@https://elsewhere.example/v1?to=generativelanguage.googleapis.com",
    ],
)
def test_a_providers_key_is_sent_to_that_provider_alone(spec: str) -> None:
    assert KEY not in str(asked_first(spec)._server._headers)


@pytest.mark.parametrize("spec", ["openai:m@https://API.openai.com:443/v1/", "openai:m@https://api.openai.com/v2"])
def test_however_its_address_is_written(spec: str) -> None:
    assert KEY in str(asked_first(spec)._server._headers)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://elsewhere.example/v1", "elsewhere.example"),
        ("https://Elsewhere.example/v1", "ELSEWHERE.example:443"),
        ("https://elsewhere.example:8443/v1", "elsewhere.example"),
        ("http://127.0.0.1:8000/v1", "127.0.0.1:8000"),
        ("http://[::1]:8000/v1", "[::1]:8000"),
    ],
)
def test_a_server_elsewhere_gets_the_key_that_is_named_for_its_host(url: str, name: str) -> None:
    others = {"other.example": "sk-others"}
    named = asked_first(f"openai:m@{url}", {name: "sk-theirs", **others})
    assert named._server._headers == {"Authorization": "Bearer sk-theirs"}
    assert asked_first(f"openai:m@{url}", others)._server._headers == {}


def test_a_key_is_not_named_for_a_server_that_would_get_it_in_the_clear() -> None:
    with pytest.raises(EngineRefused, match="write https://") as refused:
        choose_engine("openai:m@http://gpu-1.example:8000/v1", host_keys={"gpu-1.example": KEY})
    assert KEY not in str(refused.value)
    assert choose_engine("openai:m@http://gpu-1.example:8000/v1", KEYS) is not None


@pytest.mark.parametrize("name", ["https://gpu-1.example", "gpu-1.example/v1", "", "gpu 1"])
def test_a_key_for_what_is_no_host_is_refused(name: str) -> None:
    with pytest.raises(EngineRefused, match="NORN_KEYS names no host"):
        choose_engine(ELSEWHERE, host_keys={name: KEY})


async def test_the_settings_name_hosts_keys_which_are_brought_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    with started(Chaos(key=KEY)) as theirs:
        host = theirs.url.removeprefix("http://")
        monkeypatch.setenv("NORN_KEYS", orjson.dumps({host: KEY}).decode())
        monkeypatch.setenv("NORN_OPENAI_KEY", "sk-ours")
        monkeypatch.setenv("NORN_GOLD", f"openai:gpt-4o-mini@{theirs.url}/v1")
        monkeypatch.setenv("NORN_STORY", f"openai:gpt-4o-mini@{theirs.url}/v1")
        settings = Settings()
        assert KEY not in repr(settings)
        engine, votes = engines_of(settings, now_ms=now_ms)["gold"], ensemble_of(settings, now_ms=now_ms)
        assert engine is not None
        assert votes is not None
        for one in (engine, votes._seats[0].engine):
            try:
                assert (await one.complete(asking())).text == CHOSEN
            finally:
                await one.close()
        monkeypatch.delenv("NORN_KEYS")
        without = engines_of(Settings(), now_ms=now_ms)["gold"]
        assert without is not None
        with pytest.raises(EngineRefused, match="check NORN_KEYS"):
            await without.complete(asking())
        await without.close()


def test_a_line_is_a_chain_in_its_order() -> None:
    chain = choose_engine("deepseek, openai:m@http://127.0.0.1:1/v1, llamacpp", KEYS)
    assert chain is not None
    assert models_of(chain) == ("deepseek-chat", "m", llamacpp.MODEL)


def test_rules_are_no_model_and_end_a_chain() -> None:
    assert choose_engine("rules") is None
    assert choose_engine("rules, nonsense") is None
    chain = choose_engine("openai, rules, llamacpp", KEYS)
    assert chain is not None
    assert models_of(chain) == ("gpt-4o-mini",)


def test_the_packaged_model_alone_needs_no_chain() -> None:
    assert isinstance(choose_engine("llamacpp"), LlamaCpp)


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("deepseek", "deepseek needs its key: set NORN_DEEPSEEK_KEY"),
        ("crystal-ball", "names no engine|no engine is named"),
        ("crystalball", "choose from llamacpp, vllm, deepseek"),
        ("", "names no engine"),
        ("openai@http://gpu-1/v1", "say which model"),
        ("openai:m@gpu-1:8000", "begins with http://"),
        ("llamacpp:big", "leave it out"),
        ("llamacpp@http://gpu-1/v1", "for a server write openai:MODEL@URL"),
    ],
)
def test_a_line_that_cannot_be_followed_says_what_to_write(spec: str, says: str) -> None:
    with pytest.raises(EngineRefused, match=says):
        choose_engine(spec)


def test_without_vllm_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "find_spec", lambda name: None)
    with pytest.raises(EngineRefused, match=r"pip install 'norn\[vllm\]'"):
        choose_engine("vllm")


def worker_of_the_settings() -> Worker:
    """The worker that a process of the infer role makes of its settings; the models are not loaded before it starts."""
    shell: Any = SimpleNamespace(settings=Settings(), clock=SimpleNamespace(now_ms=now_ms))
    return make_worker(shell, TIERS, UNLIMITED)


def test_vllm_runs_the_weights_of_the_tier_or_those_that_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "find_spec", lambda name: True)
    monkeypatch.setenv("NORN_GOLD", "vllm")
    monkeypatch.setenv("NORN_SILVER", " vllm ")
    monkeypatch.setenv("NORN_BRONZE", "vllm:Qwen/Qwen2.5-7B-Instruct")
    engines = worker_of_the_settings()._engines
    weights = {tier: (engine.model, engine._weights) for tier, engine in engines.items() if isinstance(engine, Vllm)}
    assert weights == {
        "gold": ("Qwen2.5-3B-Instruct-AWQ", "Qwen/Qwen2.5-3B-Instruct-AWQ"),
        "silver": ("Qwen2.5-7B-Instruct", "Qwen/Qwen2.5-7B-Instruct"),
        "bronze": ("Qwen2.5-7B-Instruct", "Qwen/Qwen2.5-7B-Instruct"),
    }


def test_vllm_in_a_chain_runs_the_weights_of_the_tier_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "find_spec", lambda name: True)
    monkeypatch.setenv("NORN_SILVER", "vllm, llamacpp")
    chain = worker_of_the_settings()._engines["silver"]
    assert isinstance(chain, Chain)
    first = chain._engines[0]._engine
    assert isinstance(first, Vllm)
    assert (first._weights, chain.models) == (
        "Qwen/Qwen2.5-7B-Instruct",
        ("Qwen2.5-7B-Instruct", llamacpp.MODEL),
    )


ENSEMBLES = [
    ("openai", "anthropic"), ("openai", "gemini"), ("anthropic", "gemini"), ("openai", "anthropic", "gemini"),
]  # fmt: skip


@pytest.mark.parametrize("providers", ENSEMBLES, ids=" ".join)
async def test_the_ensemble_of_the_spec_starts_and_the_story_tellers_money_reaches_for_all_of_it(
    providers: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in providers:
        monkeypatch.setenv(f"NORN_{name.upper()}_KEY", KEY)
    votes = ensemble_of(Settings(), now_ms=now_ms)
    assert votes is not None
    await votes.start()
    await votes.close()
    assert len(votes._seats) == len(providers)
    teller = AGENTS["story_teller"]
    [event] = [
        happened(ScheduleDue(schedule="story", due_ms=NOW_MS, day=3, context='{"day":3,"players":5,"deaths":2}'))
    ]
    [request] = [one for one in requests_for(event, AGENTS) if one.agent == teller.name]
    prompt = Question(teller, orjson.loads(request.context), request).prompt()
    assert isinstance(prompt, Prompt)
    worst = [worst_usd_micros(seat.engine, prompt, ALLOWED_MS) for seat in votes._seats]
    assert sum(worst) <= request.cost_cap_usd_micros


def test_seats_have_the_weights_that_the_line_gives_them() -> None:
    seats = choose_seats("0.4*openai:gpt-5.1 + 0.4 * anthropic:claude-4.1+0.2*gemini, llamacpp", KEYS)
    assert [(seat.name, seat.weight) for seat in seats] == [
        ("gpt-5.1", 0.4),
        ("claude-4.1", 0.4),
        ("gemini-2.5-pro", 0.2),
    ]
    assert models_of(seats[2].engine) == ("gemini-2.5-pro", llamacpp.MODEL)


def test_with_keys_for_two_providers_the_ensemble_of_several_votes() -> None:
    seats = choose_seats(keys={"openai": KEY, "gemini": KEY})
    assert [(seat.name, seat.weight) for seat in seats] == [("gpt-5.1", 0.4), ("gemini-2.5-pro", 0.2)]
    assert len(choose_seats(keys=KEYS)) == len(DEFAULT_SEATS)


def test_otherwise_the_packaged_model_is_asked_several_times_under_names_that_say_so() -> None:
    local = choose_engine()
    seats = choose_seats(keys={"openai": KEY}, local=local)
    assert [seat.name for seat in seats] == [f"{llamacpp.MODEL} #{draw}" for draw in (1, 2, 3)]
    assert all(seat.engine is local for seat in seats)
    assert len({(seat.draw, seat.temperature) for seat in seats}) == len(seats)


def test_the_same_model_twice_has_two_names_and_two_draws() -> None:
    local = choose_engine()
    seats = choose_seats("2*llamacpp + 1*llamacpp", local=local)
    assert [(seat.name, seat.draw) for seat in seats] == [(llamacpp.MODEL, 0), (f"{llamacpp.MODEL} #2", 1)]
    assert all(seat.engine is local for seat in seats)


def test_one_engine_is_single_model_mode_and_without_any_nobody_votes(monkeypatch: pytest.MonkeyPatch) -> None:
    [seat] = choose_seats("deepseek", KEYS)
    assert Ensemble([seat], now_ms=now_ms).needed == 1
    assert choose_seats("rules") == []
    monkeypatch.setattr(llamacpp, "find_spec", lambda name: None)
    assert choose_seats() == ()


def test_the_settings_name_the_engines_of_the_tiers_and_show_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NORN_GOLD", "openai:tiny@http://127.0.0.1:1/v1")
    monkeypatch.setenv("NORN_SILVER", "deepseek")
    monkeypatch.setenv("NORN_BRONZE", "deepseek")
    monkeypatch.setenv("NORN_DEEPSEEK_KEY", KEY)
    monkeypatch.setenv("NORN_STORY", "0.5*deepseek + 0.5*llamacpp")
    with pytest.raises(UnknownPrice, match="NORN_PRICES"):
        engines_of(Settings(), now_ms=now_ms)
    monkeypatch.setenv("NORN_PRICES", '{"tiny": 0.02}')
    settings = Settings()
    assert KEY not in repr(settings)
    engines = engines_of(settings, now_ms=now_ms)
    assert engines["gold"] is not None
    assert engines["gold"].model == "tiny"
    assert engines["silver"] is engines["bronze"]
    assert Prices.of(settings.prices).cost_usd_micros("tiny", 1_000_000, 0, 0) == 20_000
    votes = ensemble_of(settings, now_ms=now_ms)
    assert votes is not None
    assert votes.needed == 2


def test_every_provider_has_a_setting_for_its_key() -> None:
    names = {f"NORN_{field.upper()}" for field in Settings.model_fields}
    assert {key_setting(name) for name in PROVIDERS} <= names


async def test_a_chain_from_a_line_falls_back_from_a_real_server_to_the_next() -> None:
    with started(Chaos(Plan({"error": 1.0}))) as ill, started() as well:
        chain = choose_engine(f"openai:ill@{ill.url}/v1, openai:well@{well.url}/v1")
        assert chain is not None
        try:
            done = await chain.complete(asking(allowed_ms=1_000))
        finally:
            await chain.close()
    assert (done.text, done.engine, done.model) == (CHOSEN, "openai", "well")
    assert ill.served["error"] == 1


@pytest.mark.parametrize("usd", [-0.1, float("nan"), float("inf"), 1_000_000.0])
def test_a_price_that_cannot_be_one_is_refused(usd: float) -> None:
    with pytest.raises(UnknownPrice, match="is no price"):
        Prices.of({"tiny": usd})


def test_a_price_that_was_told_goes_before_the_list_and_for_those_alone_who_were_told() -> None:
    told = Prices.of({"deepseek-chat": 0.5, "gpt-5.1": 2})
    assert told.cost_usd_micros("deepseek-chat", 1_000_000, 0, 0) == 500_000
    assert told.cost_usd_micros("gpt-5.1", 500_000, 500_000, 0) == 2_000_000
    assert LISTED.cost_usd_micros("deepseek-chat", 1_000_000, 0, 0) == 140_000
    assert LISTED.cost_usd_micros("gpt-5.1", 1_000_000, 1_000_000, 0) == 11_250_000
