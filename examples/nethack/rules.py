"""What a hero does, most urgent first: each rule looks at a view and gives the keys of a command, or none."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np
from nle import nethack

from examples.nethack.maps import STEPS, Mask, Place, cells, dead_ends, edges, walkable
from examples.nethack.memory import Memory, View
from examples.nethack.observation import Item

Keys = Sequence[int]
Rule = Callable[[Memory, View], Keys]

YES = ord("y")

_NOTHING: Keys = ()
_HUNGRY, _WEAK = 2, 3
# A god who has just helped is angry at being asked again; after a thousand turns that is nearly always forgiven.
_PRAYER_PAUSE_TURNS = 1000
# Heroes start with 300 turns to wait, of which a god forgives 200 to one in real trouble.
_FIRST_PRAYER_TURN = 110
_SHOT_CELLS = 7
_STOPS_SHOTS = (Place.UNKNOWN, Place.BLOCKED, Place.BOULDER, Place.CLOSED_DOOR, Place.PET, Place.MONSTER)
_KICKS_MAX = 6
# A neighbour's secret is found by one look in seven, so fifteen looks find nine in ten.
_SEARCH: Keys = b"15s"
_REST: Keys = b"20s"
_SEARCHES_HERE = 2
# After so many vain searches of a level what could not be entered deserves another try.
_SEARCHES_MAX = 12
# A corpse is safe to eat for fifty turns; the walk to it and the meal take some.
_FRESH_TURNS = 20
_WHOLESOME = frozenset(
    {
        "newt", "jackal", "fox", "coyote", "sewer rat", "giant rat", "gecko", "iguana", "baby crocodile", "rothe",
        "lichen", "goblin", "hobbit", "gnome", "gnome lord", "hill orc", "rock piercer", "jaguar", "rock mole",
    }
)  # fmt: skip
# Who has searched a level so often in vain will never leave it: a god's meals would only draw that out.
_LOST_SEARCHES = 60
_PICKS = ("pick-axe", "dwarvish mattock", "broad pick")
_READY = ("(in quiver", "(at the ready")
_OFFER = re.compile(r"You see here .*\(for sale, (\d+) zorkmid")
_PRICE = re.compile(r"unpaid, (\d+) zorkmid")


def pray(memory: Memory, view: View) -> Keys:
    """Ask for help when near death, or weak with hunger, if the god may be willing."""
    now = view.now
    is_starving = now.hunger >= _WEAK and view.level.searches.total() < _LOST_SEARCHES
    is_dying = now.health < 6 or now.health * 7 <= now.health_max
    if not (is_starving or is_dying) or now.turn < _FIRST_PRAYER_TURN:
        return _NOTHING
    if memory.prayed_turn is not None and now.turn < memory.prayed_turn + _PRAYER_PAUSE_TURNS:
        return _NOTHING
    memory.prayed_turn = now.turn
    return (nethack.Command.PRAY,)


def drink(memory: Memory, view: View) -> Keys:
    """Hope that an unknown potion heals, when half dead and in danger."""
    potion = view.carried(lambda item: item.object_class == nethack.POTION_CLASS)
    if potion and view.now.health * 3 < view.now.health_max and view.foes:
        return (nethack.Command.QUAFF, ord(potion.letter))
    return _NOTHING


def eat(memory: Memory, view: View) -> Keys:
    """Eat from the pack when hungry; what has died may have been dead for long."""
    if view.now.hunger < _HUNGRY:
        return _NOTHING
    food = view.carried(lambda item: item.object_class == nethack.FOOD_CLASS and not item.kind.endswith("corpse"))
    return (nethack.Command.EAT, ord(food.letter)) if food else _NOTHING


def feast(memory: Memory, view: View) -> Keys:
    """Eat what was killed a moment ago, when hungry."""
    if view.now.hunger < _HUNGRY:
        return _NOTHING
    fresh = {cell for cell, turn in view.level.kills.items() if view.now.turn < turn + _FRESH_TURNS}
    if view.cell in fresh:
        del view.level.kills[view.cell]
        return (nethack.Command.EAT, YES)
    wanted = np.zeros_like(view.here, dtype=np.bool_)
    wanted[[cell for cell in fresh if view.corpse(cell) in _WHOLESOME]] = True
    return _set_out(memory, view, wanted)


def fight(memory: Memory, view: View) -> Keys:
    """Walk into whoever stands beside: the game asks before it lets a hero strike the peaceful."""
    key = view.beside(view.is_foe)
    if not key:
        return _NOTHING
    memory.foe, memory.foe_cell = view.glyph(view.cell + STEPS[key]), view.cell + STEPS[key]
    return (key,)


def shoot(memory: Memory, view: View) -> Keys:
    """Fire what is at the ready at whoever comes in a straight line."""
    if not view.foes or not view.carried(lambda item: any(ready in item.name for ready in _READY)):
        return _NOTHING
    for key, step in STEPS.items():
        for cell in cells(view.cell, step, _SHOT_CELLS):
            if view.is_foe(cell):
                memory.foe = view.glyph(cell)
                return (nethack.Command.FIRE, key)
            if view.places[cell] in _STOPS_SHOTS:
                break
    return _NOTHING


def settle(memory: Memory, view: View) -> Keys:
    """Pay for what was picked up in a shop, or put it back."""
    unpaid = view.carried(lambda item: "(unpaid" in item.name)
    if unpaid is None:
        return _NOTHING
    return (nethack.Command.PAY,) if _price(unpaid) <= view.now.gold else (nethack.Command.DROP, ord(unpaid.letter))


def buy(memory: Memory, view: View) -> Keys:
    """Take what lies here for sale, if there is gold to pay for it."""
    offer = _OFFER.search(view.now.message)
    return (nethack.Command.PICKUP,) if offer and int(offer[1]) <= view.now.gold else _NOTHING


def rest(memory: Memory, view: View) -> Keys:
    """Wait for wounds to heal while nobody is about."""
    now = view.now
    return _REST if now.health * 2 < now.health_max and now.hunger < _HUNGRY and not view.foes else _NOTHING


def kick(memory: Memory, view: View) -> Keys:
    """Kick in a locked door."""
    if "locked" not in view.now.message and "WHAMM" not in view.now.message:
        return _NOTHING
    door = view.cell + STEPS.get(memory.heading, 0)
    view.level.kicks[door] += 1
    if view.places[door] == Place.CLOSED_DOOR and view.level.kicks[door] <= _KICKS_MAX:
        return (nethack.Command.KICK, memory.heading)
    view.level.shut.add(door)
    return _NOTHING


def read(memory: Memory, view: View) -> Keys:
    """Read a scroll to find out what it does, while nobody is about."""
    scroll = view.carried(_is_unread)
    return (nethack.Command.READ, ord(scroll.letter)) if scroll and not view.foes else _NOTHING


def walk_on(memory: Memory, view: View) -> Keys:
    """Take the next step of the walk begun, unless somebody has come to stand there."""
    if memory.walk and view.places[view.cell + STEPS[memory.walk[0]]] == Place.MONSTER:
        memory.walk.clear()
    return _step(memory, view) if memory.walk else _NOTHING


def descend(memory: Memory, view: View) -> Keys:
    """Leave the level by the way down, once it has been looked at for long enough."""
    if view.now.turn < view.level.arrived_turn + memory.patience_turns:
        return _NOTHING
    return leave(memory, view)


def explore(memory: Memory, view: View) -> Keys:
    """Walk to the nearest treasure, or to where the known part of the map ends."""
    wanted = (view.here == Place.TREASURE) | (edges(view.here) & walkable(view.here))
    wanted[list(view.level.visited)] = False
    return _set_out(memory, view, wanted)


def leave(memory: Memory, view: View) -> Keys:
    """Leave the level by the way down, if it is known."""
    if view.cell == view.level.way_down:
        return (nethack.MiscDirection.DOWN,)
    wanted = view.here == Place.WAY_DOWN
    if view.level.way_down:
        wanted[view.level.way_down] = True
    return _set_out(memory, view, wanted)


def hunt(memory: Memory, view: View) -> Keys:
    """Go after whoever is in sight, since they may stand in the way."""
    wanted = np.zeros_like(view.here, dtype=np.bool_)
    wanted[view.foes] = True
    return _set_out(memory, view, wanted)


def shove(memory: Memory, view: View) -> Keys:
    """Push the nearest boulder."""
    return _set_out(memory, view, view.here == Place.BOULDER)


def dig(memory: Memory, view: View) -> Keys:
    """Dig through the floor."""
    pick = view.carried(lambda item: item.kind in _PICKS)
    if pick is None or "here is too hard" in view.now.message:
        return _NOTHING
    return (nethack.Command.APPLY, ord(pick.letter), nethack.MiscDirection.DOWN)


def search(memory: Memory, view: View) -> Keys:
    """Look for hidden doors where corridors end, or else anywhere: a hero comes to this when nothing else is left."""
    level = view.level
    level.searches[view.cell] += 1
    if level.searches[view.cell] % _SEARCHES_HERE:
        return _SEARCH
    if level.searches.total() % _SEARCHES_MAX == 0:
        for forgotten in (level.shut, level.bumps, level.kicks):
            forgotten.clear()
    anywhere: list[int] = np.flatnonzero(walkable(view.here)).tolist()
    ends = [cell for cell in np.flatnonzero(dead_ends(view.here)).tolist() if level.searches[cell] < _SEARCHES_HERE]
    if not anywhere:
        return _SEARCH
    wanted = np.zeros_like(view.here, dtype=np.bool_)
    wanted[ends or [memory.random.choice(anywhere)]] = True
    return _set_out(memory, view, wanted) or _SEARCH


#: Every rule, most urgent first.
RULES: tuple[Rule, ...] = (
    pray, drink, fight, shoot, eat, feast, settle, buy, kick, rest, read, walk_on, descend, explore, leave,
    hunt, shove, dig, search,
)  # fmt: skip


def _set_out(memory: Memory, view: View, wanted: Mask) -> Keys:
    memory.walk = view.way(wanted)
    return _step(memory, view) if memory.walk else _NOTHING


def _step(memory: Memory, view: View) -> Keys:
    key = memory.walk.pop(0)
    memory.heading, memory.stepping_to = key, view.cell + STEPS[key]
    return (key,)


def _is_unread(item: Item) -> bool:
    return item.object_class == nethack.SCROLL_CLASS and item.kind not in ("unlabeled scroll", "scroll of blank paper")


def _price(item: Item) -> int:
    found = _PRICE.search(item.name)
    return int(found[1]) if found else 0
