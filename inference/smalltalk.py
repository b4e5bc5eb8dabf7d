"""Small talk: what players often say, and what an NPC says to it without a model."""

from __future__ import annotations

import re
from typing import NamedTuple

# So many examples are shown: the nearest last, where a small model looks first.
_SHOWN = 3
_WORD = re.compile(r"\w+")
_NO = re.compile(r"\b(no|not|never|nobody|nothing|none|without|cannot|\w+n't)\b", re.IGNORECASE)


class Retort(NamedTuple):
    """An NPC's ready answer: what it does, what it says, and in which mood."""

    action: str
    line: str
    mood: str


# The first pattern that fits, of those whose action is open to the NPC, is what was meant.
_OFTEN = {
    re.compile(pattern, re.IGNORECASE): retort
    for pattern, retort in {
        r"\b(kill you|attack|or else|or die|rob|burn)\b": Retort(
            "warn", "Lay hands on nobody here, or you will regret it.", "angry"
        ),
        r"^(hello|hi|hail|good (day|morning|evening)|greetings|well met)\b": Retort(
            "answer", "Well met, traveller.", "friendly"
        ),
        r"\b(farewell|fare you well|goodbye|so long|until we meet|see you)\b": Retort(
            "answer", "Go safely, and come back alive.", "friendly"
        ),
        r"\b(thanks?|thank you|i owe you)\b": Retort("answer", "You are welcome, traveller.", "friendly"),
        r"\b(buy|sell|price|cost|wares|charge)\b": Retort("trade", "Show me, and we shall agree on a price.", "calm"),
        r"\b(bless|pray|prayer|curse)\b": Retort("bless", "May your god watch over you.", "calm"),
        r"\b(shop|shopkeeper|smith|merchant|sword|armou?r)\b": Retort(
            "gossip", "Ask the shopkeeper for that, not me.", "friendly"
        ),
        r"\b(altar|priest|temple|gods?|holy)\b": Retort("gossip", "A priest would know, go and ask one.", "calm"),
        r"\b(down|deeper|below)\b": Retort("answer", "Where the air grows cold, there the way leads down.", "calm"),
        r"\b(up|above|surface|home)\b": Retort("answer", "Where the air grows warm, there the way leads up.", "calm"),
        r"\b(hurt|heal|healing|healer|wounds?|wounded|bleeding|bandage)\b": Retort(
            "answer", "Rest here a while, and let me see to that.", "friendly"
        ),
        r"\b(food|eat|hungry|starving|bread|meal)\b": Retort(
            "answer", "There is bread and stew, sit down and eat.", "friendly"
        ),
        r"\b(danger|dangerous|dangers|safe|lurks|monsters?|beware|careful|watch out)\b": Retort(
            "warn", "Nobody is safe down there, keep your eyes open.", "calm"
        ),
        r"\b(train|training|teach|learn|lessons?|master)\b": Retort(
            "answer", "Practise on rats first, and come back with scars.", "calm"
        ),
        r"\b(quest|task|work|job|errand)\b": Retort(
            "gossip", "Somebody at the inn always needs a sword arm.", "friendly"
        ),
        r"\b(dead|died|fell|fallen|grave|rest in peace|buried|mourn)\b": Retort(
            "answer", "May those who fell rest in peace.", "calm"
        ),
        r"\b(come with|join|together|company|companion|side by side)\b": Retort(
            "refuse", "My place is here, go with good luck.", "calm"
        ),
        r"\b(rumou?rs?|news|heard|stories|tales?|say about|tell me)\b": Retort(
            "gossip", "They say that something stirs below, and they whisper when they say it.", "calm"
        ),
        r"\b(slain|slew|killed|champion|greatest|strongest|mightiest|defeated)\b": Retort(
            "answer", "A fine deed, and a fine tale for the fire.", "friendly"
        ),
    }.items()
}


# The same with a "no" in it, which turns what is meant around.
_DENIED = {
    re.compile(pattern, re.IGNORECASE): retort
    for pattern, retort in {
        r"\b(pay|gold|buy|price|deal|offer|much|worth)\b": Retort(
            "answer", "Then keep your gold, and good day to you.", "calm"
        ),
        r"\b(heal|healing|healer|bandage|hurt|help|wounds?|potion)\b": Retort(
            "answer", "As you wish, I shall stay away.", "calm"
        ),
        r"\b(fight|harm|war|sword|quarrel|enemy|blood)\b": Retort(
            "answer", "Then put away your sword and be welcome.", "friendly"
        ),
        r"\b(monsters?|danger|left|safe|lurks|moves|alive|fear)\b": Retort(
            "answer", "Good to hear, then I shall sleep the better.", "friendly"
        ),
        r"\b(company|companion|alone|help|with me|follow)\b": Retort(
            "answer", "Then go alone, and go with luck.", "calm"
        ),
        r"\b(quest|task|work|errand|job)\b": Retort("answer", "Then another will take it, go your way.", "calm"),
    }.items()
}


def retort(said: str, legal_actions: tuple[str, ...]) -> Retort | None:
    """The ready answer to what was said; None when it is none of the usual."""
    usual = _DENIED if _NO.search(said) else _OFTEN
    return next((r for often, r in usual.items() if r.action in legal_actions and often.search(said)), None)


# What was said and how it was answered: for a model to see how it is done.
_SOLVED = (
    ("Who lives here?", Retort("gossip", "Only rats and old men, and they say little.", "friendly")),
    ("Give me your armour!", Retort("refuse", "No, my armour stays with me.", "calm")),
    ("I stole your purse.", Retort("arrest", "You are coming with me, thief.", "angry")),
    ("I will burn your house!", Retort("warn", "Put out that torch, or I shall call the guard.", "angry")),
    ("I do not want a fight.", Retort("answer", "Then put away your sword and be welcome.", "friendly")),
    ("Can I buy a rope for 10 gold?", Retort("trade", "A rope is worth that, let me see your gold.", "friendly")),
    ("I want to pray to the god of war.", Retort("bless", "Kneel at the altar, and your god will hear you.", "calm")),
    ("I will not pay that much.", Retort("answer", "Then keep your gold, and good day to you.", "calm")),
    ("Do not touch me, I am well.", Retort("answer", "As you wish, I shall stay away.", "calm")),
    ("My friend is dead.", Retort("answer", "May your friend rest in peace.", "calm")),
    ("Will you come with me?", Retort("refuse", "My place is here, go with good luck.", "calm")),
    ("Is it safe down there?", Retort("warn", "Nobody is safe there, keep your eyes open.", "calm")),
    ("Help, I am hurt!", Retort("answer", "Rest here by the fire, you are safe now.", "friendly")),
    ("Where are the stairs up?", Retort("answer", "Follow the long wall to the east.", "friendly")),
)


def likest(said: str, legal_actions: tuple[str, ...]) -> list[tuple[str, Retort]]:
    """The solved examples with most words in common with what was said, the likest last."""
    words = set(_WORD.findall(said.lower()))
    legal = [example for example in _SOLVED if example[1].action in legal_actions]
    return sorted(legal, key=lambda example: _likeness(words, set(_WORD.findall(example[0].lower()))))[-_SHOWN:]


def _likeness(one: set[str], other: set[str]) -> float:
    return len(one & other) / len(one | other)
