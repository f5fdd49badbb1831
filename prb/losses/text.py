"""Sums of losses as text: what `prb.losses.made` describes, read into terms; names are not looked up here."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from prb.errors import ParameterError

LONGEST = 300  # characters, so that nothing is nested too deeply
TOKEN = re.compile(r"\s*((?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[A-Za-z_]\w*|\S)")


class Term(NamedTuple):
    """factor * name=option:(sum of inner). An empty name: a sum in brackets. inner: none for a loss."""

    factor: float
    name: str
    option: int | float | str | None
    inner: Sequence["Term"]


def parsed(text: str) -> list[Term]:
    """The terms of a text. Raises ParameterError."""
    if len(text) > LONGEST:
        raise ParameterError(f"loss: a text of {len(text)} characters is too long; compose it in Python")
    return _Reader(text).whole()


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: list[str] = TOKEN.findall(text)

    def whole(self) -> list[Term]:
        found = self._sum()
        if self._next():
            raise self._wrong("'+' or the end")
        return found

    def _sum(self) -> list[Term]:
        found = [self._term()]
        while self._taken("+"):
            found.append(self._term())
        return found

    def _term(self) -> Term:
        if not _is_number(self._next()):
            return self._part(1.0)
        factor = float(self._tokens.pop(0))
        if not self._taken("*"):
            raise self._wrong("'*' behind the factor")
        return self._part(factor)

    def _part(self, factor: float) -> Term:
        if self._taken("("):
            inner = self._sum()
            if not self._taken(")"):
                raise self._wrong("')'")
            return Term(factor, "", None, inner)
        if not self._next().isidentifier():
            raise self._wrong("a loss or a filter")
        name = self._tokens.pop(0)
        option = self._option() if self._taken("=") else None
        return Term(factor, name, option, [self._part(1.0)] if self._taken(":") else [])

    def _option(self) -> int | float | str:
        text = self._next()
        if not (_is_number(text) or text.isidentifier()):
            raise self._wrong("a value behind '='")
        self._tokens.pop(0)
        return text if text.isidentifier() else int(text) if text.isdecimal() else float(text)

    def _next(self) -> str:
        return self._tokens[0] if self._tokens else ""

    def _taken(self, token: str) -> bool:
        """Whether that is next; it has been taken then."""
        if self._next() != token:
            return False
        self._tokens.pop(0)
        return True

    def _wrong(self, expected: str) -> ParameterError:
        got = repr(self._next()) if self._tokens else "the end"
        example = "write it as in 'l2 + 0.1*multiscale:l1'"
        return ParameterError(f"loss: {self._text!r}: expected {expected}, got {got}; {example}")


def _is_number(token: str) -> bool:
    return token[:1].isdigit() or (token[:1] == "." and len(token) > 1)
