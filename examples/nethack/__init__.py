"""A game server that plays NetHack with many heroes at once, and tells Norn what happens to them.

Your own game needs what server.py and changes.py do; the rest is about NetHack.

    server.py        many heroes in one process; publishes each fact with streams.sdk.Producer
    changes.py       what happened between two looks at a hero, as facts; belongings.py does it for the pack
    observation.py   what one look shows
    game.py          one game: keys in, observations out
    hero.py          which key a hero presses next, by the rules of rules.py, on a map read by maps.py,
                     with what the hero remembers in memory.py
    roster.py        who the heroes are
    figures.py       what was played and published, for people and for the demo
"""
