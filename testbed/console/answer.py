"""What comes in answer to one command, its echo taken out."""

from __future__ import annotations

from testbed.console.screen import squeeze

__all__ = ["Answer"]


class Answer:
    """Collects the output of ``command``.

    ``echoes`` says whether the command will be echoed; None: the first line tells.
    """

    def __init__(self, command: str, echoes: bool | None) -> None:
        self.command = command
        self.echoes = echoes
        self.incomplete = False
        self._output: list[str] = []
        self._echo = ""
        self._echo_seen = False

    @property
    def waits_for_echo(self) -> bool:
        """Whether what comes now still answers something older: the echo is due first."""
        return self.echoes is True and not self._echo_seen

    @property
    def plain(self) -> bool:
        """Whether every line from now on is output: no echo is due any more."""
        return self._echo_seen or self.echoes is False

    @property
    def output(self) -> str:
        """What the command printed so far."""
        return "".join(self._output)

    def add_line(self, line: str, arrived: str) -> None:
        """Add a finished line; ``arrived`` is it as it came, before anything was overwritten."""
        if not self._is_echo(arrived):
            self._output.append(line + "\n")

    def add_rest(self, text: str) -> None:
        """Add a last line that no line end finished."""
        self._output.append(text)

    def _is_echo(self, arrived: str) -> bool:
        """Whether the line is the echo or part of it, or came before it."""
        if self._echo_seen or self.echoes is False:
            return False
        # A terminal wraps a long echo, and a prompt may stand before it.
        self._echo += squeeze(arrived)
        self._echo_seen = self._echo.endswith(squeeze(self.command))
        if self.echoes is None:
            self.echoes = self._echo_seen
        return self.echoes
