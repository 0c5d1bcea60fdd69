"""A log that cannot be read once, and then can again."""

from state.log import LogError
from state.log.sqlite import SqliteLog


class OnceUnreadableLog(SqliteLog):
    """Fails one of its reads.

    Attributes:
        reads_left: Number of calls of `read` and `end` that succeed before the one that fails.
    """

    reads_left = -1

    def read(self, *given, **named):
        self._fail_once()
        return super().read(*given, **named)

    def end(self, *given):
        self._fail_once()
        return super().end(*given)

    def _fail_once(self):
        self.reads_left -= 1
        if self.reads_left == -1:
            msg = "log must be readable; got an error of its disk"
            raise LogError(msg)
