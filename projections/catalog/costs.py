"""What was spent on what, by hour, in millionths of a US dollar."""

from projections.crdt import Grow
from projections.projection import Projection
from schemas import CostSampled

costs = Projection(
    "costs",
    key=("source", "model", "hour"),
    cost_usd_micros=Grow(CostSampled, "cost_usd_micros"),
    prompt_tokens=Grow(CostSampled, "prompt_tokens"),
    completion_tokens=Grow(CostSampled, "completion_tokens"),
    duration_ms=Grow(CostSampled, "duration_ms"),
    samples=Grow(CostSampled),
)
