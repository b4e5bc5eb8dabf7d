"""Stories: the words of story arcs: of each theme the chapters, of each choice the ways on, and how it all may end.

`{foe}` stands for the antagonist, `{prize}` for what is fought over.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

#: How a story is told: a storyline sets out in one tone, and what the players choose may turn it into another.
Tone = Literal["grim", "hopeful", "wry"]
TONES: tuple[Tone, ...] = get_args(Tone)
# A question to the players, and the branches they choose from.
Choice = tuple[str, tuple[str, ...]]
# What is told of a branch, the tone it sets, and the objective that it turns the next chapter to, if it does.
Way = tuple[str, Tone | None, tuple[str, str] | None]

#: How a chapter ends in which too few did too little, and how one ends well that offers no choice.
LOST = "lost"
HELD = "held"

#: Each theme: what an arc of it is called for want of a better title, what is fought over, and its chapters.
STORIES: Mapping[str, tuple[str, str, tuple[tuple[str, str], ...]]] = {
    "invasion": (
        "The War of the Stairs",
        "the war horn",
        (
            ("Smoke on the Stairs", "Scouts of {foe} are seen on the upper levels."),
            ("The First Night", "{foe} comes in force, and takes the stairs."),
            ("Behind the Lines", "In the halls that fell, some still hide and wait."),
            ("The Horn", "Whoever holds the war horn commands the horde."),
            ("The Last Stair", "All that is left stands between {foe} and the sky."),
        ),
    ),
    "plague": (
        "The Year of the Flask",
        "the cure",
        (
            ("A Cough in the Dark", "The first fall sick, and {foe} is said to be near."),
            ("The Closed Doors", "Level after level is shut, with heroes on both sides."),
            ("The Healer's Debt", "A healer knows more of {foe} than is told."),
            ("One Flask", "There is a cure, and it is enough for few."),
            ("The Well", "What {foe} put into the deep well must be drawn out."),
        ),
    ),
    "treasure": (
        "The Crown Below",
        "the crown",
        (
            ("Half a Map", "A torn map turns up, and {foe} wants it."),
            ("The Other Half", "Two bands dig in the same halls."),
            ("False Gold", "Someone has sold the way to {foe}."),
            ("The Vault", "The vault is open, and the crown lies in it."),
            ("The Way Out", "{foe} waits where the treasure must pass."),
        ),
    ),
    "awakening": (
        "The Broken Seal",
        "the seal",
        (
            ("Bad Dreams", "All sleepers dream of {foe}."),
            ("The Shaking", "Walls move that stood for ages."),
            ("The Old Pact", "The dead knew how {foe} was bound, and would tell."),
            ("The Seal", "The seal can be mended, moved or broken."),
            ("Eyes Open", "{foe} wakes."),
        ),
    ),
    "betrayal": (
        "The Black Ledger",
        "the ledger",
        (
            ("A Friend Is Missing", "One who knew every secret is gone, and {foe} grows bold."),
            ("Whispers", "Someone opens the gates at night."),
            ("The Trial", "Three stand accused of serving {foe}, and one did."),
            ("The Ledger", "Every name and every price is written in one book."),
            ("The Reckoning", "{foe} comes for what was paid for."),
        ),
    ),
}

#: The chapters that end in a choice, and its options; that of the third is for a crowd.
CHOICES: Mapping[int, Choice] = {
    2: ("How shall {foe} be met?", ("strike", "fortify", "parley")),
    3: ("Whose word shall be taken?", ("elders", "stranger")),
    4: ("What shall become of {prize}?", ("destroy", "keep", "return")),
}
#: Where each branch leads: one without an objective goes straight on to that of the next chapter.
WAYS: Mapping[str, Way] = {
    HELD: ("The heroes held.", None, None),
    LOST: ("Too few heroes did too little.", "grim", None),
    "strike": ("The heroes struck first.", "grim", None),
    "fortify": ("The heroes dug in.", "wry", ("fetch", "Bring gold for walls and wards.")),
    "parley": ("The heroes sent an envoy.", "hopeful", ("explore", "See where the envoy went.")),
    "elders": ("The elders' word was taken.", "hopeful", None),
    "stranger": ("The stranger was believed.", "wry", ("explore", "See the halls of which the stranger spoke.")),
    "destroy": ("{prize} was broken.", "grim", None),
    "keep": ("{prize} was kept.", "wry", ("hunt", "Gain a level: {foe} comes to take {prize}.")),
    "return": ("{prize} was given back.", "hopeful", ("explore", "Walk before {prize} on its way home.")),
}
#: What each chapter asks for where no quest was designed for it.
OBJECTIVES = (
    ("explore", "See one of the places that are spoken of."),
    ("fetch", "Bring gold for what is to come."),
    ("hunt", "Gain a level before the fight."),
    ("descend", "Go deeper than ever before."),
    ("descend", "Go down to face {foe}."),
)
#: What a quest of each kind asks for.
TASKS = {
    "explore": "See halls on level {depth} and below.",
    "fetch": "Bring gold for those who need it.",
    "rally": "Show everybody that the heroes are there.",
    "hunt": "Gain levels for the fight.",
    "escort": "Lead those who are lost through level {depth} and below.",
    "guard": "Stand against {foe} on level {depth} and below.",
}
#: How an arc ends, by how its last chapter ended and by the tone that prevailed on the way there.
ENDINGS: Mapping[str, Mapping[Tone, str]] = {
    HELD: {
        "grim": "{foe} is beaten, and there are many to bury.",
        "hopeful": "{foe} is beaten, and old enemies share a fire.",
        "wry": "{foe} is beaten, and everybody says that it was them.",
    },
    LOST: {
        "grim": "{foe} has won, for now.",
        "hopeful": "{foe} has won, and let the heroes go.",
        "wry": "{foe} has won, and has no use for it.",
    },
}
