#!/usr/bin/env python3
"""The rules that keep this repository readable, checked over the tree: repository.py [ROOT]

Each rule is a function from the tree's files to findings, and each finding names the file, the line and the fix. Exit
status 1 when a rule is broken; warnings do not count. tests/repository shows for every rule a tree that breaks it.
"""

import posixpath
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

FOLDERS = (".ci", "include", "src", "transports", "algorithms", "tests", "perf", "tools")
TOP_FILES = ("CMakeLists.txt", "CMakePresets.json", "README.md", "LICENSE", ".gitignore", ".clang-format")
CODE_SUFFIXES = {".h", ".hpp", ".c", ".cpp", ".py", ".cmake", ".sh"}
LINES_WARNED, LINES_ALLOWED = 500, 800
COLUMNS = 120  # as .clang-format

# Each layer may include the ones above it in this list; folders of one layer may include each other, but not in a circle.
LAYERS = (
    ("include/tenon",),
    ("src/base",),
    ("src/os", "src/config"),
    ("src/bootstrap", "src/device_execution", "src/exchange", "src/execution", "src/interchange", "src/plan", "src/reduction",
     "src/selection", "src/topology"),
    ("src/communicator",),
    ("src/c_api",),
    ("src/library",),
    ("tools", "perf", "tests"),
)
# Beside the layers: what is plugged in, and so knows nothing of who uses it. Only the last two layers name these.
PLUGGED_IN = {
    "transports": ("include/tenon/plugin", "src/base", "src/os", "transports/rings", "transports/mirrors"),
    "algorithms": ("include/tenon/plugin", "src/base", "algorithms/patterns"),
}
MAY_NAME_PLUGGED_IN = LAYERS[-2] + LAYERS[-1]

SYSTEM_HEADER = re.compile(
    r"(sys/(?!types)|linux/|net/|netinet/|arpa/).*|"
    r"(dirent|dlfcn|fcntl|ifaddrs|mqueue|netdb|poll|pthread|sched|semaphore|signal|spawn|termios|unistd|csignal)(\.h)?")
VAGUE_NAMES = {"util", "utils", "utility", "utilities", "common", "helper", "helpers", "misc"}
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX)\b")
SWITCHED_OFF = re.compile(r"\bDISABLED_|\bGTEST_SKIP\(\)\s*;")
GETENV = re.compile(r"\b(secure_)?getenv\s*\(")
SLEEP = re.compile(r"\b(sleep_for|sleep_until|(u|nano|clock_nano)?sleep)\s*\(|^\s*sleep\s+[\d$]")
REGISTRY_HOST = re.compile(r"\b(deb|ftp|security|snapshot|pypi|files|static|index|crates|registry|proxy|mirrors?)\.([a-z0-9-]+\.)*"
                           r"(org|com|net|io)\b")
HOME_PATH = re.compile(r"(?<![\w.~}/-])/(home/\w|root/|Users/\w)")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
# What shows that a file needs a header which tools/cmake/TenonPrecompiled.cmake gives it unasked.
NEEDS = {header: re.compile(names) for header, names in {
    "algorithm": r"\bstd::(ranges::)?(sort|find(_if)?|(any|all|none)_of|count_if|(max|min)_element|copy(_n)?|fill(_n)?|equal|reverse|"
                 r"rotate|transform|clamp|(lower|upper)_bound|stable_sort|remove_if|unique|shuffle)\(",
    "array": r"\bstd::array\b",
    "atomic": r"\bstd::atomic",
    "bit": r"\bstd::(bit_(cast|ceil|floor|width)|has_single_bit|count[lr]_zero|popcount)\b",
    "chrono": r"\bstd::chrono\b",
    "cstring": r"\bstd::(mem(cpy|move|set|cmp)|str(len|cmp|error))\b",
    "expected": r"\bstd::(un)?expected\b",
    "filesystem": r"\bstd::filesystem\b",
    "fmt/format.h": r"\bfmt::format\b",
    "fstream": r"\bstd::[io]?fstream\b",
    "functional": r"\bstd::function\b",
    "gmock/gmock.h": r"\b(EXPECT|ASSERT)_THAT\(",
    "map": r"\bstd::(multi)?map\b",
    "memory": r"\bstd::((unique|shared)_ptr|make_(unique|shared))\b",
    "mutex": r"\bstd::(mutex|(lock_guard|unique_lock|scoped_lock))\b",
    "optional": r"\bstd::optional\b",
    "random": r"\bstd::(mt19937|uniform_int_distribution)",
    "set": r"\bstd::(multi)?set\b",
    "span": r"\bstd::span\b",
    "string": r"\bstd::(string|to_string)\b",
    "string_view": r"\bstd::string_view\b",
    "thread": r"\bstd::(j?thread|this_thread)\b",
    "vector": r"\bstd::vector\b",
}.items()}
COMMENT = re.compile(r"//.*")
NAMESPACE = re.compile(r"^(?:inline )?namespace ?([\w:]*) ?\{(?:  //.*)?$")
NAMESPACE_END = re.compile(r"^\}  // namespace")
TYPE = re.compile(r"^(?:struct|class|enum class|enum|union) (?:alignas\([^)]*\) )?(\w+)(?: final)?(?: ?\{| :|$)")
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")


