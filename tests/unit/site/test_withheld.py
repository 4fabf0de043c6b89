"""What a site file never gets: passwords and tokens of other people's settings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.commands.credentials import LOGIN, SECRET, hidden, reason
from runbooks.inventory.written import Noted
from runbooks.site.adopt.rules.draft import plain
from runbooks.site.withheld import without

pytestmark = pytest.mark.unit
# Real flags of Kubernetes and etcd that have such a word in their name, with values as people have them.
HARMLESS = {
    "enable-bootstrap-token-auth": "true",
    "authentication-token-webhook-cache-ttl": "2m0s",
    "authentication-token-webhook-config-file": "/etc/kubernetes/webhook.yaml",
    "authentication-token-webhook-version": "v1",
    "concurrent-serviceaccount-token-syncs": "5",
    "service-account-extend-token-expiration": "false",
    "service-account-private-key-file": "/etc/kubernetes/pki/sa.key",
    "service-account-issuer": "https://kubernetes.default.svc.cluster.local",
    "use-service-account-credentials": "true",
    "image-credential-provider-config": "credentials.yaml",
    "tls-private-key-file": "apiserver.key",
    "token-auth-file": "tokens.csv",
    "encryption-provider-config": "/etc/kubernetes/encryption.yaml",
    "auth-token": "jwt,pub-key=/etc/etcd/a.pub,priv-key=/etc/etcd/a.key,sign-method=RS256,ttl=10m",
    "auth-token-ttl": "300",
    "feature-gates": "BoundServiceAccountTokenVolume=true,ServiceAccountTokenJTI=false",
    "etcd-servers": "https://10.0.0.1:2379,https://[fd00::1]:2379",
    "listen-metrics-urls": "http://127.0.0.1:2381",
    "pod-infra-container-image": "registry.example:5000/pause:3.9@sha256:abc",
    "admission-control-config-file": "/etc/a.yaml",
    "ansible_ssh_common_args": "-o PasswordAuthentication=no -o ProxyJump=ssh://jo@10.9.9.9:22 -J jo@a:22,mo@b",
}
SECRETS = {
    "oidc-issuer-url": ("https://jo:hunter2@login.example/x", LOGIN),
    "audit-webhook": ("http://ghp_hunter2@audit.example", LOGIN),
    "proxy": ("jo:hunter2@proxy.example:3128", LOGIN),
    "endpoints": ("http://a:1,https://jo:hun/ter2@b:2", LOGIN),
    "jump": ("ssh://jo:hunter2@a", LOGIN),
    "webhook-token": ("hunter2", SECRET),
    "oidc-client-secret": ("hunter2", SECRET),
    "apiKey": ("hunter2", SECRET),
    "header": ("Authorization: Bearer hunter2hunter2", SECRET),
    "cloud": ("region=x,password=hunter2", SECRET),
    "webhook": ("https://a.example/?access_token=hunter2&x=1", SECRET),
    "pem": ("-----BEGIN RSA PRIVATE KEY-----", SECRET),
}


@pytest.mark.parametrize(("name", "value"), HARMLESS.items())
def test_a_flag_without_a_secret_is_kept(name, value):
    assert reason(name, value) == ""


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_is_seen(name):
    value, kind = SECRETS[name]
    assert reason(name, value) == kind


@given(
    st.text(st.characters(codec="ascii", categories=("L", "N", "P", "S")), min_size=1, max_size=30), st.sampled_from(["", "/x"])
)
def test_no_password_of_a_url_is_shown(password, path):
    url = f"https://jo:{password}@etcd.example:2379{path}"
    assert (reason("x", url), hidden(url)) == (LOGIN, f"https://***@{url.rpartition('@')[2]}")


def test_the_key_and_why_are_told_and_the_group_has_a_comment():
    tree = {
        "kubernetes": {"extra_args": {"api_server": Noted({"v": "2", "webhook-token": Noted("hunter2", "mine")}, "twice")}},
        "hosts": [{"name": Noted("m1", "x"), "annotations": {"pull-secret": "hunter2"}, "entries": ["a", "http://a:hunter2@b"]}],
    }
    found, left = without(tree)
    assert plain(found) == {
        "kubernetes": {"extra_args": {"api_server": {"v": "2"}}},
        "hosts": [{"name": "m1", "entries": ["a"]}],
    }
    assert left == {
        "kubernetes.extra_args.api_server.webhook-token": SECRET,
        "hosts[m1].annotations.pull-secret": SECRET,
        "hosts[m1].entries[1]": LOGIN,
    }
    why = "left out, as others may read this file: webhook-token has a password or token in it"
    assert found["kubernetes"]["extra_args"]["api_server"].comment == f"twice; guessed: {why}"
    assert "hunter2" not in repr(found) + repr(left)


def test_without_a_secret_nothing_changes():
    tree = {"a": {"b": Noted(None, "write it"), "c": [1, "x"]}, "d": True}
    assert without(tree) == (tree, {})
