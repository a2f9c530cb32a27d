"""What goes wrong, with a name: the codes are those of the gander program."""


class TrainError(Exception):
    """`place` is where (a file and line, a tensor, an option), `problem` what is there, `expected` what should be."""

    def __init__(self, code: str, place: object, problem: str, expected: str) -> None:
        super().__init__(f"{place}: {problem}; expected {expected} [{code}]")
        self.code = code


class Interrupted(Exception):
    """A run was stopped on request, and what it had done is saved."""


def first_line(error: BaseException) -> str:
    """What another library says went wrong, short enough for one line."""
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
