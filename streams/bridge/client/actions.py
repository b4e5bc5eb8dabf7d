"""Actions: decisions in effect, fetched each second, validated, done once, and reported."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas import TemporaryError
from streams.bridge.client.files import Appending, line, lines, record
from streams.bridge.client.service import Rejected, Service, Wait
from streams.harmless import harmless

#: Spec A.12.
POLL_S = 1.0
PAGE_ACTIONS = 100
_DETAIL_CHARACTERS_MAX = 2000
_COMPACT_BYTES = 1024 * 1024

_log = logging.getLogger(__name__)


class Refuse(Exception):
    """Raise it for an action that the game's own rules do not allow; the text says why."""


@dataclass(frozen=True, slots=True)
class Action:
    """What is to be done. `content` is what the agent wrote, `about` what of its context is needed to act.

    client, sequence: the event that called for it, the latter as `BridgeClient.put` gave it; "" and 0 when it came to
    the log by another way.
    """

    decision_id: str
    subject: str
    agent: str
    action: str
    content: Mapping[str, Any]
    about: Mapping[str, Any]
    impact: str
    time_ms: int
    client: str = ""
    sequence: int = 0


@dataclass(frozen=True, slots=True)
class Ended:
    """A decision that came to its end, and nothing is to be done. client, sequence: as in an Action."""

    decision_id: str
    subject: str
    agent: str
    reason: str
    time_ms: int
    client: str = ""
    sequence: int = 0


#: Takes note of an end without an effect. Whatever it raises is reported as a mishap, and it is not told again.
Note = Callable[[Ended], None]
#: Does an action, and gives what there is to say of it. Raises Refuse; any other error is a mishap.
Act = Callable[[Action], str | None]
#: Looks at an action before it is done, and gives why not to, or "".
Validate = Callable[[Action], str]


#: Asks the bridge for a page; and takes up one thing that is listed, giving what there is to say of it.
Ask = Callable[[Sequence[tuple[str, str]]], Mapping[str, Any]]
Take = Callable[[Mapping[str, Any]], str]


