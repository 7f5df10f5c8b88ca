"""An error that nobody foresaw, in a command whose exit status 1 is an answer."""


class UnforeseenError(Exception):
    """Raised from the error itself; `status` is how the command ends where it has no answer."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status
