"""Personal data in text: what could tell a stranger who or where a person is."""

from __future__ import annotations

import re

from inference.disguises import seen, shown
from inference.links import holds_link, holds_numbered_address, opened

# Said aloud: "bob at example dot com"; with a sign or brackets one of the two is enough to tell. A dot before a space
# ends a sentence: it is part of a name only before what is no word.
_AT, _DOT = r"\s?(?:@|[(\[]at[)\]])\s?", r"(?:\.|\s\.\s?|\s?[(\[]dot[)\]]\s?|\sdot\s)"
_SPOKEN = r"[\w.+-] at (?!(?:the|a|an|this|that|one|every|each) )[\w-]{1,63}(?: dot [\w-]{1,63}){0,3} dot [a-z]{2,24}\b"
# "12 dwarves block the road" is no address: no name of a street has these words in it, and where what follows is a word
# of its own, what is counted is no name either.
_NO_NAME = (
    "the|a|an|of|on|in|by|to|at|from|with|and|or|for|this|that|their|our|my|his|her|your|its|no|is|are|hold|block"
)
_NAME = rf"(?!(?:{_NO_NAME}) )[a-z]+"
_STREET = (
    rf"(?:{_NAME} ){{1,3}}(?:street|avenue|boulevard|apartment)|(?:{_NAME}(?<!s) ){{1,2}}(?:lane|drive|court|road)"
)
_SERVICES = "telegram|whatsapp|snapchat|instagram|skype"
# Orcs live in discord and birds twitter: these are services where something is said of an account, or where a capital
# makes a name of them.
_ALSO_WORDS = "discord|twitter"
_MET_THERE = "talk|chat|find|add|join|message|dm|ping|contact|meet|call|reach|write|follow|see|send|look|am|are|'m|'re"
_ACCOUNT = "|".join(
    (
        rf"\b(?:{_SERVICES})\b",
        r"\w\w#\d{4}\b",
        rf"(?:\b(?:{_MET_THERE})\b)[^.!?;]{{0,24}} (?:on|via|over|through) (?:{_ALSO_WORDS})\b",
        rf"\b(?:my|our) (?:{_ALSO_WORDS}) is\b",
        rf"\b(?:what is|what's|give me|tell me|send me|share) your (?:{_ALSO_WORDS})\b",
        rf"\b(?:join|add) (?:(?:my|our|the|us on|me on) )?(?:{_ALSO_WORDS})\b",
        rf"\b(?:{_ALSO_WORDS}) (?:server|account|tag|name|id|channel|handle|username|link|invite)\b",
        rf"\b(?:{_ALSO_WORDS})\s?[:#/@]",
    )
)
_NAMED = re.compile(r"\b(?:on|via|my|your|our|their|his|her) (?:Discord|Twitter)\b")
_BYTE = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
# Patterns begin with the last letter before a sign: from the first of a long word they would look at each again.
_E_MAIL = re.compile(rf"[\w.+-]{_AT}[\w-]{{1,63}}(?:{_DOT}[\w-]{{1,63}})*{_DOT}[a-z]{{2,24}}\b|{_SPOKEN}")
_PATTERNS = {
    "an address on the internet": rf"\b(?:{_BYTE}\.){{3}}{_BYTE}\b",
    "a social security number": r"\b\d{3}-\d{2}-\d{4}\b",
    "a postal address": rf"\b\d{{1,5}}[a-z]? (?:{_STREET})\b",
    "an account with a service": _ACCOUNT,
}
_COMPILED = {kind: re.compile(pattern) for kind, pattern in _PATTERNS.items()}
# Game talk is full of small numbers, so only what has as many digits as a subscriber's number (ITU-T E.164: up to 15).
_TELEPHONE = re.compile(r"(?<![\w.])[+(]?\d(?:[ ().-]{0,2}\d){8,14}(?![\w.])")
_CARD = re.compile(r"(?<!\d)\d(?:[ -]?\d){12,18}(?!\d)")
_IBAN = re.compile(r"\b([a-z]{2})(\d{2})[ ]?((?:[a-z0-9]{4}[ ]?){2,7}[a-z0-9]{1,4})\b")


def personal_data(text: str) -> str:
    """What kind of personal data the text holds; "" when it holds none that this can tell."""
    looked = opened(seen(text))
    if _E_MAIL.search(looked):
        return "an e-mail address"
    if holds_link(text):
        return "a link"
    for kind, pattern in _COMPILED.items():
        if pattern.search(looked):
            return kind
    if holds_numbered_address(looked):
        return "an address on the internet"
    if _NAMED.search(shown(text)):
        return "an account with a service"
    if any(_is_card(found[0]) for found in _CARD.finditer(looked)):
        return "a payment card's number"
    if any(_is_iban(found) for found in _IBAN.finditer(looked)):
        return "a bank account's number"
    return "a telephone number" if _TELEPHONE.search(looked) else ""


def _is_card(text: str) -> bool:
    """Luhn's checksum (ISO/IEC 7812-1): every second digit from the right is doubled, the sum divides by ten."""
    digits = [int(letter) for letter in reversed(text) if letter.isdigit()]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[1::2]]
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0


def _is_iban(found: re.Match[str]) -> bool:
    """The checksum of ISO 13616: moved behind, letters as numbers, the whole leaves 1 when divided by 97."""
    moved = found[3].replace(" ", "") + found[1] + found[2]
    return int("".join(str(int(letter, 36)) for letter in moved)) % 97 == 1
