"""The wire format between the harness and the programs beside the containers: one JSON object a line.

Request `{"id": 7, "op": "inject", "args": {...}}`; answer `{"id": 7, "ok": true, "result": {...}}` or
`{"id": 7, "ok": false, "error": "...", "kind": "ValueError"}`. It runs over the standard input and output of a
container, so it needs no port and works wherever the engine is.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from harness.errors import HarnessError, PeerError

__all__ = ["Handler", "answer", "answered_number", "parse_answer", "request", "serve"]

#: Takes the arguments of a request by keyword, returns a JSON-able mapping.
Handler = Callable[..., Mapping[str, Any]]


def request(number: int, op: str, args: Mapping[str, Any]) -> str:
    """A request as one line."""
    return json.dumps({"id": number, "op": op, "args": dict(args)}, separators=(",", ":")) + "\n"


def parse_answer(line: str, number: int, peer: str) -> Mapping[str, Any]:
    """The result in an answer to request `number`; raises `PeerError` for an error or a line that is none."""
    try:
        record = json.loads(line)
        if record["id"] != number:
            raise PeerError(f"{peer} answered request {record['id']} where {number} was expected")
        if record["ok"]:
            result: Mapping[str, Any] = record["result"]
            return result
        raise PeerError(f"{peer}: {record['error']}", detail=record.get("detail", ""))
    except (ValueError, KeyError, TypeError) as error:
        raise PeerError(f"{peer} wrote something that is not an answer: {line[:200]!r}") from error


def answered_number(line: str) -> int:
    """Which request a line answers; for a line that is no answer a number larger than any, so that it is looked at."""
    try:
        return int(json.loads(line)["id"])
    except (ValueError, KeyError, TypeError):
        return sys.maxsize


def answer(line: str, handlers: Mapping[str, Handler]) -> str:
    """Carry out one request and return the answer as one line; an exception becomes an error answer."""
    number: object = None
    try:
        record = json.loads(line)
        number, op, args = record["id"], record["op"], record["args"]
        if op not in handlers:
            raise ValueError(f"unknown request {op!r}; known: {', '.join(sorted(handlers))}")
        body: dict[str, Any] = {"id": number, "ok": True, "result": dict(handlers[op](**args))}
    except HarnessError as error:
        body = {"id": number, "ok": False, "error": error.message, "detail": error.detail}
    except Exception as error:  # the loop must outlive any single request; the asker gets the error
        body = {"id": number, "ok": False, "error": f"{type(error).__name__}: {error}"}
    return json.dumps(body, separators=(",", ":")) + "\n"


def serve(lines: Iterable[str], write: Callable[[str], None], handlers: Mapping[str, Handler]) -> None:
    """Answer requests until the input ends, which means that the harness is gone.

    Every program answers `ping`, with its monotonic and its wall clock: a sign of life, and how clocks are compared.
    """
    known = {"ping": lambda: {"now_ns": time.monotonic_ns(), "wall_ns": time.time_ns()}, **handlers}
    for line in lines:
        if line.strip():
            write(answer(line, known))