class ActionPoller:
    """Asks for actions each `poll_s` and has each done at most once, in a thread of its own.

    Before an action is done that is written down: one during which the process died is reported as failed, because
    nobody knows how far it came, and a reward given twice is worse than one that is asked for again.

    validate: looks at each action first.  actions: the names of those that this game can do; None: all.
    ended: is told of decisions that ended without an effect; None: nobody asks.
    subjects: only actions about these.  server: this game server's name.  since_ms: nothing that took effect before.
    """

    def __init__(
        self,
        service: Service,
        journal: Path,
        act: Act,
        *,
        validate: Validate = lambda action: "",
        actions: Collection[str] | None = None,
        ended: Note | None = None,
        subjects: Collection[str] | None = None,
        server: str = "",
        since_ms: int = 0,
        poll_s: float = POLL_S,
    ) -> None:
        self._service, self._act, self._validate, self._ended = service, act, validate, ended
        self._actions, self._server, self._poll_s = actions, server, poll_s
        self._asked = [("limit", str(PAGE_ACTIONS)), ("since_ms", str(since_ms))]
        self._asked += [("subjects", subject) for subject in subjects or ()]
        self._file = Appending(journal)
        # Done and not yet reported, by decision; and reported, which the bridge may list a moment longer.
        self._done: dict[str, dict[str, str]] = {}
        self._reported: set[str] = set()
        self._recover(journal)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="norn-bridge-actions", daemon=True)
        self._thread.start()

    def _recover(self, journal: Path) -> None:
        begun: set[str] = set()
        for _, text in lines(journal):
            found = record(text) or {}
            if "begun" in found:
                begun.add(found["begun"])
            elif "decision_id" in found:
                self._done[found["decision_id"]] = found
            elif "reported" in found:
                self._done.pop(found["reported"], None)
                self._reported.add(found["reported"])
        for decision_id in begun - self._reported - self._done.keys():
            self._finish(decision_id, "failed", "the game server died while it was being done")

    def _run(self) -> None:
        while not self._closing.wait(self._poll_s):
            try:
                self._report()
                self._poll()
            except Wait as error:
                self._closing.wait(error.wait_s)
            except (TemporaryError, Rejected) as error:
                _log.warning("no actions at present: %s", error)
            except OSError:
                _log.exception("actions wait: their journal cannot be written")

    def _poll(self) -> None:
        listed = self._go_through(self._service.pending, "actions", self._attempt)
        if self._ended is not None:
            listed |= self._go_through(self._service.ended, "ended", self._note)
        if not self._closing.is_set():
            # What is no longer listed need not be remembered.
            self._forget(listed)

    def _go_through(self, ask: Ask, kind: str, take: Take) -> set[str]:
        """Take up all that is listed of one kind; gives the decisions that are."""
        listed: set[str] = set()
        after: list[tuple[str, str]] = []
        while not self._closing.is_set():
            page = ask([*self._asked, *after])
            for one in page[kind]:
                listed.add(one["decision_id"])
                if one["decision_id"] not in self._done and one["decision_id"] not in self._reported:
                    self._perform(one, take)
            self._report()
            if page["next"] is None:
                break
            after = [("after", page["next"])]
        return listed

    def _perform(self, said: Mapping[str, Any], take: Take) -> None:
        decision_id = said["decision_id"]
        self._file.append(line({"begun": decision_id}), sync=True)
        try:
            self._finish(decision_id, "succeeded", take(said))
        except Refuse as error:
            self._finish(decision_id, "refused", str(error))
        except Exception as error:
            _log.exception("action %s failed", harmless(decision_id))
            self._finish(decision_id, "failed", f"{type(error).__name__}: {error}")

    def _note(self, said: Mapping[str, Any]) -> str:
        assert self._ended is not None, "nobody asks for ends"
        told: dict[str, Any] = {name: str(said[name]) for name in ("decision_id", "subject", "agent", "reason")}
        self._ended(Ended(**told, time_ms=int(said["time_ms"]), **_called(said)))
        return "noted"

    def _attempt(self, said: Mapping[str, Any]) -> str:
        action = _action(said)
        if self._actions is not None and action.action not in self._actions:
            raise Refuse(f"this game cannot do {action.action!r}")
        if why_not := self._validate(action):
            raise Refuse(why_not)
        return self._act(action) or ""

    def _finish(self, decision_id: str, outcome: str, detail: str) -> None:
        said = {
            "decision_id": decision_id,
            "outcome": outcome,
            "detail": detail.replace("\x00", "")[:_DETAIL_CHARACTERS_MAX],
            "server": self._server,
        }
        self._file.append(line(said), sync=True)
        self._done[decision_id] = said

    def _report(self) -> None:
        for decision_id, said in list(self._done.items()):
            try:
                self._service.complete({key: said[key] for key in ("decision_id", "outcome", "detail", "server")})
            except Rejected as error:
                _log.error("the bridge will not hear of action %s: %s", harmless(decision_id), harmless(str(error)))
            self._file.append(line({"reported": decision_id}))
            self._reported.add(decision_id)
            del self._done[decision_id]

    def _forget(self, listed: Collection[str]) -> None:
        if self._file.size > _COMPACT_BYTES:
            self._reported &= set(listed)
            kept = [line(said) for said in self._done.values()]
            self._file.replace(b"".join([*kept, *(line({"reported": one}) for one in sorted(self._reported))]))

    def close(self) -> None:
        """Stop after the action that is being done."""
        self._closing.set()
        self._thread.join()
        self._file.close()


def _action(said: Mapping[str, Any]) -> Action:
    """An action as it was listed. Raises Refuse for one that is not as an action is."""
    try:
        content, about = (json.loads(said[key] or "{}") for key in ("content", "about"))
        action = Action(
            str(said["decision_id"]),
            str(said["subject"]),
            str(said["agent"]),
            str(said["action"]),
            content,
            about,
            str(said["impact"]),
            int(said["time_ms"]),
            **_called(said),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise Refuse(f"it is no action: {error!r}") from None
    if not isinstance(content, dict) or not isinstance(about, dict) or not action.action:
        raise Refuse("content and about are objects, and an action has a name")
    return action


def _called(said: Mapping[str, Any]) -> dict[str, Any]:
    # A bridge of before 0.2 does not say.
    called = said.get("called_by") or {}
    return {"client": str(called.get("client") or ""), "sequence": int(called.get("sequence") or 0)}