@dataclass(frozen=True)
class Finding:
    path: str
    line: int
    message: str
    is_warning: bool = False

    def __str__(self):
        return f"{self.path}:{self.line}: {'warning: ' if self.is_warning else ''}{self.message}"


@dataclass
class Tree:
    """The project's text files, by path from the root. What a build or an editor leaves at the top is not read."""

    root: Path
    texts: dict = field(default_factory=dict)

    @classmethod
    def read(cls, root):
        tree = cls(Path(root))
        files = [tree.root / name for name in TOP_FILES]
        for folder in FOLDERS:
            files += sorted(tree.root.joinpath(folder).rglob("*"))
        for path in files:
            if not path.is_file() or path.suffix == ".pyc":
                continue
            try:
                tree.texts[path.relative_to(tree.root).as_posix()] = path.read_text()
            except UnicodeDecodeError:
                pass  # Binary seeds of the fuzzers.
        return tree

    def lines(self, *folders, is_code=False):
        for path, text in self.texts.items():
            if folders and not path.startswith(tuple(folder + "/" for folder in folders)):
                continue
            # These two spell out what they forbid.
            if path.startswith(("tools/checks/", "tests/repository/")):
                continue
            if is_code and not is_source(path):
                continue
            for number, line in enumerate(text.splitlines(), 1):
                yield path, number, line

    def includes(self):
        for path, number, line in self.lines(is_code=True):
            match = INCLUDE.match(line)
            if match:
                yield path, number, match.group(1) == "<", match.group(2)


def is_source(path):
    name = PurePosixPath(path)
    in_scripts = path.startswith((".ci/", "tools/")) and not name.suffix
    return name.suffix in CODE_SUFFIXES or name.name == "CMakeLists.txt" or in_scripts


def folder_of(path):
    """The unit of dependence that a file belongs to, such as src/plan, transports/shm or tests."""
    parts = path.split("/")
    if parts[0] in ("src", "transports", "algorithms"):
        return "/".join(parts[:2])
    return "include/tenon" if parts[0] == "include" else parts[0]


def layer_of(folder):
    return next((level for level, layer in enumerate(LAYERS) if folder in layer), None)


def resolve(tree, includer, name):
    """The file of the tree that an include names, or None where it names a library's."""
    beside = posixpath.normpath(posixpath.join(posixpath.dirname(includer), name))
    for candidate in (beside, f"src/{name}", f"include/{name}", name):
        if candidate in tree.texts:
            return candidate
    return None


def forbidden_include(path, target):
    """Why the file must not include the target; None where it may."""
    source, wanted = folder_of(path), folder_of(target)
    if source == wanted:
        return None
    for kind, allowed in PLUGGED_IN.items():
        if path.startswith(f"{kind}/"):
            if target.startswith(tuple(folder + "/" for folder in allowed)):
                return None
            return f"{kind} include only {', '.join(allowed)} and their own folder; move what is shared there"
        if target.startswith(f"{kind}/") and source not in MAY_NAME_PLUGGED_IN:
            return f"only src/library names concrete {kind}; reach it through the interface in include/tenon/plugin"
    if target.startswith(tuple(PLUGGED_IN)):
        return None
    if layer_of(source) is None or layer_of(wanted) is None:
        unknown = source if layer_of(source) is None else wanted
        return f"{unknown} has no layer; give it one in tools/checks/repository.py, or move it into a folder that has"
    if layer_of(wanted) > layer_of(source):
        return f"{source} lies below {wanted}; take what is needed as a parameter or an interface, or move it down"
    return None


def include_direction(tree):
    edges = {}
    for path, number, _, name in tree.includes():
        target = resolve(tree, path, name)
        if target is None:
            continue
        reason = forbidden_include(path, target)
        if reason:
            yield Finding(path, number, f"includes {target}: {reason}")
        elif folder_of(path) != folder_of(target):
            edges.setdefault(folder_of(path), {})[folder_of(target)] = (path, number)
    yield from include_circles(edges)


def include_circles(edges):
    def reaches(start, goal, seen):
        seen.add(start)
        return any(step == goal or (step not in seen and reaches(step, goal, seen)) for step in edges.get(start, ()))

    for source, targets in edges.items():
        for target, (path, number) in targets.items():
            if reaches(target, source, set()):
                yield Finding(path, number, f"{source} and {target} include each other; move what both need to one of "
                                            "them, or into a folder below")


def reached_from(path, included):
    reached, ahead = set(), [path]
    while ahead:
        found = included.get(ahead.pop(), set()) - reached
        reached |= found
        ahead += found
    return reached


def needed_headers(tree):
    included, reached = {}, {}
    for path, _, _, name in tree.includes():
        included.setdefault(path, set()).add(resolve(tree, path, name) or name)
    for path, number, line in tree.lines(is_code=True):
        if not path.endswith((".cpp", ".hpp")):
            continue
        if path not in reached:
            reached[path] = reached_from(path, included)
        for header, names in NEEDS.items():
            if header not in reached[path] and names.search(COMMENT.sub("", line)):
                reached[path].add(header)  # said once
                yield Finding(path, number, f"needs <{header}>, which is there only since it is precompiled; include it")


