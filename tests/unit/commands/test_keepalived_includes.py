"""What keepalived includes: from which directory, in which order, in what place; over several levels, with a limit."""

from __future__ import annotations

import pytest

from runbooks.commands.keepalived_includes import DEEPEST, MOST, Includes, Wanted, wanted
from runbooks.errors import PrecheckError
from runbooks.view.includes import gather
from tests.support.fakes import bash

pytestmark = pytest.mark.unit


@pytest.fixture
def reads(tmp_path):
    """Write the files of a directory, and return what the first one of them includes, as a host says it."""

    def reads(**texts: str) -> tuple[str, str, Includes]:
        for name, text in texts.items():
            path = tmp_path / name.replace("__", "/").replace("_", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text.replace("TOP", str(tmp_path)))
        first = tmp_path / "keepalived.conf"

        def ask(probe):
            answer = bash(probe.command.program)
            assert answer.exited == 0, answer.stderr
            return probe.parse(answer)

        return str(first), first.read_text(), gather(ask, "lb1", {str(first): first.read_text()})

    return reads


def test_files_that_include_others_stand_in_their_place(reads):
    path, text, found = reads(
        keepalived_conf="include d/*.conf # all\nvrrp_instance A {\n  @lb1 include TOP/vips\n}\nlast\n",
        d__b_conf="block b\ninclude more/{x,y}.inc",
        d__a_conf="block a\n",
        d__more__y_inc='! y\ninclude "../../z"\n',
        d__more__x_inc="block x\n",
        z="block z\n",
        vips="virtual_ipaddress {\n 10.0.0.9\n}\n",
    )
    lines = found.whole(path, text).split("\n")
    assert [each for each in lines if each] == [
        "block a", "block b", "block x", "! y", "block z",
        "vrrp_instance A {", "virtual_ipaddress {", " 10.0.0.9", "}", "}", "last",
    ]  # fmt: skip


def test_what_is_not_there_and_comments_bring_nothing(reads):
    path, text, found = reads(keepalived_conf="include none/*.conf\n# include z\n! include z\ninclude\nincludefoo z\n", z="z\n")
    assert (found.texts, found.whole(path, text)) == ({}, "# include z\n! include z\ninclude\nincludefoo z\n")


def test_files_that_include_each_other_end_it_with_their_names(reads):
    with pytest.raises(PrecheckError, match=r"lb1: these files .* include each other: /.*/d/a -> /.*/d/b -> /.*/d/a") as refused:
        reads(keepalived_conf="include d/a\n", d__a="include b\n", d__b="include ../d/a\n")
    assert refused.value.hint.startswith("on lb1: take one of these")


def test_too_many_levels_or_files_end_it(reads):
    chain = {f"c{number}": f"include c{number + 1}\n" for number in range(DEEPEST + 2)}
    with pytest.raises(PrecheckError, match=rf"over more than {DEEPEST} levels, the last one is `include c{DEEPEST}`"):
        reads(keepalived_conf="include c0\n", **chain)
    many = {f"m__{number}": "" for number in range(MOST + 1)}
    with pytest.raises(PrecheckError, match=f"more than {MOST} files"):
        reads(keepalived_conf="include m/*\n", **many)


def test_a_file_that_two_include_is_no_circle(reads):
    path, text, found = reads(keepalived_conf="include a\ninclude b\n", a="include c\n", b="include c\n", c="x\n")
    assert found.whole(path, text).split() == ["x", "x"]


def test_a_file_at_the_top_is_looked_for_from_there():
    assert wanted("/keepalived.conf", "include a\n") == [Wanted("/", "a")]
