"""A conversation over this process's own standard input and output, under gevent."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping

from gevent.fileobject import FileObjectThread

from harness.core.conversation import Handler, serve

__all__ = ["serve_stdio"]


def serve_stdio(handlers: Mapping[str, Handler]) -> None:
    """Answer requests until the input ends. Whatever else this process prints goes to the standard error."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(name)s %(levelname)s %(message)s"
    )
    # a stray print of any library must not land between two answers
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def write(line: str) -> None:
        answers.write(line)
        answers.flush()

    # read in a real thread: a plain read would stop every greenlet until the harness says something
    requests = FileObjectThread(os.dup(0), "r", encoding="utf-8")
    serve(requests, write, handlers)
