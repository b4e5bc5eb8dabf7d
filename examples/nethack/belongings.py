"""Which thing in a pack is which: each gets an id when it is gained, and keeps it until the last of it is gone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from examples.nethack.observation import UNKNOWN_GLYPH, Item
from schemas import ItemGained, ItemLost


@dataclass(frozen=True)
class Belonging:
    """An item and the id it was gained under."""

    item_id: str
    kind: str
    item: Item


@dataclass(frozen=True)
class Belongings:
    """What one hero has, by the letters of the pack, and how many things that hero ever had."""

    owner: str
    by_letter: Mapping[str, Belonging] = field(default_factory=dict)
    ever: int = 0


def exchanged(had: Belongings, items: tuple[Item, ...]) -> tuple[list[ItemGained | ItemLost], Belongings]:
    """What was lost and what was gained between a pack as it was and as it is; and what is had now.

    A stack that grows or shrinks keeps its id; a thing put down and taken up again is gained anew.
    """
    facts: list[ItemGained | ItemLost] = []
    ever = had.ever
    have: dict[str, Belonging] = {}
    for item in items:
        known = had.by_letter.get(item.letter)
        if known is None or not _is_same(known.item, item):
            ever += 1
            have[item.letter] = Belonging(f"{had.owner}:{ever}", item.kind, item)
        else:
            have[item.letter] = Belonging(known.item_id, known.kind, item)
    for letter, known in had.by_letter.items():
        now = have.get(letter)
        left = now.item.quantity if now is not None and now.item_id == known.item_id else 0
        if left < known.item.quantity:
            facts.append(ItemLost(item_id=known.item_id, kind=known.kind, quantity=known.item.quantity - left))
    for letter, now in have.items():
        known = had.by_letter.get(letter)
        before = known.item.quantity if known is not None and known.item_id == now.item_id else 0
        if now.item.quantity > before:
            facts.append(ItemGained(item_id=now.item_id, kind=now.kind, quantity=now.item.quantity - before))
    return facts, Belongings(had.owner, have, ever)


def _is_same(before: Item, now: Item) -> bool:
    """Whether two looks at one letter show one thing: its name may change as the hero learns, its nature may not."""
    seen = (before.glyph, now.glyph)
    return before.object_class == now.object_class and (seen[0] == seen[1] or UNKNOWN_GLYPH in seen)