def system_calls(tree):
    for path, number, is_angled, name in tree.includes():
        if is_angled and SYSTEM_HEADER.fullmatch(name) and not path.startswith(("src/os/", "tests/", "perf/", "tools/")):
            yield Finding(path, number, f"includes <{name}>: system calls belong in src/os; use or add a seam there")


def environment(tree):
    for path, number, line in tree.lines("include", "src", "transports", "algorithms", "perf", "tools", is_code=True):
        if GETENV.search(line) and not path.startswith("src/config/"):
            yield Finding(path, number, "reads the environment; add a row to the manifest in src/config and use Config")


def one_type_a_name(tree):
    """Linked together, two types of one name get each other's functions, and no tool says so."""
    namespaces, first = [], {}
    for path, number, line in tree.lines("include", "src", "transports", "algorithms", "perf", "tools", is_code=True):
        if number == 1:
            namespaces = []
        if match := NAMESPACE.match(line):
            namespaces.append(match.group(1))
        elif NAMESPACE_END.match(line) and namespaces:
            namespaces.pop()
        elif (match := TYPE.match(line)) and namespaces and "" not in namespaces:
            name = "::".join((*namespaces, match.group(1)))
            known = first.setdefault(name, path)
            if known != path:
                yield Finding(path, number, f"defines {name}, which {known} does, too; rename one, or put it into a namespace")


def file_size(tree):
    for path, text in tree.texts.items():
        count = text.count("\n")
        if is_source(path) and count > LINES_WARNED:
            yield Finding(path, count, f"has {count} lines ({LINES_ALLOWED} at most); split it by what it is about",
                          is_warning=count <= LINES_ALLOWED)


def line_length(tree):
    for path, number, line in tree.lines():
        if PurePosixPath(path).suffix in (".h", ".hpp", ".c", ".cpp") and len(line) > COLUMNS:
            yield Finding(path, number, f"has {len(line)} columns ({COLUMNS} at most): clang-format -i --lines={number}:{number}")


def vague_names(tree):
    for path in tree.texts:
        for part in PurePosixPath(path).parts:
            words = set(re.split(r"[^a-z]+", part.lower()))
            if words & VAGUE_NAMES:
                yield Finding(path, 1, f"'{part}' does not say what is inside; name it after that, or move it where it is used")


def unfinished(tree):
    for path, number, line in tree.lines():
        if UNFINISHED.search(line):
            yield Finding(path, number, "marks unfinished work; do it, or file an issue and remove the mark")


def tests_switched_off(tree):
    for path, number, line in tree.lines("tests", "perf", is_code=True):
        if SWITCHED_OFF.search(line):
            yield Finding(path, number, "switches a test off without a word; mend it, delete it, or say why it is skipped")


def sleeping_tests(tree):
    for path, number, line in tree.lines("tests", is_code=True):
        if SLEEP.search(line):
            yield Finding(path, number, "sleeps; wait for the event itself (a latch, a pipe, a file descriptor) with a deadline")


def machine_names(tree):
    for path, number, line in tree.lines():
        if REGISTRY_HOST.search(line):
            yield Finding(path, number, "names a package registry; install by package name with the system's own client")
        if HOME_PATH.search(line):
            yield Finding(path, number, "names a path in somebody's home; derive it from the file's place or an argument")


def folder_readmes(tree):
    folders = {kind for kind in PLUGGED_IN if any(path.startswith(f"{kind}/") for path in tree.texts)}
    folders |= {folder_of(path) for path in tree.texts
                if path.startswith(("src/", "transports/", "algorithms/")) and path.count("/") > 1}
    for folder in sorted(folders):
        if f"{folder}/README.md" not in tree.texts:
            yield Finding(f"{folder}/README.md", 1, "is missing; say what the folder is, its contract, and how to add to it")


def dead_links(tree):
    in_code = False
    for path, number, line in tree.lines():
        if not path.endswith(".md"):
            continue
        if number == 1 or line.startswith("```"):
            in_code = line.startswith("```") and (number == 1 or not in_code)
        if in_code:
            continue
        for target in LINK.findall(line):
            if "://" not in target and not (tree.root / path).parent.joinpath(target).exists():
                yield Finding(path, number, f"links to {target}, which is not there; mend or remove the link")


RULES = (include_direction, needed_headers, system_calls, environment, one_type_a_name, file_size, line_length, vague_names, unfinished,
         tests_switched_off, sleeping_tests, machine_names, folder_readmes, dead_links)


def main(root):
    tree = Tree.read(root)
    findings = [(rule, finding) for rule in RULES for finding in rule(tree)]
    for rule, finding in findings:
        print(f"{finding} [{rule.__name__}]")
    broken = sum(not finding.is_warning for _, finding in findings)
    print(f"{len(tree.texts)} files, {len(RULES)} rules: {broken} broken, {len(findings) - broken} warnings")
    return 1 if broken else 0


if __name__ == "__main__":
    default_root = Path(__file__).resolve().parents[2]
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else default_root))
