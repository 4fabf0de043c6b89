"""The arrows between modules run one way, effects live in one place, and nothing grows beyond what one can read."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import tasks

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[1]
TOPS = ("runbooks", "lab", "rehearse")
SOURCES = sorted([ROOT / "tasks.py", *(path for top in TOPS for path in (ROOT / top).rglob("*.py"))])
SCRIPTS = sorted(path for top in ("scripts", "lab/recipe", ".ci") for path in (ROOT / top).rglob("*") if path.is_file())
MODULE_LINES, FUNCTION_LINES = 300, 40
STDLIB = sys.stdlib_module_names
COMMON = ("runbooks.errors", "runbooks.text")  # what every module may import


def named(path: Path) -> str:
    """runbooks/engine/ssh.py -> runbooks.engine.ssh"""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {named(path): path for path in SOURCES}


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


@cache
def imports(module: str) -> frozenset[tuple[str, bool]]:
    """What a module imports, and whether that happens when it is loaded (and not in a function, or for the type checker only)."""
    late = set()
    for node in ast.walk(tree(module)):
        checking = isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or checking:
            late.update(map(id, ast.walk(node)))
    found = set()
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            found |= {(alias.name, id(node) not in late) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module}: a relative import hides where it goes"
            for alias in node.names:
                below = f"{node.module}.{alias.name}"
                found.add((below if below in MODULES else str(node.module), id(node) not in late))
    return frozenset(found)


def importers(library: str) -> set[str]:
    return {module for module in MODULES if any(name.split(".")[0] == library for name, _ in imports(module))}


def own(module: str) -> set[str]:
    """What a module imports of this project."""
    return {name for name, _ in imports(module) if name.split(".")[0] in TOPS}


def below(*packages: str) -> list[str]:
    return [module for module in MODULES if module.startswith(tuple(f"{package}." for package in packages)) or module in packages]


def within(name: str, allowed: tuple[str, ...]) -> bool:
    return any(name == one or name.startswith(f"{one}.") for one in allowed)


# ---- arrows


def test_this_test_sees_the_project():
    assert {"tasks", "runbooks.engine.ssh", "runbooks.rules.lb", "runbooks.commands.base", "lab.tasks"} <= set(MODULES)
    assert ("fabric", True) in imports("runbooks.engine.ssh")
    assert ("tenacity", False) in imports("runbooks.engine.retry")


# Who may import whom: a room is a package or a module right below runbooks/. Its own modules it may import anyhow.
WORDS = ("errors", "text", "inventory", "commands")
FLOORS = (*WORDS, "engine", "rules", "local", "view", "gates", "baseline", "pages", "measure")
ARROWS: dict[str, tuple[str, ...]] = {
    "text": (),
    "errors": ("text",),
    "inventory": ("errors", "text"),
    "render": ("commands", "inventory"),
    "commands": ("errors", "text", "inventory"),
    "rules": WORDS,
    "engine": WORDS,
    "local": WORDS,
    "view": (*WORDS, "engine", "rules"),
    "gates": (*WORDS, "engine", "rules", "view"),
    "baseline": (*WORDS, "engine", "rules"),
    "pages": (*WORDS, "engine", "render"),
    "report": ("text", "render"),
    "measure": (*WORDS, "engine", "rules", "local", "view"),
    "lb": (*FLOORS, "render"),
    "etcd": FLOORS,
    "backup": FLOORS,
    "cluster": (*FLOORS, "render", "backup", "lb"),
    "certs": (*FLOORS, "lb"),
    "monitor": (*FLOORS, "render"),
    "doctor": (*FLOORS, "backup", "etcd"),
    "recover": (*FLOORS, "backup", "certs", "cluster", "etcd", "lb"),
    "upgrade": (*FLOORS, "backup", "certs", "cluster", "etcd", "lb"),
    "day2": (*FLOORS, "backup", "cluster", "etcd", "lb", "upgrade"),
    "runs": (*FLOORS, "report"),
    "drill": (*FLOORS, "report", "backup", "lb", "monitor"),
    "site": (
        *FLOORS,
        "render",
        "backup",
        "certs",
        "cluster",
        "day2",
        "doctor",
        "drill",
        "etcd",
        "lb",
        "monitor",
        "recover",
        "upgrade",
    ),
}
# The same within a wing, where its rooms have a direction of their own.
INNER_ARROWS: dict[str, tuple[str, ...]] = {
    "backup.rules": (),
    "backup.sets": ("backup.rules",),
    "backup.run": ("backup.rules", "backup.sets"),
    "backup.read": ("backup.rules", "backup.sets", "backup.run"),
    "backup.schedule": ("backup.rules", "backup.sets"),
    "day2.rules": (),
    "drill.rules": (),
    "etcd.rules": (),
    "measure.rules": (),
    "monitor.rules": (),
    "monitor.dashboards": ("monitor.rules",),
    "recover.rules": (),
    "runs.rules": (),
    "upgrade.rules": (),
    "recover.vip": ("recover.rules",),
    "recover.member": ("recover.rules",),
    "recover.quorum": ("recover.rules",),
}
# The few exceptions, each with its reason.
EXCEPTIONS = {
    ("engine", "runbooks.local.files"),  # journals and host keys are private files as well, and it imports nothing of ours
    ("engine", "runbooks.local.disk"),  # a run begins only where there is room for its journal
}


def room(module: str, parts: int = 1) -> str:
    """runbooks.lb.steps -> lb; with two parts, runbooks.backup.sets.store -> backup.sets."""
    return ".".join(module.split(".")[1 : 1 + parts])


def test_every_room_says_whom_it_imports():
    rooms = {room(module) for module in below("runbooks") if module != "runbooks"}
    assert rooms == set(ARROWS)


def test_arrows_run_one_way():
    wrong = [
        f"{module} imports {name}"
        for module in below("runbooks")
        for name in sorted(own(module))
        if within(name, ("runbooks",)) and room(name) not in (room(module), *ARROWS[room(module)])
        if (room(module), name) not in EXCEPTIONS
    ]
    assert wrong == []


def test_exceptions_are_needed():
    assert {(room(module), name) for module in below("runbooks") for name in own(module)} >= EXCEPTIONS


def test_arrows_between_the_rooms_of_a_wing_run_one_way():
    rooms = {f"runbooks.{inner}" for inner in INNER_ARROWS}
    assert rooms <= {module.rpartition(".")[0] for module in MODULES}
    wrong = [
        f"{module} imports {name}"
        for inner, allowed in INNER_ARROWS.items()
        for module in below(f"runbooks.{inner}")
        for name in sorted(own(module))
        if room(name) == inner.split(".")[0] and room(name, 2) not in (inner, *allowed)
    ]
    assert wrong == []


def test_the_lab_takes_little_from_the_runbooks():
    allowed = (
        "lab",
        "runbooks.inventory",
        "runbooks.errors",
        "runbooks.engine.tasks",
        "runbooks.text",
        "runbooks.rules.etcd_flags",
    )
    assert [
        f"{module} imports {name}" for module in below("lab") for name in sorted(own(module)) if not within(name, allowed)
    ] == []


def test_the_runbooks_know_nothing_of_the_lab():
    assert [module for module in below("runbooks") if any(within(name, ("lab", "rehearse")) for name in own(module))] == []


def test_rehearsals_are_the_one_place_that_knows_both():
    """Nobody builds on them but the list of commands; they change hosts of the twin only by the runbooks' own commands and the lab's consoles."""
    everyone = [module for module in MODULES if module not in ("tasks", *below("rehearse"))]
    assert [module for module in everyone if any(within(name, ("rehearse",)) for name in own(module))] == []
    pure = [name for module in below("rehearse.rules") for name in own(module) if within(name, ("lab",))]
    assert pure == []


PURE = [module for module in MODULES if within(module, ("runbooks.commands",)) or "rules" in module.split(".")]


def test_rules_and_commands_are_pure():
    """Standard library, YAML and certificates only, and nothing that acts: they decide and describe, others do."""
    acting = {"subprocess", "socket", "threading", "signal", "tempfile", "shutil", "urllib", "http", "time", "random", "secrets"}
    wrong = []
    for module in PURE:
        for name, _ in imports(module):
            top = name.split(".")[0]
            if top in acting or (top not in STDLIB and top not in {"runbooks", "rehearse", "yaml", "cryptography"}):
                wrong.append(f"{module} imports {name}")
    assert wrong == []


def test_each_library_has_one_importer():
    assert importers("fabric") == {"runbooks.engine.ssh"}
    assert importers("tenacity") == {"runbooks.engine.retry"}
    assert importers("rich") == {"runbooks.engine.console"}
    assert importers("jinja2") == {"runbooks.render"}
    assert importers("paramiko") <= {
        f"runbooks.engine.{each}" for each in ("hops", "login", "slots", "ssh", "ssh_errors", "trust")
    }
    assert importers("cryptography") == {"runbooks.commands.certs"}
    assert importers("yaml") == {
        "runbooks.commands.yaml_text",
        "runbooks.commands.yaml_written",
        "runbooks.inventory.source",
        "runbooks.rules.kubeadm_documents",
        "lab.twin",
    }
    assert importers("invoke") == {"tasks", "runbooks.engine.tasks", "lab.tasks"}


def test_the_lab_takes_only_what_a_command_line_needs_from_invoke():
    names = {
        alias.name
        for node in ast.walk(tree("lab.tasks"))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if (node.module or "").startswith("invoke")
    }
    assert names <= {"Context", "Exit", "Collection"}


def test_hosts_are_reached_through_a_run():
    """Only the engine has connections in its hands: everybody else looks and changes through `Run`, which plans, locks and journals."""
    wrong = [
        f"{module}, line {node.lineno}"
        for module in MODULES
        if module not in below("runbooks.engine")
        for node in ast.walk(tree(module))
        if isinstance(node, ast.Attribute) and node.attr == "transport"
    ]
    assert wrong == []


def test_commands_are_the_top_floor():
    """A task imported from another chapter would be listed twice; what chapters share is in a module of its own."""
    chapters = {module for module in MODULES if re.fullmatch(r"runbooks\.\w+\.tasks", module)} - {"runbooks.engine.tasks"}
    assert chapters <= own("tasks") | {*tasks.CHAPTERS.values(), *tasks.ALONE.values()}
    everyone = [module for module in MODULES if module != "tasks"]
    assert [f"{module} imports {name}" for module in everyone for name in sorted(own(module) & chapters)] == []


def test_there_are_no_import_cycles():
    """Also none through imports that are made late, or only for the type checker: those are cycles papered over."""
    graph = {module: {name for name in own(module) if name in MODULES and name != module} for module in MODULES}
    left = dict(graph)
    while free := [module for module, wanted in left.items() if not wanted & left.keys()]:
        for module in free:
            del left[module]
    assert {module: sorted(wanted & left.keys()) for module, wanted in left.items()} == {}


# ---- size


def functions(module: str) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree(module)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_modules_can_be_read_in_one_go():
    lines = {module: len(path.read_text(encoding="utf-8").splitlines()) for module, path in MODULES.items()}
    assert {module: number for module, number in lines.items() if number > MODULE_LINES} == {}


def test_functions_fit_on_a_screen():
    long = {}
    for module in MODULES:
        for node in functions(module):
            assert node.end_lineno is not None
            if (number := node.end_lineno - node.lineno + 1) > FUNCTION_LINES:
                long[f"{module}.{node.name}"] = number
    assert long == {}


# ---- state


CONTAINERS = {
    "list",
    "dict",
    "set",
    "defaultdict",
    "Counter",
    "deque",
    "OrderedDict",
    "bytearray",
    "WeakKeyDictionary",
    "WeakValueDictionary",
}
CONSTANT = re.compile(r"_?[A-Z][A-Z0-9_]*$")
MUTATING = {
    "append",
    "add",
    "update",
    "extend",
    "pop",
    "popitem",
    "clear",
    "insert",
    "remove",
    "discard",
    "setdefault",
    "sort",
    "reverse",
}


def mutable(value: ast.expr | None) -> bool:
    if isinstance(value, ast.Call):
        called = value.func
        return (called.id if isinstance(called, ast.Name) else getattr(called, "attr", "")) in CONTAINERS
    return isinstance(value, ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp)


def module_level(module: str) -> dict[str, ast.expr | None]:
    found = {}
    for node in tree(module).body:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        found.update({target.id: node.value for target in targets if isinstance(target, ast.Name)})
    return found


@pytest.mark.parametrize("module", MODULES)
def test_modules_hold_no_state(module):
    """Containers at module level are constants, are called so, and nobody changes them."""
    variables = {name: value for name, value in module_level(module).items() if mutable(value)}
    assert [name for name in variables if not CONSTANT.match(name) and name != "__all__"] == []
    assert [node.lineno for node in ast.walk(tree(module)) if isinstance(node, ast.Global)] == []
    constants = {name for name in module_level(module) if CONSTANT.match(name)}
    touched = []
    for node in ast.walk(tree(module)):
        target: ast.expr | None = None
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in MUTATING:
            target = node.func.value
        elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
            target = node.value
        elif isinstance(node, ast.AugAssign):
            target = node.target
        if isinstance(target, ast.Name) and target.id in constants:
            touched.append(f"{target.id}, line {node.lineno}")
    assert touched == []


def test_defaults_of_functions_are_not_shared():
    wrong = []
    for module in MODULES:
        for node in functions(module):
            defaults = [*node.args.defaults, *(one for one in node.args.kw_defaults if one)]
            wrong += [f"{module}.{node.name}" for one in defaults if mutable(one)]
    assert wrong == []


# ---- shells


def calls(module: str) -> Iterator[tuple[str, ast.Call]]:
    """Every call, with its dotted name as written."""
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def keyword(call: ast.Call, name: str) -> ast.expr | None:
    return next((one.value for one in call.keywords if one.arg == name), None)


def test_no_text_of_ours_goes_through_a_local_shell():
    wrong = []
    for module in MODULES:
        for name, call in calls(module):
            shell = keyword(call, "shell")
            if (shell is not None and not (isinstance(shell, ast.Constant) and shell.value is False)) or name in {
                "os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput", "eval", "exec",
            }:  # fmt: skip
                wrong.append(f"{module}, line {call.lineno}: {name}")
    assert wrong == []


def test_programs_for_hosts_are_put_together_in_one_place():
    """Everywhere else a command is words and variables, which `commands.base` quotes."""
    wrong = []
    for module in below("runbooks"):
        if module == "runbooks.commands.base":
            continue
        for name, call in calls(module):
            if name.rsplit(".", 1)[-1] == "Command" or (name.rsplit(".", 1)[-1] == "replace" and keyword(call, "program")):
                wrong.append(f"{module}, line {call.lineno}: {ast.unparse(call)}")
    assert wrong == []


def test_the_first_word_of_a_command_is_written_out():
    """What is called, and which host script is run, can be read in the source; only its arguments vary."""
    wrong = []
    for module in below("runbooks"):
        if module == "runbooks.commands.base":
            continue
        for name, call in calls(module):
            if name in {"cmd", "script", "base.cmd", "base.script"} and not (
                call.args and isinstance(call.args[0], ast.Constant)
            ):
                wrong.append(f"{module}, line {call.lineno}: {ast.unparse(call)}")
    assert wrong == []


def _words(value: ast.expr | None) -> list[ast.expr]:
    return value.elts if isinstance(value, ast.Tuple) else []


def test_host_scripts_exist_and_are_all_used():
    used = {
        word.value
        for module in below("runbooks")
        for name, call in calls(module)
        if name in {"script", "base.script"}
        for word in [*call.args[:1], *_words(keyword(call, "after"))]
        if isinstance(word, ast.Constant)
    }
    there = {path.stem for path in (ROOT / "scripts" / "host").glob("*.sh")}
    assert used <= there
    assert there - used == {"session"}  # what every one of them goes through


def shell_scripts() -> list[Path]:
    return [path for path in SCRIPTS if (path.suffix == ".sh" or path.read_bytes().startswith((b"#!/bin/bash", b"#!/bin/sh")))]


@pytest.mark.parametrize("path", shell_scripts(), ids=lambda path: str(path.relative_to(ROOT)))
def test_scripts_parse(path):
    shell = "sh" if path.read_text().startswith("#!/bin/sh") else "bash"
    checked = subprocess.run([shell, "-n", path], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_scripts_are_clean():
    if not shutil.which("shellcheck"):
        pytest.skip("shellcheck is not installed")
    checked = subprocess.run(["shellcheck", "-x", *shell_scripts()], capture_output=True, text=True, check=False, cwd=ROOT)
    assert checked.stdout == ""
    assert checked.returncode == 0


def test_host_scripts_say_which_variables_they_take():
    """The header names them all: a name in capitals that a script uses comes from there, from itself, or from bash."""
    bash = {"IFS", "EPOCHREALTIME", "PIPESTATUS", "LC_ALL", "PATH", "SECONDS", "RANDOM", "UID", "BASHPID", "BASH_REMATCH"}
    for path in (ROOT / "scripts" / "host").glob("*.sh"):
        text = path.read_text()
        header = "".join(line for line in text.splitlines(keepends=True) if line.startswith("#"))
        body = text.replace(header, "")
        used = set(re.findall(r"\$\{?[#!]?([A-Z][A-Z_]+)", body))
        made = set(re.findall(r"(?:^|\s|;)(?:export )?([A-Z][A-Z_]+)=", body))
        assert {name for name in used - made - bash if name not in header} == set(), path.name


# ---- where packages come from is this machine's business


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], capture_output=True, text=True, check=False, cwd=ROOT)
    if listed.returncode:
        pytest.skip("this is no checkout")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def registries() -> set[str]:
    """The hosts that this machine gets its packages from."""
    configured = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    ).stdout
    places = [*Path("/etc/apt").glob("sources.list"), *Path("/etc/apt/sources.list.d").glob("*"), Path("/etc/environment")]
    texts = [configured, *(path.read_text(errors="replace") for path in places if path.is_file())]
    found = {host.lower() for text in texts for host in re.findall(r"https?://(?:[^/@\s'\"]*@)?([A-Za-z0-9.-]+)", text)}
    return {host for host in found if "." in host}


def test_no_tracked_file_names_a_registry_of_this_machine():
    hosts = registries()
    wrong = []
    for path in tracked():
        text = path.read_bytes().decode(errors="replace").lower()
        wrong += [str(path.relative_to(ROOT)) for host in hosts if host in text]
    assert wrong == []


def test_no_tracked_file_chooses_a_registry():
    options = re.compile(r"^\s*(--(extra-)?index-url|--find-links|--trusted-host|-i\s+https?:)", re.MULTILINE)
    wrong = [
        str(path.relative_to(ROOT))
        for path in tracked()
        if path.suffix in {".txt", ".in", ".lock", ".toml", ".cfg", ".ini"} and options.search(path.read_text(errors="replace"))
    ]
    assert wrong == []
