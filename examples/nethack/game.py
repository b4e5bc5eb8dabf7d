"""One life in NetHack: keys in, observations out."""

from __future__ import annotations

from dataclasses import replace
from types import TracebackType

from nle import nethack

from examples.nethack.observation import KEYS, Observation, Prompt, carried, killer_on, observe
from examples.nethack.roster import Character

#: Nothing here asks a question that a hero has no answer to, and nothing reads what another game left behind.
OPTIONS = (
    "autopickup", "pickup_types:$?!/=\"+", "pickup_burden:unencumbered", "autoquiver", "time", "showexp", "showscore",
    "nolegacy", "nosparkle", "nocmdassist", "nobones", "nomail", "nonews", "tombstone",
    "disclose:-i -a -v -g -c -o",
)  # fmt: skip

_NEXT_PAGE = nethack.TextCharacters.SPACE

# A game that has ended shows a tombstone, a farewell and a list of heroes: a handful of pages.
_PAGES_MAX = 40


class Game:
    """A game of NetHack from the first turn to the death of its hero; the same seed and keys play the same game."""

    def __init__(self, character: Character, seed: int) -> None:
        self._nethack = nethack.Nethack(
            observation_keys=KEYS,
            playername=f"{character.name}-{character.code}",
            ttyrec=None,
            options=OPTIONS,
            fix_moon_phase=True,
        )
        self._nethack.set_initial_seeds(core=seed, disp=seed, reseed=False)
        self._arrays = dict(zip(KEYS, self._nethack.reset(), strict=True))
        self._pack = b""
        self._items = carried(self._arrays)
        self.last = self._observe()

    def press(self, key: int) -> Observation:
        """Press one key and look. Once `over` is seen the game takes no more keys."""
        _, over = self._nethack.step(key)
        self.last = self._end(over) if over or self._arrays["program_state"][0] else self._observe()
        return self.last

    def close(self) -> None:
        """Give back the game's memory and its scratch folder."""
        self._nethack.close()

    def _observe(self) -> Observation:
        # The pack is by far the costliest to read, and seldom changes.
        pack = b"".join(self._arrays[key].tobytes() for key in ("inv_letters", "inv_strs"))
        if pack != self._pack:
            self._pack, self._items = pack, carried(self._arrays)
        return observe(self._arrays, self._items)

    def _end(self, over: bool) -> Observation:
        # The status is blank from the tombstone on: what the hero was like at the end is what came before.
        final = self._observe() if self._arrays["blstats"][nethack.NLE_BL_DEPTH] else self.last
        killer = ""
        for _ in range(_PAGES_MAX):
            if over:
                break
            _, over = self._nethack.step(_NEXT_PAGE)
            killer = killer or killer_on(row.tobytes() for row in self._arrays["tty_chars"])
            if not over and not self._arrays["program_state"][0]:
                return self._observe()  # An amulet of life saving.
        return replace(final, health=0 if killer else final.health, prompt=Prompt.NONE, killer=killer, over=True)

    def __enter__(self) -> Game:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
