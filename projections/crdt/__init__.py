"""The CRDTs that projections are made of, one a file."""

from projections.crdt.bag import Bag
from projections.crdt.balance import Balance
from projections.crdt.bounded import BoundedBalance
from projections.crdt.first import First
from projections.crdt.grow import Grow
from projections.crdt.highest import Highest
from projections.crdt.keyed import Keyed
from projections.crdt.latest import Latest
from projections.crdt.lowest import Lowest
from projections.crdt.progress import Progress
from projections.crdt.status import Status

__all__ = [
    "Bag",
    "Balance",
    "BoundedBalance",
    "First",
    "Grow",
    "Highest",
    "Keyed",
    "Latest",
    "Lowest",
    "Progress",
    "Status",
]
