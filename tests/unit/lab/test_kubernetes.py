"""Kubernetes in the lab, as far as it is decided without a host: packages, images, cache, the twin's options."""

import json
import subprocess
import tarfile
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest
from invoke.collection import Collection
from invoke.program import Program

from lab import (
    cgroups,
    kube_choice,
    kube_etcd,
    kube_golden,
    kube_images,
    kube_packages,
    kube_parts,
    kubernetes,
    stores,
    tasks,
    twin,
)
from lab.archive import Archive, other_suite
from lab.kube_choice import Flags
from lab.kubernetes import PROGRAMS, Kubernetes
from lab.libraries import inside, loaded
from lab.mounts import parse
from lab.names import Instance
from lab.tree import index
from runbooks.errors import InventoryError, OutcomeError, PrecheckError
from runbooks.inventory.load import load_site
from runbooks.inventory.settings_baseline import Baseline
from runbooks.inventory.settings_runtime import Containerd, Proxy, Registry, Runtime

pytestmark = pytest.mark.unit
SITE = Path(__file__).parents[3] / "hosts.yaml"
SOURCE = Archive("bookworm", ("deb scheme:/mirror/ bookworm main", "deb scheme:/other/ bookworm-security main"), (), ())


def programs(directory: Path, version: str = "v1.30.1", etcd_tag: str = "3.5.24-0") -> Path:
    directory.mkdir()
    for name in PROGRAMS:
        program(directory / name, f"echo {version}")
    program(directory / "kubeadm", f"[ $1 = config ] && echo r/pause:3.10 r/etcd:{etcd_tag} || echo {version}")
    return directory


