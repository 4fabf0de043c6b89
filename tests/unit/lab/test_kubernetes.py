"""Kubernetes in the lab, as far as it is decided without a host: packages, images, cache, the twin's options."""

import json
import subprocess
import tarfile
from hashlib import sha256
from pathlib import Path

import pytest

from lab import kube_golden, kube_images, kube_packages, kubernetes, twin
from lab.archive import Archive, other_suite
from lab.kubernetes import PROGRAMS, Kubernetes
from lab.libraries import inside, loaded
from lab.mounts import parse
from lab.names import Instance
from lab.tree import index
from runbooks.errors import InventoryError, OutcomeError, PrecheckError
from runbooks.inventory.load import load_site

pytestmark = pytest.mark.unit
SITE = Path(__file__).parents[3] / "hosts.yaml"
SOURCE = Archive("bookworm", ("deb scheme:/mirror/ bookworm main", "deb scheme:/other/ bookworm-security main"), (), ())


def programs(directory: Path, version: str = "v1.30.1") -> Path:
    directory.mkdir()
    for name in PROGRAMS:
        (directory / name).write_text(f"#!/bin/sh\necho {version}\n")
        (directory / name).chmod(0o755)
    return directory


class TestChoice:
    def test_the_flags_of_lab_up(self) -> None:
        assert kubernetes.chosen(without=False) == Kubernetes()
        assert kubernetes.chosen(without=True) is None
        assert kubernetes.chosen(binaries="/a", upgrade="/b", etcd="3.4", without=False) == Kubernetes(
            Path("/a"), Path("/b"), "3.4"
        )

    @pytest.mark.parametrize("flags", [{"binaries": "/a"}, {"etcd": "3.4"}])
    def test_nothing_is_chosen_from_nothing(self, flags: dict[str, str]) -> None:
        with pytest.raises(InventoryError, match="--no-kubernetes"):
            kubernetes.chosen(**flags, without=True)

    def test_a_strange_etcd_and_an_upgrade_from_nothing(self) -> None:
        with pytest.raises(InventoryError, match=r"the lab has 3\.5 and 3\.4"):
            Kubernetes(etcd="3.6")
        with pytest.raises(InventoryError, match="--upgrade needs --kubernetes"):
            Kubernetes(upgrade=Path("/b"))

    def test_every_missing_program_is_named_at_once(self, tmp_path: Path) -> None:
        directory = programs(tmp_path / "bin")
        (directory / "kubectl").unlink()
        (directory / "kube-proxy").chmod(0o644)
        with pytest.raises(InventoryError, match="no program kubectl, kube-proxy"):
            kubernetes.binaries_digest(directory)

    def test_kubeadm_says_the_version(self, tmp_path: Path) -> None:
        assert kubernetes.version(programs(tmp_path / "a")) == "v1.30.1"
        assert kubernetes.version(programs(tmp_path / "b", "v1.31.0-rc.1")) == "v1.31.0-rc.1"
        with pytest.raises(InventoryError, match="is no version"):
            kubernetes.version(programs(tmp_path / "c", "hello"))


