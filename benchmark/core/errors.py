"""The one exception that reaches a person."""

from __future__ import annotations


class BenchmarkError(Exception):
    """A failure that says what, where and what to do, in one line.

    message: what went wrong, with the value that was wrong
    where: stage, client, file or tree path, "" if the message names it
    hint: what to do about it
    user: True for a mistake of the user (exit code 2), False for a failed run (exit code 1)
    """

    def __init__(self, message: str, *, where: str = "", hint: str = "", user: bool = True) -> None:
        super().__init__(message, where, hint, user)
        self.message, self.where, self.hint, self.user = message, where, hint, user

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (self.message, self.where, self.hint, self.user)

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" if self.where else self.message
        text = f"{text}; {self.hint}" if self.hint else text
        return " ".join(text.split())


def _rebuild(message: str, where: str, hint: str, user: bool) -> BenchmarkError:
    return BenchmarkError(message, where=where, hint=hint, user=user)


class Diverged(BenchmarkError):
    """A loss or an upload that is not finite: the cell ends with status `diverged`."""

    def __init__(self, message: str, *, where: str = "") -> None:
        super().__init__(message, where=where, user=False)

    def __reduce__(self) -> tuple[object, ...]:
        return _diverged, (self.message, self.where)


def _diverged(message: str, where: str) -> Diverged:
    return Diverged(message, where=where)
