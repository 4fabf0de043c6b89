"""What `lb.setup --take-over` leaves as it was: in haproxy.cfg and keepalived.conf, between two lines each.

The parts are on the load balancer only. Whoever has them edits them there, and runs `inv lb.setup`, which checks and loads them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, Literal

from runbooks.commands import keepalived_blocks
from runbooks.commands.lb_config import services

Name = Literal["global", "sections", "vrrp"]
_WORDS: Final = "(from before lb.setup, yours: edit it here, then inv lb.setup)"
_PART: Final = re.compile(
    r"(?ms)^\n?# ---- kept (?P<name>global|sections|vrrp) [^\n]*\n(?P<text>.*?)^# ---- end of kept (?P=name)\n"
)
MARKS: Final = re.compile(r"(?m)^# ---- (end of )?kept ")


@dataclass(frozen=True, slots=True)
class Kept:
    """The parts of one load balancer: settings of `global`, sections of HAProxy, blocks of keepalived. "" for none."""

    settings: str = field(default="", repr=False)
    sections: str = field(default="", repr=False)
    vrrp: str = field(default="", repr=False)

    def marked(self, name: Name) -> str:
        """Return one part as it stands in its file, "" where there is none."""
        text = {"global": self.settings, "sections": self.sections, "vrrp": self.vrrp}[name]
        whole = text if text.endswith("\n") else f"{text}\n"
        return f"\n# ---- kept {name} {_WORDS}\n{whole}# ---- end of kept {name}\n" if text else ""

    @property
    def named(self) -> list[str]:
        """What it serves, in words."""
        blocks = keepalived_blocks.blocks(self.vrrp)
        return [
            *(f"{name or kind} ({', '.join(at) or 'no TCP port'})" for (kind, name), at in services(self.sections).items()),
            *(f"the VRRP instance {each.name}" for each in keepalived_blocks.instances(blocks)),
            *(str(each) for each in blocks if each.kind in {"virtual_server", "include"}),
        ]


NOTHING: Final = Kept()


def kept(haproxy_cfg: str, keepalived_conf: str) -> Kept:
    r"""Return the parts that these files of lb.setup have.

    >>> one = Kept("global\n daemon\n", "defaults\nlisten a\n", "vrrp_instance b {\n}\n")
    >>> kept(one.marked("global") + one.marked("sections"), one.marked("vrrp")) == one
    True
    """
    found = {each["name"]: each["text"] for text in (haproxy_cfg, keepalived_conf) for each in _PART.finditer(text)}
    return Kept(found.get("global", ""), found.get("sections", ""), found.get("vrrp", ""))


def problem_of_marks(text: str) -> str:
    r"""Return why the parts of a file of lb.setup cannot be told, "" when they can. What cannot be told would be lost.

    >>> part = Kept("", "listen a\n").marked("sections")
    >>> problem_of_marks(part), problem_of_marks(part + part), problem_of_marks(part.replace("end of kept", "end"))
    ('', 'has more than one part `# ---- kept sections`: make one of them', 'the lines `# ---- kept ...` and `# ---- end of kept ...` do not belong together: correct them')
    """
    names = [each["name"] for each in _PART.finditer(text)]
    inside = [each["text"] for each in _PART.finditer(text)]
    if MARKS.search(_PART.sub("", text)) or any(map(MARKS.search, inside)):
        return "the lines `# ---- kept ...` and `# ---- end of kept ...` do not belong together: correct them"
    twice = next((name for name in names if names.count(name) > 1), "")
    return f"has more than one part `# ---- kept {twice}`: make one of them" if twice else ""


def without(text: str) -> str:
    """Return a file of lb.setup without these parts."""
    return _PART.sub("", text)