def program(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def with_etcd(directory: Path, version: str = "3.6.8") -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    for name in kube_etcd.PROGRAMS:
        program(directory / name, f"echo 'etcd Version: {version}'; echo 'Git SHA: 0'")
    return directory


class TestChoice:
    def test_the_flags_of_lab_up(self) -> None:
        assert kube_choice.chosen(Flags(), print) == Kubernetes()
        assert kube_choice.chosen(Flags(without=True), print) is None
        assert kube_choice.chosen(
            Flags(kubernetes="/a", upgrade=("/b", "/c"), etcd="3.4", containerd="1.7"), print
        ) == Kubernetes(Path("/a"), (Path("/b"), Path("/c")), "3.4", "1.7")

    @pytest.mark.parametrize(("words", "ups"), [([], ()), (["--upgrade", "/b, /c", "--upgrade", "/d"], ("/b", "/c", "/d"))])
    def test_upgrade_takes_a_list_and_is_given_several_times(
        self, words: list[str], ups: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[Flags] = []
        monkeypatch.setattr("lab.machine.require", lambda: None)
        monkeypatch.setattr("lab.kube_choice.chosen", lambda flags, _: seen.append(flags))
        monkeypatch.setattr("lab.control.Lab.up", lambda *_: None)
        program = Program(namespace=Collection(tasks.up))
        program.run(["inv", "up", "--kubernetes", "/a", *words], exit=False)
        assert seen == [Flags(kubernetes="/a", upgrade=ups)]

    def test_debians_source_is_stamped_as_the_patch_releases_that_are_asked_for(self) -> None:
        def stamps(*upgrade: str) -> tuple[str, ...]:
            found = kube_choice.chosen(Flags(kubernetes="debian", upgrade=upgrade, etcd="3.4"), print)
            assert found is not None
            assert (found.binaries, found.etcd) == (None, "3.4")
            return found.built

        assert stamps() == stamps("1.20.3") == Kubernetes().built == ("v1.20.2", "v1.20.3")
        assert stamps("v1.20.4", "1.20.11") == ("v1.20.2", "v1.20.4", "v1.20.11")

    @pytest.mark.parametrize(
        "upgrade",
        [["1.20.2"], ["1.20.1"], ["1.21.0"], ["1.20.4", "1.20.3"], ["1.20.3", "1.20.3"], ["/b"], ["1.20.3-rc.1"], ["1.20"]],
    )
    def test_and_as_nothing_else(self, upgrade: list[str]) -> None:
        with pytest.raises(InventoryError, match=r"Debian has the source of v1\.20\.2") as caught:
            kube_choice.chosen(Flags(kubernetes="debian", upgrade=tuple(upgrade)), print)
        assert caught.value.hint.startswith("--upgrade 1.20.3;")
        with pytest.raises(InventoryError, match="--mirror has nothing to fetch"):
            kube_choice.chosen(Flags(kubernetes="debian", upgrade=("1.20.3",), mirror="http://127.0.0.1:1"), print)

    def test_two_directories_of_one_version_are_refused(self, tmp_path: Path) -> None:
        one, other = programs(tmp_path / "a"), programs(tmp_path / "b")
        with pytest.raises(InventoryError, match=rf"{one} and {other} both have Kubernetes v1\.30\.1"):
            kubernetes.parts_of(Kubernetes(one, (other,)))

    @pytest.mark.parametrize("flags", [{"kubernetes": "/a"}, {"etcd": "3.4"}, {"containerd": "2"}, {"mirror": "http://x"}])
    def test_nothing_is_chosen_from_nothing(self, flags: dict[str, str]) -> None:
        with pytest.raises(InventoryError, match=f"--no-kubernetes leaves nothing for --{next(iter(flags))} "):
            kube_choice.chosen(Flags(**flags, without=True), print)  # type: ignore[arg-type]

    def test_a_mirror_is_for_releases(self) -> None:
        with pytest.raises(InventoryError, match="--mirror has nothing to fetch"):
            kube_choice.chosen(Flags(kubernetes="/a", mirror="http://127.0.0.1:1"), print)

    def test_a_containerd_that_the_lab_has_not_or_the_kubelet_does_not_speak_to(self) -> None:
        with pytest.raises(InventoryError, match=r"--containerd 3: the lab has 1\.7 and 2"):
            Kubernetes(containerd="3")
        with pytest.raises(InventoryError, match=r"v1\.20\.2 and containerd 2 cannot run together"):
            kubernetes.parts_of(Kubernetes(containerd="2"))
        assert kubernetes.parts_of(Kubernetes(containerd="1.7")).etcd_suite == "trixie"

    def test_a_strange_etcd_and_an_upgrade_from_nothing(self) -> None:
        with pytest.raises(InventoryError, match=r"Debian has 3\.5 and 3\.4") as caught:
            Kubernetes(etcd="3.6")
        assert "beside kubeadm" in str(caught.value.hint)
        with pytest.raises(InventoryError, match="--upgrade needs --kubernetes"):
            Kubernetes(upgrades=(Path("/b"),))

    def test_every_missing_program_is_named_at_once(self, tmp_path: Path) -> None:
        directory = programs(tmp_path / "bin")
        (directory / "kubectl").unlink()
        (directory / "kube-proxy").chmod(0o644)
        with pytest.raises(InventoryError, match="no program kubectl, kube-proxy"):
            kubernetes.digest(Kubernetes(directory), SOURCE)

    def test_kubeadm_says_the_version(self, tmp_path: Path) -> None:
        assert kubernetes.version(programs(tmp_path / "a")) == "v1.30.1"
        assert kubernetes.version(programs(tmp_path / "b", "v1.31.0-rc.1")) == "v1.31.0-rc.1"
        with pytest.raises(InventoryError, match="is no version"):
            kubernetes.version(programs(tmp_path / "c", "hello"))


class TestEtcd:
    @pytest.mark.parametrize(
        ("kubeadm", "tag", "etcd", "wrong"),
        [
            ("v1.20.2", "3.4.13-0", "3.4", ""),
            ("v1.20.2", "3.4.13-0", "3.5", ""),
            ("v1.33.13", "3.5.24-0", "3.5", ""),
            ("v1.33.13", "3.5.24-0", "3.6", ""),  # deprecated there, but known
            ("v1.33.13", "3.5.24-0", "3.7", "experimental-initial-corrupt-check"),
            ("v1.34.9", "3.5.24-0", "3.5", ""),  # 1.34 and 1.35 decide by the tag
            ("v1.34.9", "3.6.5-0", "3.5", "feature-gates"),
            ("v1.35.6", "3.6.6-0", "3.5", "feature-gates"),
            ("v1.36.3", "3.5.24-0", "3.5", "feature-gates"),  # 1.36 does not look at it
            ("v1.36.3", "3.6.8-0", "3.6", ""),
            ("v1.36.3", "3.6.8-0", "3.10", ""),
        ],
    )
    def test_flags_that_kubeadm_writes_and_etcd_knows(self, kubeadm: str, tag: str, etcd: str, wrong: str) -> None:
        said = kube_etcd.misfit(kubeadm, tag, etcd)
        assert wrong in said if wrong else said == ()

    def test_the_one_beside_kubeadm_then_debians_that_it_wants(self, tmp_path: Path) -> None:
        old, new = programs(tmp_path / "old", "v1.28.1", "3.4.13-0"), with_etcd(programs(tmp_path / "new", "v1.36.3", "3.6.8-0"))
        own = kube_etcd.Etcd("3.6", new)
        assert kube_parts.find({"v1.36.3": new}, "").etcd == {"v1.36.3": own}
        assert [path.name for path in own.files] == ["etcd", "etcdctl", "etcdutl"]
        assert kube_parts.find({"v1.28.1": old}, "").etcd == {"v1.28.1": kube_etcd.Etcd("3.4")}
        assert kube_parts.find({"v1.28.1": old}, "3.5").etcd == {"v1.28.1": kube_etcd.Etcd("3.5")}
        both = kube_parts.find({"v1.28.1": old, "v1.36.3": new}, "")
        assert (both.etcd["v1.36.3"], both.etcd_suite) == (own, "bookworm")

    def test_every_version_has_its_own_and_one_to_be_upgraded_to_3_6_is_new_enough(self, tmp_path: Path) -> None:
        """1.33 on Debian's newest 3.5, then the two with the etcd beside them, and 1.36.3 with that of the one before."""
        first = programs(tmp_path / "33", "v1.33.13", "3.5.24-0")
        second = with_etcd(programs(tmp_path / "34", "v1.34.9", "3.6.5-0"), "3.6.5")
        third = with_etcd(programs(tmp_path / "36", "v1.36.2", "3.6.8-0"))
        last = programs(tmp_path / "363", "v1.36.3", "3.6.8-0")
        parts = kubernetes.parts_of(Kubernetes(first, (second, third, last)))
        assert parts.etcd == {
            "v1.33.13": kube_etcd.Etcd("3.5", newer="forky"),
            "v1.34.9": kube_etcd.Etcd("3.6", second),
            "v1.36.2": kube_etcd.Etcd("3.6", third),
            "v1.36.3": kube_etcd.Etcd("3.6", third),
        }
        assert parts.etcd_suite == "forky"
        assert kubernetes.parts_of(Kubernetes(first)).etcd_suite == "trixie"
        assert kubernetes.etcds(parts, with_etcd(tmp_path / "usr/bin", "3.5.30").parents[1]) == "3.5.30, 3.6.5, 3.6.8"

    def test_one_image_cannot_have_two_etcds(self, tmp_path: Path) -> None:
        one = with_etcd(programs(tmp_path / "a", "v1.36.2", "3.6.8-0"))
        other = with_etcd(programs(tmp_path / "b", "v1.36.3", "3.6.8-0"))
        assert kubernetes.parts_of(Kubernetes(one, (other,))).etcd["v1.36.3"].directory == other
        with_etcd(other, "3.6.11")
        with pytest.raises(InventoryError, match=rf"{one} has etcd 3\.6\.8 and {other} has etcd 3\.6\.11, and both kubeadm name"):
            kubernetes.parts_of(Kubernetes(one, (other,)))

    @pytest.mark.parametrize("asked", ["", "3.5"])
    def test_a_pair_that_cannot_run_is_refused_with_the_way_out(self, tmp_path: Path, asked: str) -> None:
        directory = programs(tmp_path / "bin", "v1.36.3", "3.6.8-0")
        with pytest.raises(
            InventoryError, match=r"v1\.36\.3 and etcd 3\.5 cannot run together: kubeadm writes --feature-gates and"
        ) as caught:
            kubernetes.digest(Kubernetes(directory, etcd=asked), SOURCE)
        assert f"etcd, etcdctl and etcdutl of 3.6.8 (what this kubeadm wants) beside kubeadm into {directory}" in str(
            caught.value.hint
        )
        assert ("leave out --etcd" in str(caught.value.hint)) == bool(asked)

    def test_half_an_etcd_and_one_that_says_nothing(self, tmp_path: Path) -> None:
        directory = with_etcd(programs(tmp_path / "bin"), "unknown")
        with pytest.raises(InventoryError, match="says no version"):
            kubernetes.digest(Kubernetes(directory), SOURCE)
        (directory / "etcdctl").unlink()
        with pytest.raises(InventoryError, match="etcd without etcdctl"):
            kubernetes.digest(Kubernetes(directory), SOURCE)


class TestParts:
    def test_what_the_directory_has_is_taken_and_the_rest_is_made(self, tmp_path: Path) -> None:
        directory = programs(tmp_path / "bin")
        parts = kube_parts.find({"v1.30.1": directory}, "")
        assert (parts.to_build, parts.plugins, parts.files) == (["crictl", "pause"], None, [])
        crictl = program(directory / "crictl", "echo crictl version v1.36.0")
        (directory / "cni").mkdir()
        (directory / "cni/LICENSE").touch()
        with pytest.raises(InventoryError, match="no CNI plugin bridge, host-local, loopback, portmap"):
            kube_parts.find({"v1.30.1": directory}, "")
        for name in kube_parts.NEEDED_PLUGINS:
            program(directory / "cni" / name, "echo CNI bridge plugin v1.7.1 >&2")
        parts = kube_parts.find({"v1.30.1": directory}, "")
        assert (parts.to_build, parts.tools, parts.plugins) == (["pause"], {"crictl": crictl}, directory / "cni")
        assert [kube_parts.number(path) for path in (crictl, directory / "cni/bridge", directory / "kubelet")] == [
            "1.36.0",
            "1.7.1",
            kube_parts.UNKNOWN,
        ]
        program(
            directory / "cni/bridge",
            "echo 'CNI bridge plugin version unknown\nCNI protocol versions supported: 0.1.0, 1.0.0' >&2",
        )
        assert kube_parts.number(directory / "cni/bridge") == kube_parts.UNKNOWN
        assert [path.name for path in kube_packages.programs_in(directory / "cni")] == sorted(kube_parts.NEEDED_PLUGINS)

    def test_a_pause_that_does_not_say_its_version_is_refused(self, tmp_path: Path) -> None:
        directory = programs(tmp_path / "bin")
        pause = program(directory / "pause", "exit 2")
        with pytest.raises(InventoryError, match=rf"`{pause} -v` exited 2\. Before an upgrade kubeadm runs this") as caught:
            kubernetes.parts_of(Kubernetes(directory))
        assert caught.value.hint == f"remove {pause}: the lab builds its own then"

    def test_an_entry_is_another_one_when_one_of_them_changes(self, tmp_path: Path) -> None:
        directory = with_etcd(programs(tmp_path / "bin"))
        before = kubernetes.digest(Kubernetes(directory), SOURCE)
        program(directory / "pause", "true")
        middle = kubernetes.digest(Kubernetes(directory), SOURCE)
        (directory / "etcdctl").write_text("#!/bin/sh\n")
        assert len({before, middle, kubernetes.digest(Kubernetes(directory), SOURCE)}) == 3


class TestCache:
    def test_an_entry_is_named_for_what_goes_into_it(self, tmp_path: Path) -> None:
        directory = programs(tmp_path / "bin")
        names = {
            kubernetes.digest(wanted, SOURCE)
            for wanted in (
                Kubernetes(),
                Kubernetes(etcd="3.4"),
                Kubernetes(containerd="1.7"),
                Kubernetes(directory),
                Kubernetes(directory, etcd="3.4"),
                Kubernetes(directory, containerd="2"),
                Kubernetes(directory, (programs(tmp_path / "next", "v1.31.2"),)),
                Kubernetes(stamps=("v1.20.2", "v1.20.4")),
            )
        }
        assert len(names) == 8
        assert kubernetes.digest(Kubernetes(stamps=("v1.20.2", "v1.20.3")), SOURCE) in names
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

    def test_the_repository_has_every_version_and_the_shared_packages_once(self, tmp_path: Path) -> None:
        found = {version: programs(tmp_path / version, version) for version in ("v1.33.13", "v1.34.9", "v1.36.3")}
        crictl = program(found["v1.34.9"] / "crictl", "echo crictl version v1.34.0")
        plugins = tmp_path / "cni"
        plugins.mkdir()
        program(plugins / "bridge", "echo CNI bridge plugin v1.7.1 >&2")
        (tmp_path / "repo").mkdir()
        parts = kube_parts.Parts(etcd={}, tools={"crictl": crictl}, plugins=plugins)
        kube_packages.make(found, parts, unpacked=tmp_path / "work/unpacked", repo=tmp_path / "repo")
        text = index(tmp_path / "repo")
        for name in ("kubeadm", "kubelet", "kubectl"):
            for version in found:
                assert f"Package: {name}\nVersion: {version[1:]}-1.1\n" in text
        assert text.count("Package: ") == 11

    def test_kubelet_reads_the_operators_flags_last(self) -> None:
        """As in the community's packages: https://kubernetes.io/docs/setup/production-environment/tools/kubeadm/kubelet-integration/ ."""
        (tree,) = [each for each in kube_packages.of_version("v1.30.1", Path("/bin")) if each.name == "kubeadm"]
        lines = tree.files["usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf"].read_text().splitlines()
        read = [line.partition("=")[2] for line in lines if line.startswith("EnvironmentFile=")]
        assert read == ["-/var/lib/kubelet/kubeadm-flags.env", "-/etc/default/kubelet"]
        (start,) = [line for line in lines if line.startswith("ExecStart=/")]
        assert start.split()[-2:] == ["$KUBELET_KUBEADM_ARGS", "$KUBELET_EXTRA_ARGS"]


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
        stores.give(golden, target)
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
        options = twin.kubernetes_options(["v1.20.2"], oom=False, cgroup_v1=True)
        path = tmp_path / "site.yaml"
        path.write_text(twin.twin_text(load_site(SITE).site, Instance("x"), SITE, options))
        copy = load_site(path).site.kubernetes
        assert (copy.version, copy.cgroup_driver, copy.swap) == ("1.20.2", "cgroupfs", "keep")
        assert (copy.addons.coredns, copy.addons.kube_proxy) == (False, True)
        assert copy.containerd.restrict_oom_score_adj
        assert Path(str(copy.cni)).is_file()
        assert copy.kube_proxy["conntrack"] == {"maxPerCore": 0}
        assert copy.kubelet == {"syncFrequency": "10s"}

    def test_the_way_to_registries_is_the_sites_and_the_root_the_labs(self, tmp_path: Path) -> None:
        mirrored = Registry(host="docker.io", mirrors=("https://a.example",), ca=Path("/etc/own/ca.crt"))
        own = Containerd(
            root="/data/containerd", registries=(mirrored,), runtimes={"kata": Runtime(type="io.containerd.kata.v2")}
        )
        site = load_site(SITE).site
        site = msgspec.structs.replace(site, kubernetes=msgspec.structs.replace(site.kubernetes, containerd=own))
        site = msgspec.structs.replace(site, baseline=Baseline(proxy=Proxy(https="http://10.1.1.5:3128")))
        path = tmp_path / "site.yaml"
        options = twin.kubernetes_options(["v1.20.2"], oom=True, cgroup_v1=True)
        path.write_text(twin.twin_text(site, Instance("x"), SITE, options))
        copy = load_site(path).site
        assert copy.kubernetes.containerd == msgspec.structs.replace(own, root="/var/lib/containerd")
        assert copy.baseline == site.baseline

    @pytest.mark.parametrize(
        ("versions", "v1", "told"),
        [
            (["v1.34.9"], True, False),
            (["v1.35.0"], True, True),
            (["v1.36.3"], False, False),
            (["v1.34.9", "v1.35.6"], True, True),  # before the upgrade: the kubelet of 1.31 and newer knows the word
            (["v1.30.1", "v1.35.6"], True, False),
        ],
    )
    def test_a_kubelet_that_would_not_start_on_cgroup_v1_is_told_to(self, versions: list[str], v1: bool, told: bool) -> None:
        options = twin.kubernetes_options(versions, oom=True, cgroup_v1=v1)
        assert options["kubelet"] == {"syncFrequency": "10s", **({"failCgroupV1": False} if told else {})}

    @pytest.mark.parametrize(
        ("now", "version"), [("", "1.20.2"), ("1.20.2", "1.20.2"), ("1.20.3", "1.20.3"), ("1.30.0", "1.20.2")]
    )
    def test_the_version_that_the_twin_was_upgraded_to_stays(self, now: str, version: str, tmp_path: Path) -> None:
        path = tmp_path / "site.yaml"
        if now:
            options = {"version": now}
            path.write_text(twin.twin_text(load_site(SITE).site, Instance("x"), SITE, options))
        assert twin.version_in(path) == now
        options = twin.kubernetes_options(["v1.20.2", "v1.20.3"], now=now, oom=True, cgroup_v1=True)
        assert options["version"] == version

    def test_hosts_have_the_cgroup_version_of_the_machine(self) -> None:
        second = "1 0 0:9 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
        mixed = "1 0 0:8 / /sys/fs/cgroup rw - tmpfs t rw\n2 1 0:9 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
        assert not cgroups.hosts_have_v1(parse(second))
        assert cgroups.hosts_have_v1(parse(mixed))

    def test_an_overlay_goes_deep_and_keeps_the_rest(self) -> None:
        below = {"a": {"b": 1, "c": 2}, "d": 3}
        assert twin.overlaid(below, {"a": {"b": 9}, "e": 4}) == {"a": {"b": 9, "c": 2}, "d": 3, "e": 4}
        assert below["a"] == {"b": 1, "c": 2}

    def test_only_hosts_with_pods_get_images(self) -> None:
        found = twin.identities(load_site(SITE).site, "key")
        assert {name for name, who in found.items() if not who.runs_pods} == {"lb1", "lb2"}
