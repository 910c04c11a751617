"""The command lines that a dialogue can hold: how each is recognised, made ours, and left.

Pure values. A pattern is matched against one line as a terminal shows it, escapes taken out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum

__all__ = [
    "LINUX_SHELL",
    "SIM_CLI",
    "VTYSH",
    "DialogProfile",
    "Sight",
    "is_boot_output",
    "is_login_failure",
]


class Sight(Enum):
    """What an unterminated line, quiet for a while, is taken for."""

    BLANK = "nothing"
    LOGIN = "a login prompt"
    PASSWORD = "a password prompt"  # noqa: S105 - what is seen, not a password
    EXPIRED = "a demand for a new password"
    PROMPT = "a command prompt"
    CONFIG = "a configuration prompt"
    TYPED = "a command that is half typed"
    PAGER = "a pager"
    ENTER = "a request to press Enter"
    AUTOBOOT = "a boot loader's countdown"
    ECHO = "the echo of our own probe"
    OTHER = "a line that is no prompt"


NUDGE_ECHO = "^L"
"""How a terminal line in canonical mode (ECHOCTL) shows the Ctrl-L that a probe sends."""

# "Last login: ..." is a greeting, and no line that waits for a name.
_LOGIN = re.compile(r"(?i)(?!last )(?:.*\S )?(?:login|username|user name):")
_PASSWORD = re.compile(r"(?i)(?:.*\s)?(?:password|passphrase|passcode)(?: for \S+)?:")
_EXPIRED = re.compile(
    r"(?i)(?:.*\s)?(?:new|current|retype|old)(?: new)?(?: unix)? ?password:|.*\(current\).*:"
)
# more, less, most, and the CLIs of network gear (" --More-- ", "<--- More --->", "---(more)---").
_PAGER = re.compile(
    r"(?i)(?:.*[-<(]{1,4}\s?more\s?[->)(0-9%, a-z:/]*|(?:.* )?lines \d+-\d+\b.*|.*\(END\)"
    r"|press any key.*|:)"
)
_STRONG_PAGER = re.compile(r"(?i)(?:\s*-{2,}\s?\(?more|(?:.* )?lines \d+-\d+\b.*|.*\(END\)).*")
_CONFIG = re.compile(r"[\w.@/:-]+\(conf[\w./: -]*\)[#>]|\[edit[^\]]*\]")
_ENTER = re.compile(r"(?i).*(?:press|hit) (?:the )?<?(?:enter|return)>?\b.*")
_AUTOBOOT = re.compile(r"(?i).*(?:autoboot|boot in|will be executed automatically).*\d.*")
# PS2 of the shells, and the prompts of programs that look like a shell's.
_CONTINUED = re.compile(r"(?:[a-z]*quote|heredoc|cmdsubst|pipe|for|while|if|then|do)?>|>>>|\.\.\.")
_TYPED = re.compile(r".*?[#$%>] ?\S.*")

_BOOT = re.compile(
    r"\[ {0,4}0\.\d{6}\]|U-Boot (?:SPL )?20\d\d|Starting kernel|Booting |Linux version \d"
    r"|GNU GRUB|SeaBIOS|\[ {2}OK {2}\] |reboot: |Restarting system|Rebooting|going down"
    r"|Uncompressing|Loading (?:Linux|initial ramdisk)|Bootstrap program|ROMMON"
)
_FAILED_LOGIN = re.compile(
    r"(?i)\s*(?:login (?:incorrect|failed|failure|invalid|timed out)"
    r"|permission denied|access denied|authentication (?:failure|failed)"
    r"|% ?(?:login invalid|bad (?:passwords|secrets)|authentication failed|access denied"
    r"|error in authentication)"
    r"|maximum number of tries|account (?:locked|expired))\b.*"
)

# printk (lib/vsprintf time stamps), RFC 3164-like lines of Cisco-style gear, and FRR's own log.
_INTRUSION = re.compile(
    r"\[ {0,4}\d{1,7}\.\d{6}\](?:\[ *[TC]\d+\])? \S"
    r"|[*.]?[A-Z][a-z]{2} +\d{1,2} (?:\d{4} )?\d\d:\d\d:\d\d(?:\.\d{1,6})?(?: [A-Z]{3,4})?:"
    r" %[A-Z0-9_]+-\d-\w+:"
    r"|\d{4}/\d\d/\d\d \d\d:\d\d:\d\d(?:\.\d+)? [A-Z0-9]+: "
)


def is_boot_output(line: str) -> bool:
    """Whether ``line`` is what firmware, a boot loader or a kernel says on its way up or down."""
    return _BOOT.search(line) is not None


def is_login_failure(line: str) -> bool:
    """Whether ``line`` tells that a login was refused."""
    return _FAILED_LOGIN.fullmatch(line) is not None


@dataclass(frozen=True, slots=True)
class DialogProfile:
    """One flavour of command line.

    ``prompt`` matches a bare prompt. ``enter`` is typed at the first one and makes the shell ours
    (``{nonce}`` stands for the session's nonce); where it is empty the prompt stays the device's.
    ``ready`` matches the prompt from then on: ``{nonce}`` and ``{host}`` are filled in, and the
    group ``status`` is the exit status, if the prompt tells it. Its match must end where the
    prompt ends whatever follows. ``more`` is the prompt of an unfinished command. ``echoes``
    tells whether commands are echoed; None: found out. ``setup``
    commands are run before the first command; ``refusal`` marks an output line by which the
    device refuses a command: its status then is 1. ``leave`` logs out. A command is at most
    ``longest`` bytes; ``pieces`` says whether longer ones can be sent in parts.

    A prompt that ``lesser`` matches has too few rights: ``enable`` is typed there, and
    ``give_back`` where that login was found, in the end. ``pager`` matches what shows, at the
    beginning of a line, that a key is waited for before more is printed: a space is typed.
    """

    name: str
    prompt: re.Pattern[str]
    ready: str
    leave: tuple[str, ...]
    enter: str = ""
    echoes: bool | None = None
    more: str = ""
    setup: tuple[str, ...] = ()
    refusal: re.Pattern[str] | None = None
    anchored: bool = True
    longest: int = 4095
    pieces: bool = False
    lesser: re.Pattern[str] | None = None
    enable: str = ""
    give_back: tuple[str, ...] = ()
    pager: str = ""
    intrusion: re.Pattern[str] = field(default=_INTRUSION)

    def ready_at(self, prompt: str, nonce: str) -> re.Pattern[str]:
        """The pattern of the prompt that is ours from now on, found where ``prompt`` stood."""
        found = self.prompt.fullmatch(prompt.rstrip())
        host = (found.groupdict().get("host") if found else None) or ""
        ready = self.ready.format(nonce=nonce, host=re.escape(host))
        if self.more:
            ready += f"|(?P<more>{re.escape(self.more.format(nonce=nonce))})"
        if self.pager:
            ready += f"|(?P<page>{self.pager})"
        return re.compile(ready, re.MULTILINE)

    def lacks_rights(self, prompt: str) -> bool:
        """Whether ``prompt`` is that of a login that may not do all."""
        return self.lesser is not None and self.lesser.fullmatch(prompt.rstrip()) is not None

    def entering(self, nonce: str, *, found: bool) -> str:
        """What is typed to make the shell ours, or, where it was ``found``, one within it.

        Neither line may stay in a history: bash writes its own when it execs; a line that begins
        with a space is mostly not kept, and somebody's shell is not ours to set.
        """
        line = self.enter.format(nonce=nonce)
        return f" {line}" if found else f"unset HISTFILE; exec {line}"

    def sight(self, line: str) -> Sight:
        """What ``line``, unterminated and quiet, is taken for."""
        text = line.rstrip()
        if not text:
            return Sight.BLANK
        for sight, pattern in (
            (Sight.EXPIRED, _EXPIRED),
            (Sight.LOGIN, _LOGIN),
            (Sight.PASSWORD, _PASSWORD),
            (Sight.AUTOBOOT, _AUTOBOOT),
            (Sight.ENTER, _ENTER),
            (Sight.PAGER, _PAGER),
            (Sight.CONFIG, _CONFIG),
            (Sight.TYPED, _CONTINUED),
            (Sight.PROMPT, self.prompt),
        ):
            if pattern.fullmatch(text):
                return sight
        if text.endswith(NUDGE_ECHO):
            return Sight.ECHO
        return Sight.TYPED if _TYPED.fullmatch(text) else Sight.OTHER

    def stuck(self, line: str) -> Sight:
        """Why a running command will not come back, if ``line``, quiet for long, tells."""
        text = line.rstrip()
        if re.fullmatch(r"\S+ login:", text):
            return Sight.LOGIN
        return Sight.PAGER if _STRONG_PAGER.fullmatch(text) else Sight.OTHER


# The tty's settings are kept in the environment: the shell may be somebody's who gets it back.
# Echo off and no CR before LF: what comes is what the command printed. 511 columns: wide enough
# for tables, narrow enough for tools that pad to the width. `sh` without the user's start files
# is the same in every login shell. PS1 tells the exit status; digits in place of `$?`, and the
# empty quotes, tell the prompts from the echo of this line.
_ENTER_SHELL = (
    "sh -c 'TESTBED_TTY=${{TESTBED_TTY:-$(stty -g)}}; stty sane -echo -onlcr cols 511 rows 1000;"
    " unset ENV PROMPT_COMMAND HISTFILE MAIL MAILPATH MAILCHECK TMOUT;"
    ' PS1="[[testbed:{nonce}:\\$?]]"; PS2="[[testbed:{nonce}:m""ore]]";'
    " TERM=dumb; PAGER=cat; SYSTEMD_PAGER=cat; VTYSH_PAGER=cat; LC_ALL=C;"
    " export TESTBED_TTY PS1 PS2 TERM PAGER SYSTEMD_PAGER VTYSH_PAGER LC_ALL; exec sh'"
)

LINUX_SHELL = DialogProfile(
    name="linux_shell",
    prompt=re.compile(
        r"\[\[testbed:[0-9a-z]+:\d+\]\]"
        r"|.*[#$]|.*(?<!\d)%|\S*[@~/].*>"
    ),
    enter=_ENTER_SHELL,
    ready=r"\[\[testbed:{nonce}:(?P<status>\d{{1,3}})\]\]",
    more="[[testbed:{nonce}:more]]",
    # No line editing, no history, no "!": a command is taken as it stands.
    setup=('[ -z "${BASH_VERSION-}" ] || set +o emacs +o vi +o history +H',),
    refusal=None,
    leave=('stty "$TESTBED_TTY"; exit',),
    anchored=False,
    pieces=True,
)
"""A POSIX shell: bash, dash, busybox; any login shell that can start ``sh``."""

VTYSH = DialogProfile(
    name="vtysh",
    prompt=re.compile(r"(?P<host>[\w.-]+)[>#]"),
    ready=r"^{host}(?:\([\w./-]+\))?[>#] ",
    echoes=True,
    setup=("terminal length 0",),
    refusal=re.compile(
        r"% ?(?:Unknown|Ambiguous|Incomplete|Command|Can't|Malformed|There is no matched).*|%% .*"
    ),
    leave=("end", "exit"),
    longest=2047,
)
"""FRRouting's vtysh as a login shell. It tells no exit status: a refusal counts as 1."""

SIM_CLI = DialogProfile(
    name="sim_cli",
    prompt=re.compile(r"(?P<host>[\w.-]+)[>#]"),
    ready=r"^{host}(?:\([\w-]+\))?[>#] ",
    echoes=True,
    lesser=re.compile(r"[\w.-]+>"),
    enable="enable",
    give_back=("end", "disable"),
    setup=("terminal length 0",),
    refusal=re.compile(r"(?m)^% \S"),
    pager=" --More-- ",
    leave=("end", "exit"),
    longest=4000,
)
"""The command line of a simulated device, which tells a refusal by a line that begins with %."""
