"""Story arcs: what was planned, how far each has come, and how many took part."""

from projections.crdt import First, Grow, Highest, Latest
from projections.projection import Projection
from schemas import ArcStarted, ChapterClosed, ChapterOpened

arcs = Projection(
    "arcs",
    key="arc",
    story=First(ArcStarted, "title", "start_ms", "participation_threshold", "plan"),
    chapter=Latest(ChapterOpened, "chapter", "due_ms"),
    opened=Grow(ChapterOpened),
    closed=Grow(ChapterClosed),
    participants=Grow(ChapterClosed, "participants"),
    participants_most=Highest(ChapterClosed, "participants"),
    last=Latest(ChapterClosed, "branch"),
)
