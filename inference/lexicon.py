"""Lexicon: the ways in which players write the same thing. Whatever is not listed here makes a difference."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


NEGATIONS = _set("not no never none nobody nothing nowhere neither nor without hardly barely scarcely refuse deny stop")
#: Who acts and who is acted upon; every form is its own, since "I saw him" is not "he saw me".
ACTORS = _set(
    "i me my mine myself you your yours yourself he him his himself she her hers herself it its itself we us our ours"
    " ourselves they them their theirs themselves who whom whose somebody someone anybody anyone everybody everyone"
)
#: Of these a question has one, and a question in a question has it elsewhere: "where is he", "tell me where he is".
BE = _set("am is are was were")
QUESTION_WORDS = _set("what where when why how who whom whose which")
AUXILIARIES = BE | _set("do does did can could will would shall should may might must have has had")
#: What follows an auxiliary at the start of a question, so that "have mercy" is none.
SUBJECTS = _set("i you he she it we they the a an this that these those there my your his her our their any")

#: One word for another, whatever stands around it.
WORDS: Mapping[str, str] = {
    **dict.fromkeys(["hi", "hey", "hiya", "howdy", "greetings", "hail"], "hello"),
    **dict.fromkeys(["bye", "farewell", "cya"], "goodbye"),
    **dict.fromkeys(["thx", "thanx"], "thanks"),
    **dict.fromkeys(["yeah", "yep", "yup", "aye"], "yes"),
    **dict.fromkeys(["nope", "nay"], "no"),
    **dict.fromkeys(["pls", "plz", "kindly"], "please"),
    "okay": "ok",
    "store": "shop",
    "purchase": "buy",
    "slay": "kill",
    "traveller": "traveler",
    "armour": "armor",
    "rumour": "rumor",
    "rumours": "rumors",
    "grey": "gray",
    "an": "a",
    "u": "you",
    "ur": "your",
    "whats": "what is",
    "wheres": "where is",
    "im": "i am",
    "ive": "i have",
    "youre": "you are",
    "dont": "do not",
    "doesnt": "does not",
    "didnt": "did not",
    "cant": "can not",
    "isnt": "is not",
    "arent": "are not",
    "wasnt": "was not",
    "wouldnt": "would not",
    "cannot": "can not",
    "can't": "can not",
    "won't": "will not",
    "shan't": "shall not",
    "let's": "let us",
    "wanna": "want to",
    "gonna": "going to",
    "gimme": "give me",
    "lemme": "let me",
    "dunno": "do not know",
}
#: What an apostrophe shortens; 's and 'd are not here, because they shorten more than one thing.
SHORTENED: Mapping[str, str] = {"n't": "not", "'m": "am", "'re": "are", "'ve": "have", "'ll": "will"}

_SMALL = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
_TENS = "thirty forty fifty sixty seventy eighty ninety"
_ORDINALS = "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth"
_ENDINGS = {1: "st", 2: "nd", 3: "rd"}
NUMBERS: Mapping[str, str] = {
    **{word: str(number) for number, word in enumerate(f"{_SMALL} seventeen eighteen nineteen twenty".split())},
    **{word: str(number) for word, number in zip(_TENS.split(), range(30, 100, 10), strict=True)},
    **{word: f"{number}{_ENDINGS.get(number, 'th')}" for number, word in enumerate(_ORDINALS.split(), start=1)},
    "hundred": "100",
    "thousand": "1000",
    "dozen": "12",
}

_ASKING = rf"(?=(?:{'|'.join(sorted(QUESTION_WORDS))}) )"
# Who is asked "do you know what you are doing?" is not asked what they are doing; of a place or a number they are.
_PLACE = r"(?=(?:where|when|how (?:far|long|many|much|old|deep)) (?!to ))"
_DETERMINER = r"(?=(?:the|a|my|your|his|her|our|their|this|that|these|those) )"
_PERSON = r"(?:my |good |dear )?(?:friend|sir|madam|stranger|mate|buddy)"
_POLITE = "(?:please , |please )?"

#: Phrases that say the same, with what stands for them all, applied in this order to a sentence in plain words. A
#: replacement that begins with "?" makes the sentence a question, one with "!" a request.
PHRASES: Sequence[tuple[re.Pattern[str], str]] = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"^where 's ", "where is "),
        (rf"^(what|who|how|that) 's {_DETERMINER}", r"\1 is "),
        (r"\b(i|we) 'd (?=like |love |rather )", r"\1 would "),
        (r"\bthank you(?: very much| so much)?\b", "thanks"),
        (r"^many thanks\b", "thanks"),
        (r"^(?:see you|fare you well|good bye)$", "goodbye"),
        (r"^hello there$", "hello"),
        (r"^hello (?:there )?, (?=\S+ \S)", ""),
        (r"^(?:excuse me|pardon me|oh|ah|um|uh|er|hmm) ,? ?(?=\S)", ""),
        (r"^well , ", ""),
        (rf"^{_PERSON} , (?=\S)", ""),
        (rf"(?<=\S) , {_PERSON}$", ""),
        (rf"^{_POLITE}(?:can|could|would|will) you {_POLITE}(?:tell|show) me {_ASKING}", "?"),
        (rf"^{_POLITE}tell me ,? ?{_POLITE}{_ASKING}", "?"),
        (rf"^do you (?:happen to )?know {_PLACE}", "?"),
        (rf"^(?:do you have )?any idea {_PLACE}", "?"),
        (rf"^i (?:want|need|would like) to know {_ASKING}", "?"),
        (rf"^i (?:wonder|was wondering) {_PLACE}", "?"),
        (r"^(?:can|could|would|will) you please ", "!"),
        (r"^(?:can|could|would|will) you (.+?)(?<! you) ,? ?please$", r"!\1"),
        (r"^please ,? ?(?!the |a |me$|him$|her$|them$|my |your )(?=\S)", ""),
        (r"(?<=\S)(?<! you)(?<! to)(?<! we)(?<! i) ,? ?please$", ""),
        (r"^where (?:can|could|do|would|might) (?:i|one) find ", "where is "),
        (r"^(what|where|when|why|how|who|which) do (i|you|we|they) ", r"\1 \2 "),
        (r"^(?:how much|what) does (.+) cost$", r"how much is \1"),
        (r"^how much do (.+) cost$", r"how much are \1"),
        (r"^what is the price of (.+)$", r"how much is \1"),
        (r"^what (?:you know|can you tell me) about ", "?tell me about "),
        (r"^(?:do you know|(?:can you |could you )?tell me) (?:anything|something) about ", "?tell me about "),
        (r"^(?:can|could|would) you tell me about ", "?tell me about "),
        (r"^i (?:want|would like) to (?:know|hear) about ", "?tell me about "),
        (r"^tell me about ", "?tell me about "),
        (r"\b(i|we) would like (?=to |a |some |the )", r"\1 want "),
        (r"^(?:have you got|do you got) ", "do you have "),
        (r"^got any ", "do you have any "),
    )
)
