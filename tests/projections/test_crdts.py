"""What each CRDT promises, in single examples."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from google.protobuf.message import Message

from projections.crdt import Bag, Balance, First, Grow, Highest, Keyed, Latest, Lowest, Progress, Status
from projections.crdt.crdt import Crdt, State
from schemas import (
    DecisionEffective,
    DecisionExpired,
    DecisionProposed,
    DecisionRejected,
    DecisionRequested,
    Event,
    FlagSet,
    GoldGained,
    GoldSpent,
    ItemGained,
    ItemLost,
    ObjectiveCompleted,
    PlaceEntered,
    PlayerDied,
    PlayerLevelled,
    PlayerMoved,
    PlayerScored,
    fact_name,
)


def said(fact: Message, stamp: int = 1, region: str = "eu") -> Event:
    return Event(subject="hero", stamp=stamp, region=region, **{fact_name(fact): fact})


def state(crdt: Crdt, events: Iterable[Event]) -> State:
    held: State = ()
    for event in events:
        held = crdt.fold(held, event)
    return held


def value(crdt: Crdt, *events: Event) -> Any:
    return crdt.value("it", state(crdt, events))


def test_the_latest_stamp_wins_whatever_came_last() -> None:
    place = Latest(PlayerMoved, "zone")
    assert value(place, said(PlayerMoved(zone="new"), 9), said(PlayerMoved(zone="old"), 5)) == {"zone": "new"}


def test_at_equal_stamps_the_greater_region_wins_and_then_the_greater_value() -> None:
    place = Latest(PlayerMoved, "zone")
    assert value(place, said(PlayerMoved(zone="z"), 5, "eu"), said(PlayerMoved(zone="a"), 5, "us")) == {"zone": "a"}
    assert value(place, said(PlayerMoved(zone="z"), 5), said(PlayerMoved(zone="a"), 5)) == {"zone": "z"}


def test_nothing_is_known_of_what_no_event_has_said() -> None:
    assert Latest(PlayerMoved, "zone", "x").value("it", ()) == {"zone": None, "x": None}
    assert First(PlayerMoved, "zone").value("it", ()) == {"zone": None}
    assert Highest(PlayerLevelled, "level").value("it", ()) == {"it": None}
    assert Status(requested=DecisionRequested).value("it", ()) == {"it": None}
    assert Grow(PlayerDied).value("it", ()) == {"it": 0}


def test_the_first_answer_stays_the_answer() -> None:
    answer = First(DecisionProposed, "action")
    late, early = said(DecisionProposed(action="flee"), 7), said(DecisionProposed(action="fight"), 3)
    assert value(answer, late, early) == {"action": "fight"}
    assert answer.join(state(answer, [late]), state(answer, [early])) == state(answer, [early])


def test_a_level_never_falls_and_a_low_never_rises() -> None:
    heard = [said(PlayerLevelled(level=level)) for level in (3, 9, 4)]
    assert value(Highest(PlayerLevelled, "level"), *heard) == {"it": 9}
    assert value(Lowest(PlayerLevelled, "level"), *heard) == {"it": 3}


def test_a_score_is_the_sum_of_all_regions() -> None:
    score = Grow(PlayerScored, "points")
    assert value(score, said(PlayerScored(points=3), region="eu"), said(PlayerScored(points=4), region="us")) == {
        "it": 7
    }


def test_copies_of_one_regions_count_are_not_counted_twice() -> None:
    score = Grow(PlayerScored, "points")
    held = state(score, [said(PlayerScored(points=3)), said(PlayerScored(points=4))])
    earlier = state(score, [said(PlayerScored(points=3))])
    assert score.value("it", score.join(held, earlier)) == {"it": 7}


def test_a_balance_is_what_came_in_less_what_went_out() -> None:
    gold = Balance(plus=(GoldGained, "amount"), minus=(GoldSpent, "amount"))
    assert value(gold, said(GoldGained(amount=10)), said(GoldSpent(amount=14), region="us")) == {"it": -4}


def test_an_item_gained_here_and_lost_there_is_nowhere() -> None:
    bag = Bag(add=(ItemGained, "item_id"), remove=(ItemLost, "item_id"))
    gone = (said(ItemGained(item_id="axe"), region="eu"), said(ItemLost(item_id="axe"), region="us"))
    assert value(bag, *gone) == {"it": {}}
    assert value(bag, *reversed(gone)) == {"it": {}}


def test_what_a_bag_has_lost_leaves_nothing_behind() -> None:
    bag = Bag(add=(ItemGained, "item_id"), remove=(ItemLost, "item_id"))
    events = [said(kind(item_id=f"item-{n}")) for n in range(1000) for kind in (ItemGained, ItemLost)]
    assert state(bag, events) == (("eu", (2000, ())),)


def test_a_lost_item_does_not_come_back_from_an_older_copy() -> None:
    bag = Bag(add=(ItemGained, "item_id"), remove=(ItemLost, "item_id"))
    older = state(bag, [said(ItemGained(item_id="axe"))])
    newer = bag.fold(older, said(ItemLost(item_id="axe")))
    assert bag.value("it", bag.join(newer, older)) == bag.value("it", bag.join(older, newer)) == {"it": {}}


def test_a_quantity_of_nothing_is_one() -> None:
    bag = Bag(add=(ItemGained, "item_id"), remove=(ItemLost, "item_id"), quantity="quantity", detail="kind")
    many, one = said(ItemGained(item_id="a", kind="arrow", quantity=12)), said(ItemLost(item_id="a", kind="arrow"))
    assert value(bag, many, one) == {"it": {("a", "arrow"): {"quantity": 11}}}


def test_each_entry_of_a_map_grows_by_itself() -> None:
    places = Keyed(entry="zone", visits=Grow(PlaceEntered), deaths=Grow(PlayerDied))
    log = [said(PlaceEntered(zone=zone), region=region) for zone, region in (("a", "eu"), ("a", "us"), ("b", "eu"))]
    assert value(places, *log, said(PlayerDied(zone="b"))) == {
        "it": {("a",): {"visits": 2, "deaths": 0}, ("b",): {"visits": 1, "deaths": 1}}
    }


def test_what_is_done_anywhere_is_done_and_flags_only_rise() -> None:
    progress = Progress(objectives=(ObjectiveCompleted, "objective"), flags=(FlagSet, "flag", "value"))
    log = [
        said(ObjectiveCompleted(objective="find"), region="eu"),
        said(ObjectiveCompleted(objective="return"), region="us"),
        said(FlagSet(flag="door", value=3), region="us"),
        said(FlagSet(flag="door", value=1), region="eu"),
    ]
    assert value(progress, *log) == {"objectives": {("find",): {}, ("return",): {}}, "flags": {("door",): {"value": 3}}}


def test_a_decision_never_goes_back_and_the_rank_declared_later_wins() -> None:
    status = Status(
        requested=DecisionRequested,
        proposed=DecisionProposed,
        rejected=DecisionRejected,
        expired=DecisionExpired,
        effective=DecisionEffective,
    )
    assert value(status, said(DecisionExpired()), said(DecisionRequested())) == {"it": "expired"}
    assert value(status, said(DecisionExpired(), region="eu"), said(DecisionRejected(), region="us")) == {
        "it": "expired"
    }
