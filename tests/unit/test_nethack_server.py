"""The game server: heroes who get somewhere, who are never stuck, and who are replaced when they die."""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from pathlib import Path

import psutil
import pytest
from google.protobuf.message import Message

from examples.nethack.figures import rewrite, text
from examples.nethack.roster import character
from examples.nethack.server import Player, Server, play
from schemas import EventRefused, PlayerDied, PlayerMoved, fact_name

MB = 1024 * 1024


class Recorder:
    """Keeps what is published."""

    def __init__(self) -> None:
        self.told: dict[str, list[Message]] = defaultdict(list)

    def publish(self, fact: Message, *, subject: str) -> bytes:
        self.told[subject].append(fact)
        return b""


class Refuser:
    """Takes nothing."""

    def publish(self, fact: Message, *, subject: str) -> bytes:
        raise EventRefused("nothing is taken here")


def played(turns: int, heroes: int = 4, seed: int = 9) -> tuple[Server, Recorder]:
    recorder = Recorder()
    server = Server(recorder, heroes=heroes, seed=seed, life="life")
    for _ in range(turns):
        server.turn()
    server.close()
    return server, recorder


@pytest.fixture(scope="module")
def long_play() -> tuple[Server, Recorder]:
    return played(turns=1_500)


def test_a_hero_who_dies_is_replaced_by_another(long_play: tuple[Server, Recorder]) -> None:
    server, recorder = long_play
    dead = [subject for subject, facts in recorder.told.items() if any(isinstance(f, PlayerDied) for f in facts)]
    assert server.deaths == len(dead) >= 2
    assert len(recorder.told) == server.heroes == 4 + server.deaths
    assert not {player.subject for player in server.players} & {*dead}


def test_nothing_is_told_of_the_dead(long_play: tuple[Server, Recorder]) -> None:
    for facts in long_play[1].told.values():
        assert not any(isinstance(fact, PlayerDied) for fact in facts[:-1])


def test_what_was_published_is_counted_by_fact(long_play: tuple[Server, Recorder]) -> None:
    server, recorder = long_play
    assert server.by_fact.total() == sum(map(len, recorder.told.values()))
    assert server.by_fact["player_moved"] == sum(
        fact_name(fact) == "player_moved" for facts in recorder.told.values() for fact in facts
    )
    assert server.steps == 4 * 1_500


def test_the_same_seed_plays_the_same_games() -> None:
    assert played(turns=150)[1].told == played(turns=150)[1].told


def test_another_seed_plays_other_games() -> None:
    assert played(turns=150)[1].told != played(turns=150, seed=10)[1].told


def test_heroes_of_two_lives_are_never_the_same() -> None:
    first, second = (Server(Recorder(), heroes=2, seed=1, life=life) for life in ("a1", "b2"))
    assert [player.subject for player in first.players] == ["hero-astrid-valkyrie-1-a1", "hero-brom-samurai-2-a1"]
    assert not {player.subject for player in first.players} & {player.subject for player in second.players}
    first.close()
    second.close()


def test_many_heroes_have_names_and_roles_that_differ() -> None:
    roster = [character(number) for number in range(1, 277)]
    assert len({(each.name, each.role) for each in roster}) == 276


@pytest.mark.parametrize("number", range(1, 13))
def test_heroes_of_every_role_get_about_and_are_never_stuck(number: int) -> None:
    player = Player(number, seed=5, life="")
    moved = idle = idle_longest = 0
    player.begin()
    for _ in range(600):
        turn = player.now.turn
        moved += any(isinstance(fact, PlayerMoved) for fact in player.press())
        idle = 0 if player.now.turn > turn else idle + 1
        idle_longest = max(idle, idle_longest)
        if player.now.over:
            break
    player.close()
    assert idle_longest < 100, "no time passed in the game for that many keys"
    assert player.now.over or moved > 150
    assert player.now.over or player.now.turn > 150


def test_heroes_go_deeper_than_they_were_born(long_play: tuple[Server, Recorder]) -> None:
    depths = [fact.value for facts in long_play[1].told.values() for fact in facts if fact_name(fact) == "flag_set"]  # type: ignore[attr-defined]
    assert max(depths) >= 4


def test_the_game_goes_on_when_facts_are_refused() -> None:
    server = Server(Refuser(), heroes=1, seed=1)
    for _ in range(20):
        server.turn()
    server.close()
    assert server.steps == 20
    assert server.refused > 10
    assert server.by_fact.total() == 0


def test_hundreds_of_heroes_leave_no_memory_and_no_files_behind() -> None:
    process = psutil.Process()

    def live(heroes: int) -> None:
        for number in range(heroes):
            player = Player(number + 1, seed=2, life="")
            for _ in range(10):
                player.press()
            player.close()

    live(40)
    memory, files = process.memory_info().rss, process.num_fds()
    live(200)
    assert process.num_fds() <= files
    assert process.memory_info().rss - memory < 20 * MB


def test_play_stops_when_it_is_told_to() -> None:
    stopping = threading.Event()
    server = Server(Recorder(), heroes=1, seed=1)
    play(server, stopping, pace=0, seconds=None, each_second=stopping.set)
    server.close()
    assert server.steps == 1


def test_play_ends_after_its_seconds_at_its_pace() -> None:
    server = Server(Recorder(), heroes=2, seed=1)
    reports: list[int] = []
    play(server, threading.Event(), pace=40, seconds=0.5, each_second=lambda: reports.append(server.steps))
    server.close()
    assert 2 <= server.steps <= 2 * 40 * 0.5 + 2
    assert reports[0] == 0


def test_a_status_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "run" / "game.json"
    for steps in (1, 2):
        rewrite(path, {"steps": steps})
        assert json.loads(path.read_text()) == {"steps": steps}
    assert [each.name for each in path.parent.iterdir()] == ["game.json"]


def test_figures_are_shown_one_a_line() -> None:
    assert text({"steps": 12000, "by_fact": {"player_moved": 1000}}).splitlines() == [
        "steps              12,000",
        "by_fact            player_moved 1,000",
    ]
