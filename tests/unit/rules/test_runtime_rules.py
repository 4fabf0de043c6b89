"""Which parts of containerd's configuration can be added to ours, and what an old containerd cannot do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.rules import drop_in, runtime_limits
from runbooks.rules.drop_in import wrong
from tests.unit.cluster.test_kubeadm_config import described

pytestmark = pytest.mark.unit

OLD, IMAGES, RUNTIME = "io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("version = 2\noom_score = -999\n", ""),
        ('version = 2\n[plugins."io.containerd.gc.v1.scheduler"]\ndeletion_threshold = 1\n', ""),
        (f'version = 3\n[plugins."{RUNTIME}"]\nmax_container_log_line_size = 1\n', ""),
        (f'version = 3\n[plugins."{RUNTIME}".containerd.runtimes.mine]\nruntime_type = "a.b"\n', ""),
        ("version = \n", "is not TOML"),
        ("oom_score = 1\n", "needs `version = 2`"),
        ("version = 1\n", "needs `version = 2`"),
        ('version = 2\nimports = ["/x.toml"]\n', "has imports"),
        ('version = 3\nroot = "/data"\n', "has root, which hosts.yaml decides (kubernetes.containerd.root)"),
        (f'version = 2\n[plugins."{OLD}"]\nmax_container_log_line_size = 1\n', "would throw our whole section away"),
        (f'version = 3\n[plugins."{OLD}"]\n', "is of version 2"),
        (f'version = 3\n[plugins."{IMAGES}".registry]\nconfig_path = "/x"\n', "kubernetes.containerd.registries"),
        (f'version = 3\n[plugins."{RUNTIME}".containerd.runtimes.runc.options]\nSystemdCgroup = false\n', "has the runtime runc"),
        (f'version = 3\n[plugins."{RUNTIME}".containerd.runtimes.kata]\nruntime_type = "x.y"\n', "has the runtime kata"),
    ],
)
def test_a_part(text: str, why: str) -> None:
    assert why in wrong(text, ["kata"])
    assert bool(wrong(text, ["kata"])) is bool(why)
    if not why:
        assert drop_in.version(text) == int(text.split()[2])


@pytest.mark.parametrize(
    "text", ["version = 2\nplugins = 1\n", 'version = 3\nplugins = ["a"]\n', f'version = 3\nplugins = {{"{RUNTIME}" = 1}}\n']
)
def test_sections_that_are_none_are_told_and_nothing_breaks(text: str) -> None:
    assert "sections" in wrong(text)


NAMES = st.sampled_from(
    ["version", "plugins", "root", "containerd", "runtimes", "runc", f'"{OLD}"', f'"{RUNTIME}"', f'"{IMAGES}"', "registry"]
)
LINES = st.tuples(st.lists(NAMES, min_size=1, max_size=5), st.sampled_from(["2", "3", "{}", "[]", '"x"']))


@given(st.lists(LINES, max_size=6))
def test_anything_at_all_is_judged(lines: list[tuple[list[str], str]]) -> None:
    text = "\n".join(f"{'.'.join(names)} = {value}" for names, value in lines)
    assert isinstance(wrong(text), str)


@pytest.mark.parametrize(
    ("mirror", "version", "why"),
    [
        ("https://a.example", (1, 4), "does not read hosts.toml"),
        ("https://a.example", (1, 5), ""),
        ("https://a.example/v2/proxy", (1, 5), "only 1.6 and newer"),
        ("https://a.example/v2/proxy", (1, 6), ""),
        ("https://a.example", None, ""),
    ],
)
def test_what_an_old_containerd_cannot_do(mirror: str, version: tuple[int, int] | None, why: str, tmp_path) -> None:
    site = described(tmp_path, containerd={"registries": [{"host": "docker.io", "mirrors": [mirror]}]})
    said = runtime_limits.too_old(site, version)
    assert why in said
    assert bool(said) is bool(why)
