"""What a load balancer serves already: listeners, how its services are started, and what any configuration says."""

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.commands import lb_claims, lb_config
from runbooks.commands.base import Answer
from runbooks.commands.lb_claims import Listener, Present, parse
from runbooks.commands.lb_paths import HAPROXY_CFG, KEEPALIVED_CONF
from tests.support.fakes import bash

pytestmark = pytest.mark.unit

ANY = "0.0.0.0"  # noqa: S104 - read, not bound

DEBIAN = """\
listen 0.0.0.0:22 other sshd 137
listen 10.1.1.100:6443 own haproxy 928
listen *:9100 other node_exporter 12
listen [::1%lo]:53 other - 0
exec haproxy /usr/sbin/haproxy -Ws -f $CONFIG -p $PIDFILE $EXTRAOPTS
set haproxy CONFIG=/etc/haproxy/haproxy.cfg PIDFILE=/run/haproxy.pid "EXTRAOPTS=-S /run/haproxy-master.sock"
argv haproxy /usr/sbin/haproxy -Ws -f /etc/haproxy/haproxy.cfg -p /run/haproxy.pid -S /run/haproxy-master.sock
exec keepalived /usr/sbin/keepalived --dont-fork $DAEMON_ARGS
set keepalived DAEMON_ARGS=
"""


def test_debian():
    seen = parse(Answer(0, DEBIAN))
    assert seen.listeners == (
        Listener(ANY, 22, False, "sshd", 137),
        Listener("10.1.1.100", 6443, True, "haproxy", 928),
        Listener("", 9100, False, "node_exporter", 12),
        Listener("::1", 53, False, "", 0),
    )
    assert str(seen.listeners[2]) == "node_exporter (pid 12)"
    assert seen.named == {"haproxy": (HAPROXY_CFG,), "keepalived": (KEEPALIVED_CONF,)}
    assert seen.running == {"haproxy": (HAPROXY_CFG,)}


@pytest.mark.parametrize(
    ("lines", "named"),
    [
        ("set haproxy CONFIG=/srv/a.cfg", ("/srv/a.cfg",)),
        ('set haproxy CONFIG="/srv/a.cfg"', ("/srv/a.cfg",)),
        ("set haproxy EXTRAOPTS=-f /srv/b.cfg -de", (HAPROXY_CFG,)),  # systemd takes the first word only, too
        ('set haproxy EXTRAOPTS="-f /srv/b.cfg -de"', (HAPROXY_CFG, "/srv/b.cfg")),
        ("exec haproxy /usr/sbin/haproxy -Ws -f /srv/c.cfg", ("/srv/c.cfg",)),
        ("exec haproxy /usr/sbin/haproxy -Ws -f ${CONFIG} -f /etc/haproxy/conf.d", (HAPROXY_CFG, "/etc/haproxy/conf.d")),
    ],
)
def test_a_later_word_wins(lines, named):
    assert parse(Answer(0, f"{DEBIAN}{lines}\n")).named["haproxy"] == named


@pytest.mark.parametrize("argument", ["-f /srv/k.conf", "--use-file=/srv/k.conf", "--use-file /srv/k.conf"])
def test_keepalived_elsewhere(argument):
    text = f'{DEBIAN}set keepalived DAEMON_ARGS="{argument}"\n'
    assert parse(Answer(0, text)).named["keepalived"] == ("/srv/k.conf",)


def test_files():
    text = f"file {HAPROXY_CFG} default {b64encode(b'global').decode()}\nfile {KEEPALIVED_CONF} other \n"
    assert parse(Answer(0, text)).files == {HAPROXY_CFG: Present("global", True), KEEPALIVED_CONF: Present("", False)}


def test_what_haproxy_reads_besides_its_file():
    text = (
        f'{DEBIAN}set haproxy EXTRAOPTS="-f /etc/haproxy/conf.d"\nargv haproxy /usr/sbin/haproxy -f {HAPROXY_CFG} -f /srv/b.cfg\n'
    )
    seen = parse(Answer(0, text))
    assert seen.haproxy_reads == (HAPROXY_CFG, "/etc/haproxy/conf.d")
    assert seen.other_paths == ("/etc/haproxy/conf.d", "/srv/b.cfg")
    assert parse(Answer(0, "")).haproxy_reads == (HAPROXY_CFG,)


