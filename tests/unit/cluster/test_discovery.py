"""How a host that joins trusts the cluster: by its token where the cluster's own ConfigMap is signed with it, else by a file."""

from __future__ import annotations

import subprocess
from base64 import b64encode
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from runbooks.commands import cluster_info
from runbooks.commands.base import Secret
from runbooks.commands.cluster_info import ClusterInfo
from runbooks.rules import kubeadm_discovery as discovery
from tests.support.api_server import certificates
from tests.support.fakes import site

pytestmark = pytest.mark.unit

TOKEN = Secret("abcdef.0123456789abcdef")


@pytest.fixture(scope="module")
def ca(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("pki")
    certificates(directory)
    return directory / "ca.crt"


@pytest.fixture
def info(ca: Path) -> ClusterInfo:
    return ClusterInfo(f"https://{discovery.endpoint(site())}", ca.read_text(), frozenset({"abcdef", "other1"}))


def test_a_signed_one_is_trusted_by_the_hash_that_kubeadm_documents(ca: Path, info: ClusterInfo) -> None:
    """The command is that of kubeadm's documentation."""
    command = f"openssl x509 -pubkey -in {ca} | openssl pkey -pubin -outform der | openssl dgst -sha256 -hex"
    said = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True).stdout
    assert discovery.ca_hash(site(), ca.read_text(), TOKEN, info) == f"sha256:{said.split()[-1]}"


def test_what_is_not_signed_or_says_something_else_is_not_trusted(ca: Path, info: ClusterInfo) -> None:
    text = ca.read_text()
    for other in (
        None,
        replace(info, signed_with=frozenset({"other1"})),
        replace(info, server="https://192.0.2.7:6443"),
        replace(info, ca="another"),
        replace(info, ca=text + text),
    ):
        assert discovery.ca_hash(site(), text, TOKEN, other) is None
    two = text + text  # a CA that is being replaced: kubeadm takes a hash of one of them, and the file has both
    assert discovery.ca_hash(site(), two, TOKEN, replace(info, ca=two)) is None


def test_the_object_as_the_api_gives_it(ca: Path) -> None:
    cluster = {"certificate-authority-data": b64encode(ca.read_bytes()).decode(), "server": "https://k8s:6443"}
    config = yaml.safe_dump({"apiVersion": "v1", "kind": "Config", "clusters": [{"name": "", "cluster": cluster}]})
    found = cluster_info.parse({"items": [{"data": {"jws-kubeconfig-abcdef": "x..y", "kubeconfig": config}}]})
    assert found == ClusterInfo("https://k8s:6443", ca.read_text(), frozenset({"abcdef"}))


@pytest.mark.parametrize(
    "data", [None, {}, {"kubeconfig": "- a"}, {"kubeconfig": "clusters: [{cluster: {certificate-authority-data: '*'}}]"}]
)
def test_another_form_is_none(data: object) -> None:
    assert cluster_info.parse({"items": [] if data is None else [{"data": data}]}) is None
