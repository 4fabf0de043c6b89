"""The kubelet's command line, made from unit and files as systemd makes it."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.commands import kubelet_line
from runbooks.commands.kubelet_line import Flag

pytestmark = pytest.mark.unit

DROP_IN = "/etc/systemd/system/kubelet.service.d/10-kubeadm.conf"
# kubeadm's own drop-in, as `systemctl cat` prints it behind the unit.
UNIT = f"""# /lib/systemd/system/kubelet.service
[Unit]
Description=kubelet: The Kubernetes Node Agent

[Service]
ExecStart=/usr/bin/kubelet
Restart=always

[Install]
WantedBy=multi-user.target

# {DROP_IN}
# Note: This dropin only works with kubeadm and kubelet v1.11+
[Service]
Environment="KUBELET_KUBECONFIG_ARGS=--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf --kubeconfig=/etc/kubernetes/kubelet.conf"
Environment="KUBELET_CONFIG_ARGS=--config=/var/lib/kubelet/config.yaml"
# This is a file that "kubeadm init" and "kubeadm join" generates at runtime
EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env
EnvironmentFile=-/etc/default/kubelet
ExecStart=
ExecStart=/usr/bin/kubelet $KUBELET_KUBECONFIG_ARGS $KUBELET_CONFIG_ARGS $KUBELET_KUBEADM_ARGS $KUBELET_EXTRA_ARGS
"""
FLAGS_ENV, EXTRA = "/var/lib/kubelet/kubeadm-flags.env", "/etc/default/kubelet"
FILES = {
    FLAGS_ENV: 'KUBELET_KUBEADM_ARGS="--container-runtime-endpoint=unix:///run/containerd/containerd.sock --node-ip=192.0.2.1"\n',
    EXTRA: "# mine\nKUBELET_EXTRA_ARGS=--v=2 --feature-gates A=true \n",
}


def words(unit=UNIT, **files):
    return kubelet_line.line(unit, {**FILES, **files}).words


def test_each_flag_is_from_the_file_where_its_variable_is_set():
    assert kubelet_line.line(UNIT, FILES).flags == (
        Flag("bootstrap-kubeconfig", "/etc/kubernetes/bootstrap-kubelet.conf", DROP_IN),
        Flag("kubeconfig", "/etc/kubernetes/kubelet.conf", DROP_IN),
        Flag("config", "/var/lib/kubelet/config.yaml", DROP_IN),
        Flag("container-runtime-endpoint", "unix:///run/containerd/containerd.sock", FLAGS_ENV),
        Flag("node-ip", "192.0.2.1", FLAGS_ENV),
        Flag("v", "2", EXTRA),
        Flag("feature-gates", "A=true", EXTRA, joined=False),
    )


def test_a_file_that_is_not_there_has_no_flags():
    found = kubelet_line.line(UNIT, {})
    assert {flag.file for flag in found.flags} == {DROP_IN}
    assert found.missing == ()
    assert kubelet_line.line(UNIT.replace("=-/etc/default", "=/etc/default"), {}).missing == (EXTRA,)


def test_a_later_drop_in_wins():
    later = UNIT + "\n# /etc/systemd/system/kubelet.service.d/20-mine.conf\n[Service]\nEnvironment=KUBELET_EXTRA_ARGS=--v=9\n"
    assert ("--v=2", EXTRA) in words(later)  # a file's variables win over Environment=, wherever it stands
    reset = later + "EnvironmentFile=\n"
    found = words(reset)
    assert ("--v=9", "/etc/systemd/system/kubelet.service.d/20-mine.conf") in found
    assert not any(file in FILES for _, file in found)
    again = later + "ExecStart=\nExecStart=-/opt/bin/kubelet --one $KUBELET_EXTRA_ARGS\n"
    assert [word for word, _ in words(again)] == ["--one", "--v=2", "--feature-gates", "A=true"]


def test_a_variable_in_a_word_is_not_split():
    unit = (
        "# /a.service\n[Service]\nEnvironment=A='b c' D=e\nExecStart=/usr/bin/kubelet --x=${A} ${N} $N --y=$$D \\\n# no\n  --z\n"
    )
    assert [word for word, _ in words(unit)] == ["--x=b c", "--y=$D", "--z"]


def test_files_with_variables_may_be_named_by_a_pattern():
    unit = UNIT.replace("-/etc/default/kubelet", "-/etc/kubelet.d/*.env")
    found = words(
        unit, **{"/etc/kubelet.d/b.env": "KUBELET_EXTRA_ARGS=--b\n", "/etc/kubelet.d/a.env": "KUBELET_EXTRA_ARGS=--a\n"}
    )
    assert found[-1] == ("--b", "/etc/kubelet.d/b.env")
    assert kubelet_line.names_variables(unit, "/etc/kubelet.d/a.env")
    assert not kubelet_line.names_variables(unit, "/etc/kubelet.d/x/a.env")
    assert not kubelet_line.names_variables(unit, EXTRA)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('A="b" "c"', ["bc"]),
        ('A="b"c d', ["bc d"]),
        ('A="b \\"c\\" \\d\\\n e"\nB=1', ['b "c" \\d e', "1"]),
        ('A="b', ['"b']),
        ("A=b'c", ["b'c"]),
        ("export A=b", []),
        ("A=b\\\n c\nB=1", ["b c", "1"]),
        ("# A=1\\\nB=2\nC=3", ["3"]),
        ("A=", [""]),
        ("  A = b ", ["b"]),
        ("; A=b", []),
    ],
)
def test_values_of_files_are_read_as_systemd_reads_them(text, expected):
    assert [value for _, value in kubelet_line.assignments(text)] == expected


@pytest.mark.parametrize(
    ("unit", "message"),
    [
        ("", "no ExecStart"),
        ("# /a.service\n[Service]\nExecStart=/usr/bin/kubelet\nExecStart=\n", "no ExecStart"),
        ("# /a.service\n[Service]\nExecStart=/bin/sh -c 'exec kubelet'\n", "starts /bin/sh, not the kubelet itself"),
        ("# /a.service\n[Service]\nExecStart=$NONE\n", "starts nothing"),
        ("# /a.service\n[Unit]\nExecStart=/usr/bin/kubelet\n", "no ExecStart"),
    ],
)
def test_a_unit_that_starts_no_kubelet_is_not_understood(unit, message):
    with pytest.raises(ValueError, match=message):
        kubelet_line.line(unit, {})


@given(st.text(), st.dictionaries(st.sampled_from([FLAGS_ENV, EXTRA]), st.text()))
def test_any_text_is_read_or_refused(text, files):
    kubelet_line.line(UNIT, files)
    try:
        kubelet_line.line(f"# /a.service\n[Service]\n{text}", files)
    except ValueError:
        return


@given(st.lists(st.text(st.characters(codec="ascii", exclude_characters="\\\n\r\v\f\x1c\x1d\x1e\0"), min_size=1)))
def test_words_that_are_quoted_come_back(given_words):
    unit = f"# /a.service\n[Service]\nExecStart=/usr/bin/kubelet {shlex.join(word.replace('$', '$$') for word in given_words)}\n"
    if not any("${" in word for word in given_words):
        assert kubelet_line.line(unit, {}).as_words() == tuple(given_words)
