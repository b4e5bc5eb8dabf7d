"""A bounded balance: no region can spend what it has no rights to, in any state that any region ever holds."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from projections.crdt import BoundedBalance
from projections.crdt.crdt import State
from projections.errors import RightsExceeded
from schemas import Event, GoldGained, GoldSpent
from tests.projections.worlds import REGIONS

gold = BoundedBalance(plus=(GoldGained, "amount"), minus=(GoldSpent, "amount"))
region, amount = st.sampled_from(REGIONS), st.integers(0, 20)


class Regions(RuleBasedStateMachine):
    """Regions that gain, spend and hand over by themselves, and now and then hear of each other."""

    def __init__(self) -> None:
        super().__init__()
        self.states: dict[str, State] = dict.fromkeys(REGIONS, ())
        self.gained = self.spent = 0

    @rule(region=region, amount=amount)
    def gain(self, region: str, amount: int) -> None:
        self.states[region] = gold.gain(self.states[region], region, amount)
        self.gained += amount

    @rule(region=region, amount=amount)
    def spend(self, region: str, amount: int) -> None:
        rights = gold.rights(self.states[region], region)
        if amount > rights:
            with pytest.raises(RightsExceeded, match="ask another region"):
                gold.spend(self.states[region], region, amount)
        else:
            self.states[region] = gold.spend(self.states[region], region, amount)
            self.spent += amount

    @rule(giver=region, taker=region, amount=amount)
    def hand_over(self, giver: str, taker: str, amount: int) -> None:
        if giver == taker or amount > gold.rights(self.states[giver], giver):
            with pytest.raises(RightsExceeded):
                gold.transfer(self.states[giver], giver, taker, amount)
        else:
            self.states[giver] = gold.transfer(self.states[giver], giver, taker, amount)

    @rule(hears=region, of=region)
    def hear(self, hears: str, of: str) -> None:
        self.states[hears] = gold.join(self.states[hears], self.states[of])

    @invariant()
    def nobody_is_below_zero(self) -> None:
        for state in self.states.values():
            assert all(gold.rights(state, each) >= 0 for each in REGIONS)
            assert gold.value("gold", state)["gold"] >= 0

    @invariant()
    def rights_are_the_balance(self) -> None:
        for state in self.states.values():
            assert sum(gold.rights(state, each) for each in REGIONS) == gold.value("gold", state)["gold"]

    def teardown(self) -> None:
        everything: State = ()
        for state in self.states.values():
            everything = gold.join(everything, state)
        assert gold.value("gold", everything) == {"gold": self.gained - self.spent}


TestRegions = Regions.TestCase
TestRegions.settings = settings(max_examples=40, stateful_step_count=40)


def test_a_fact_that_has_happened_is_folded_even_beyond_the_rights() -> None:
    spent = Event(region="eu", gold_spent=GoldSpent(amount=5))
    assert gold.value("gold", gold.fold((), spent)) == {"gold": -5}
    assert gold.rights(gold.fold((), spent), "eu") == -5


def test_a_region_may_spend_what_another_has_handed_to_it() -> None:
    state = gold.transfer(gold.gain((), "eu", 10), "eu", "us", 4)
    assert (gold.rights(state, "eu"), gold.rights(state, "us")) == (6, 4)
    assert gold.value("gold", gold.spend(state, "us", 4)) == {"gold": 6}
