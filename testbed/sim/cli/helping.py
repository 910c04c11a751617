"""What a command line says to ``?``, and how it finishes a word at TAB."""

from __future__ import annotations

from testbed.sim.cli.commands import Command, CommandSession

__all__ = ["complete", "explain"]


def explain(session: CommandSession, line: str) -> str:
    """What may be typed next behind ``line``, a line each, with what it is for."""
    done, begun = _split(line)
    next_words: dict[str, list[Command]] = {}
    for command in session.candidates(f"{done} {begun}"):
        words = command.words.split()
        place = len(done.split())
        word = words[place] if place < len(words) else "<cr>"
        next_words.setdefault(word, []).append(command)
    if not next_words:
        return f"% Unknown command: {line.strip()}\n"
    width = max(len(word) for word in next_words)
    return "".join(
        f"  {word:{width}}  {_about(word, commands)}".rstrip() + "\n"
        for word, commands in sorted(next_words.items())
    )


def complete(session: CommandSession, line: str) -> str:
    """What TAB adds to ``line``: the rest of the word and a space, or what all that fit share."""
    done, begun = _split(line)
    if not begun:
        return ""
    place = len(done.split())
    words = {
        words[place]
        for command in session.candidates(f"{done} {begun}")
        if place < len(words := command.words.split()) and not words[place].startswith("<")
    }
    if len(words) == 1:
        return words.pop()[len(begun) :] + " "
    return _shared(sorted(words))[len(begun) :] if words else ""


def _split(line: str) -> tuple[str, str]:
    """The whole words of the last command on ``line``, and the one that is begun."""
    text = line.rpartition(" ; ")[2]
    done, space, begun = text.rpartition(" ")
    return (done + space).strip(), begun


def _shared(words: list[str]) -> str:
    """What the first and the last of sorted ``words``, and so all, begin with."""
    first, last = words[0], words[-1]
    length = next(
        (place for place, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1]),
        min(len(first), len(last)),
    )
    return first[:length]


def _about(word: str, commands: list[Command]) -> str:
    """What ``word`` is for, where it can stand for one command only."""
    ends = [command for command in commands if word == "<cr>" or command.words.endswith(word)]
    told = ends or commands
    return told[0].help if len(told) == 1 else ""