def test_of_a_directory_haproxy_reads_the_cfg_files(tmp_path):
    (tmp_path / "conf d").mkdir()
    for name in ("b.cfg", "a.cfg", "c.txt"):
        (tmp_path / "conf d" / name).write_text(name)
    (tmp_path / "empty").mkdir()
    (tmp_path / "alone").write_text("alone\n")
    probe = lb_claims.beside([f"{tmp_path}/conf d", f"{tmp_path}/empty", f"{tmp_path}/alone", f"{tmp_path}/absent"])
    assert probe.parse(bash(probe.command.program)) == {
        f"{tmp_path}/conf d/a.cfg": "a.cfg",
        f"{tmp_path}/conf d/b.cfg": "b.cfg",
        f"{tmp_path}/alone": "alone\n",
    }


def test_a_line_that_is_not_known():
    with pytest.raises(ValueError, match="lb-claims printed"):
        parse(Answer(0, "what is this\n"))


def test_addresses():
    text = (
        "1: lo    inet 127.0.0.1/8 scope host lo\\       valid_lft forever preferred_lft forever\n"
        "2: eth0    inet 10.1.1.77/32 scope global eth0\\  \n2: eth0    inet6 fd00::9/64 scope global \\ \n"
    )
    assert lb_claims.addresses().parse(Answer(0, text)) == {"127.0.0.1", "10.1.1.77", "fd00::9"}


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("bind *:8443", ["*:8443"]),
        ("bind :8443 ssl crt /etc/x.pem", ["*:8443"]),
        ("bind 0.0.0.0:80,[fd00::1]:81", ["0.0.0.0:80", "[fd00::1]:81"]),
        ("bind :::443 v4v6", ["[::]:443"]),
        ("bind ipv4@10.0.0.1:80", ["10.0.0.1:80"]),
        ("bind 10.0.0.1:8000-8002", ["10.0.0.1:8000", "10.0.0.1:8001", "10.0.0.1:8002"]),
        ('bind "10.0.0.1:80" # "', ["10.0.0.1:80"]),
        ("bind /run/x.sock", []),
        ("bind unix@/run/x:80", []),
        ("bind abns@x:80", []),
        ("bind quic4@:443", []),
        ("bind ${IP}:80", []),
        ("# bind :80", []),
        ("server a 10.0.0.1:80", []),
    ],
)
def test_where_haproxy_listens(line, found):
    assert [str(each) for each in lb_config.binds(f"frontend one\n    {line}\nbackend two\n")] == found


def test_a_disabled_section_listens_nowhere():
    text = "listen a\n bind :80\n disabled\nlisten b\n disabled\n bind :81\nlisten c\n bind :82\n"
    assert [str(each) for each in lb_config.binds(text)] == ["*:82"]


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [
        ("10.0.0.1", "10.0.0.1", True),
        ("10.0.0.1", ANY, True),
        (ANY, "10.0.0.1", True),
        ("10.0.0.1", "", True),
        ("10.0.0.1", "127.0.0.1", False),
        ("10.0.0.1", "::", False),
        ("fd00::1", "::", True),
        ("fd00::1", ANY, False),
        ("fd00::1", "", True),
        ("::ffff:10.0.0.1", "10.0.0.1", True),
        ("::FFFF:10.0.0.1", ANY, True),
        ("::ffff:10.0.0.1", "::", False),
        ("FD00:0:0:0::1", "fd00::1", True),
        ("localhost", "127.0.0.1", True),
        ("localhost", "::1", True),
    ],
)
def test_overlap(one, two, same):
    assert lb_config.overlap(one, two) == lb_config.overlap(two, one) == same


def test_what_keepalived_serves():
    text = (
        "vrrp_instance a {\n  virtual_ipaddress { 10.0.0.9/24 dev eth0 label x\n 10.0.0.10 }\n"
        "  virtual_ipaddress_excluded {\n fd00::9\n }\n}\n! vrrp_instance no {\nvirtual_server 10.0.0.9 80 {\n}\n"
    )
    assert lb_config.instances(text) == ["a"]
    assert lb_config.virtual_addresses(text) == ["10.0.0.9", "10.0.0.10", "fd00::9"]
    assert lb_config.virtual_servers(text) == ["10.0.0.9 80"]


def test_a_virtual_address_in_another_form():
    assert lb_config.virtual_addresses("virtual_ipaddress {\n FD00:0:0::09/64\n}\n") == ["fd00::9"]


@given(st.text(max_size=300))
def test_any_text_can_be_read(text):
    for read in (
        lb_config.binds,
        lb_config.services,
        lb_config.includes,
        lb_config.instances,
        lb_config.virtual_addresses,
        lb_config.virtual_servers,
    ):
        assert read(text) is not None