class TestCache:
    def test_an_entry_is_named_for_what_goes_into_it(self, tmp_path: Path) -> None:
        directory = programs(tmp_path / "bin")
        names = {
            kubernetes.digest(wanted, SOURCE)
            for wanted in (Kubernetes(), Kubernetes(etcd="3.4"), Kubernetes(directory), Kubernetes(directory, etcd="3.4"))
        }
        assert len(names) == 4
        assert kubernetes.digest(Kubernetes(directory), SOURCE) in names
        (directory / "kubelet").write_text("other")
        assert kubernetes.digest(Kubernetes(directory), SOURCE) not in names

    def test_entries_in_use_stay(self) -> None:
        entries = [Path(f"/c/{name}") for name in "abcd"]
        assert kubernetes.surplus(entries, set()) == [Path("/c/c"), Path("/c/d")]
        assert kubernetes.surplus(entries, {"/c/d"}) == [Path("/c/c")]

    def test_one_lab_has_one_kubernetes(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("lab.names.RUN", tmp_path)
        monkeypatch.setattr("lab.archive.machine_archive", lambda: SOURCE)
        instance = Instance("x")
        instance.state.mkdir()
        assert kubernetes.settle(instance, None, print) is None
        entry = tmp_path / kubernetes.digest(Kubernetes(), SOURCE)
        entry.mkdir()
        (entry / "about.json").write_text(json.dumps({"versions": ["v1.20.2"], "etcd": "3.5.16"}))
        instance.kubernetes.write_text(f"{entry}\n")
        kept = kubernetes.Entry(entry, ("v1.20.2",), "3.5.16")
        for wanted in (None, Kubernetes()):
            assert kubernetes.settle(instance, wanted, print) == kept
        with pytest.raises(PrecheckError, match=r"has Kubernetes v1\.20\.2 \(etcd 3\.5\.16\) already"):
            kubernetes.settle(instance, Kubernetes(etcd="3.4"), print)
        (entry / "about.json").unlink()
        with pytest.raises(PrecheckError, match="which is gone"):
            kubernetes.noted(instance)

    def test_another_suite_of_the_same_mirror(self) -> None:
        assert other_suite(SOURCE, "trixie") == "deb scheme:/mirror/ trixie main"


class TestPackages:
    def test_names_versions_paths_and_dependencies_are_the_communitys(self) -> None:
        kubelet, kubeadm, kubectl = kube_packages.of_version("v1.20.2", Path("/bin"))
        assert [package.version for package in (kubelet, kubeadm, kubectl)] == ["1.20.2-1.1"] * 3
        assert {"usr/bin/kubelet", "usr/lib/systemd/system/kubelet.service", "etc/default/kubelet"} == set(kubelet.files)
        assert "usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf" in kubeadm.files
        for name in [
            "iptables",
            "kubernetes-cni",
            "iproute2",
            "socat",
            "util-linux",
            "mount",
            "ebtables",
            "ethtool",
            "conntrack",
        ]:
            assert name in kubelet.depends
        for name in ["kubelet", "kubectl", "kubernetes-cni", "cri-tools"]:
            assert name in kubeadm.depends

    def test_a_release_candidate_comes_before_its_release(self) -> None:
        assert kube_packages.of_version("v1.31.0-rc.1", Path("/bin"))[0].version == "1.31.0~rc.1-1.1"

    def test_control(self) -> None:
        text = kube_packages.control(
            kube_packages.Package(name="a", version="1-1.1", files={}, description="words", depends="b (>= 2)"), "amd64"
        )
        assert "Package: a\nVersion: 1-1.1\nArchitecture: amd64\n" in text
        assert text.endswith("Depends: b (>= 2)\nDescription: words\n")

    @pytest.mark.parametrize(("debian", "plain"), [("1.1.1+ds1-3+b5", "1.1.1"), ("2:3.4-1", "3.4"), ("strange", "0")])
    def test_upstream_versions(self, debian: str, plain: str) -> None:
        assert kube_packages.upstream(debian) == plain

    def test_a_built_package_is_what_apt_reads(self, tmp_path: Path) -> None:
        source, repo = programs(tmp_path / "bin"), tmp_path / "repo"
        repo.mkdir()
        for package in kube_packages.of_version("v1.30.1", source):
            kube_packages.build(package, "amd64", tmp_path / "work", repo)
        text = index(repo)
        assert text.count("Package: ") == 3
        assert "kubelet_1.30.1-1.1_amd64.deb\nSize: " in text
        listing = subprocess.run(
            ["dpkg-deb", "-c", str(repo / "kubelet_1.30.1-1.1_amd64.deb")], capture_output=True, text=True, check=True
        ).stdout
        assert "-rwxr-xr-x root/root" in next(line for line in listing.splitlines() if line.endswith("./usr/bin/kubelet"))


class TestImages:
    def test_every_name_gets_its_program(self) -> None:
        layers = kube_images.Layers({"etc": None}, {"n": "x"}, {"e": "x"}, {"pause": "x"})
        names = ["r/kube-apiserver:v1", "r/kube-proxy:v1", "r/pause:3.2", "r/etcd:3.4.13-0"]
        api, proxy, pause, etcd = kube_images.of_version(names, Path("/bin"), layers)
        assert api.layers == (layers.base, {"usr/local/bin/kube-apiserver": Path("/bin/kube-apiserver")})
        assert proxy.layers[:2] == (layers.base, layers.network)
        assert (pause.entrypoint, etcd.layers) == (("/pause",), (layers.base, layers.etcd))
        with pytest.raises(OutcomeError, match="r/surprise:1"):
            kube_images.of_version(["r/surprise:1"], Path("/bin"), layers)

    def test_the_archive_is_one_that_docker_would_write(self, tmp_path: Path) -> None:
        (tmp_path / "program").write_text("binary")
        shared: kube_images.Layer = {"usr": None, "lib": "usr/lib"}
        own: kube_images.Layer = {"usr/bin/program": tmp_path / "program"}
        images = [kube_images.Image("r/a:1", (shared, own), ("/a",)), kube_images.Image("r/b:1", (shared,))]
        kube_images.write(tmp_path / "images.tar", images, tmp_path)
        with tarfile.open(tmp_path / "images.tar") as archive:
            content = {member.name: archive.extractfile(member) for member in archive}
            assert len([name for name in content if name.endswith(".tar")]) == 2  # the shared layer is there once
            read = {name: file.read() for name, file in content.items() if file}
        manifest = json.loads(read["manifest.json"])
        assert [(image["RepoTags"], len(image["Layers"])) for image in manifest] == [(["r/a:1"], 2), (["r/b:1"], 1)]
        for image in manifest:
            configuration = json.loads(read[image["Config"]])
            digests = [f"sha256:{sha256(read[name]).hexdigest()}" for name in image["Layers"]]
            assert configuration["rootfs"]["diff_ids"] == digests
            assert image["Config"] == f"{sha256(read[image['Config']]).hexdigest()}.json"
        assert json.loads(read[manifest[0]["Config"]])["config"]["Entrypoint"] == ["/a"]

    def test_links_are_followed_as_they_are_meant_in_the_tree(self, tmp_path: Path) -> None:
        for name in ("usr/lib/x", "etc"):
            (tmp_path / name).mkdir(parents=True)
        (tmp_path / "usr/lib/x/real.so").touch()
        (tmp_path / "lib").symlink_to("usr/lib")
        (tmp_path / "etc/alternative").symlink_to("/lib/x/real.so")
        (tmp_path / "usr/lib/x/up").symlink_to("../x/real.so")
        for path in ("/etc/alternative", "lib/x/up", "lib/x/real.so"):
            assert inside(tmp_path, path) == tmp_path / "usr/lib/x/real.so"
        (tmp_path / "loop").symlink_to("loop")
        with pytest.raises(OutcomeError, match="loop of links"):
            inside(tmp_path, "loop")

    def test_what_the_loader_lists(self) -> None:
        said = "\tlinux-vdso.so.1 (0x1)\n\tlibc.so.6 => /t/usr/lib/libc.so.6 (0x2)\n\t/lib64/ld-linux.so.2 (0x3)\n"
        assert loaded(said) == ["/t/usr/lib/libc.so.6", "/lib64/ld-linux.so.2"]
        assert loaded("\tstatically linked\n") == []


class TestGolden:
    def test_a_copy_shares_everything_but_databases(self, tmp_path: Path) -> None:
        golden, target = tmp_path / "golden", tmp_path / "host"
        (golden / "content").mkdir(parents=True)
        (golden / "content/blob").write_text("blob")
        (golden / "meta.db").write_text("database")
        target.mkdir()
        kube_golden.give(golden, target)
        assert (golden / "content/blob").samefile(target / "content/blob")
        (target / "meta.db").write_text("changed")
        assert (golden / "meta.db").read_text() == "database"
        assert sorted(path.name for path in tmp_path.iterdir()) == ["golden", "host"]

    def test_what_can_hold_an_overlay(self) -> None:
        found = parse(
            "1 0 8:1 / / rw - ext4 /dev/a rw\n2 1 0:9 / /box rw - overlay o rw\n3 2 8:2 / /box/data rw - xfs /dev/b rw\n"
        )
        assert kube_golden.stackable(Path("/var/cache"), found)
        assert not kube_golden.stackable(Path("/box/var"), found)
        assert kube_golden.stackable(Path("/box/data/x"), found)


class TestTwin:
    def test_the_options_reach_the_sites_model(self, tmp_path: Path) -> None:
        options = twin.kubernetes_options("v1.20.2", oom=False)
        path = tmp_path / "site.yaml"
        path.write_text(twin.twin_text(load_site(SITE).site, Instance("x"), SITE, options))
        copy = load_site(path).site.kubernetes
        assert (copy.version, copy.cgroup_driver, copy.swap) == ("1.20.2", "cgroupfs", "keep")
        assert (copy.addons.coredns, copy.addons.kube_proxy) == (False, True)
        assert copy.containerd.restrict_oom_score_adj
        assert Path(str(copy.cni)).is_file()
        assert copy.kube_proxy["conntrack"] == {"maxPerCore": 0}

    def test_an_overlay_goes_deep_and_keeps_the_rest(self) -> None:
        below = {"a": {"b": 1, "c": 2}, "d": 3}
        assert twin.overlaid(below, {"a": {"b": 9}, "e": 4}) == {"a": {"b": 9, "c": 2}, "d": 3, "e": 4}
        assert below["a"] == {"b": 1, "c": 2}

    def test_only_hosts_with_pods_get_images(self) -> None:
        found = twin.identities(load_site(SITE).site, "key")
        assert {name for name, who in found.items() if not who.runs_pods} == {"lb1", "lb2"}
