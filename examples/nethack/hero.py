"""A hero's mind: which key to press next, given what is seen and what this hero remembers."""

from __future__ import annotations

import random

import numpy as np
from nle import nethack

from examples.nethack.maps import STEPS, Place
from examples.nethack.memory import Memory, View
from examples.nethack.observation import Observation, Prompt
from examples.nethack.rules import RULES, YES

ESCAPE: int = nethack.Command.ESC
NEXT_PAGE: int = nethack.TextCharacters.SPACE
NO = ord("n")
WAIT: int = nethack.Command.SEARCH

# Some heroes hurry down and die young, some look into every corner first.
_PATIENCE_TURNS = (0, 250)
_BUMPS_MAX = 3
# A hero who has pressed this many keys without any time passing in the game is stuck.
_IDLE_KEYS_MAX = 30

# The game wants a place on the map to be pointed at, which it does not announce as a prompt.
_WHERE = "(For instructions type a '?')"
# What to answer to a question that is not part of a command; any other is escaped from.
_ANSWERS = {
    "Really attack": ESCAPE,
    "Are you sure you want to pray": YES,
    "Pay?": YES,
    "Itemized billing?": YES,
}


class Hero:
    """One hero's mind. The same seed, shown the same things, presses the same keys."""

    def __init__(self, seed: int) -> None:
        chance = random.Random(seed)
        self._memory = Memory(chance, patience_turns=chance.randint(*_PATIENCE_TURNS))
        self._command: list[int] = []
        self._last_turn = 0
        self._idle_keys = 0

    def key(self, now: Observation) -> int:
        """The next key to press: of the command begun, or of the first rule that has one."""
        self._idle_keys = self._idle_keys + 1 if now.turn == self._last_turn else 0
        self._last_turn = now.turn
        if now.prompt is not Prompt.NONE:
            return self._answer(now)
        if _WHERE in now.message:
            return ESCAPE
        if self._command:
            return self._command.pop(0)
        view = View(now, self._memory)
        self._look(view)
        if self._idle_keys > _IDLE_KEYS_MAX:
            self._memory.walk.clear()
            return self._memory.random.choice((*STEPS, ESCAPE, WAIT))
        for rule in RULES:
            keys = rule(self._memory, view)
            if keys:
                self._command = list(keys[1:])
                return keys[0]
        return WAIT

    def _answer(self, now: Observation) -> int:
        if now.prompt is Prompt.MORE:
            return NEXT_PAGE
        if now.prompt is Prompt.LINE:
            return ESCAPE
        for question, key in _ANSWERS.items():
            if question in now.message:
                if key == ESCAPE:
                    self._memory.levels[now.zone].spared.add(self._memory.foe)
                    self._command.clear()
                return key
        if "here; eat" in now.message and self._command != [YES]:
            return NO
        return self._command.pop(0) if self._command else ESCAPE

    def _look(self, view: View) -> None:
        memory, level = self._memory, view.level
        level.visited.add(view.cell)
        if "You kill" in view.now.message:
            level.kills[memory.foe_cell] = view.now.turn
        ways_down = np.flatnonzero(view.here == Place.WAY_DOWN)
        if ways_down.size:
            level.way_down = int(ways_down[0])
        if memory.stepping_to not in (0, view.cell):
            memory.walk.clear()
            level.bumps[memory.stepping_to] += 1
            if level.bumps[memory.stepping_to] >= _BUMPS_MAX:
                level.shut.add(memory.stepping_to)
        memory.stepping_to = 0
