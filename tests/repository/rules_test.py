#!/usr/bin/env python3
"""Shows that no repository check is toothless: each rule reports a tiny tree that breaks it, and passes the mended one."""

import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools/checks"))
import repository  # noqa: E402


def include(name):
    return f'#include "{name}"\n'


# Rule, files that break it, the path that the finding must name, files where it is mended.
CASES = (
    ("include_direction",  # A lower layer that looks up.
     {"src/base/a.cpp": include("plan/b.hpp"), "src/plan/b.hpp": ""}, "src/base/a.cpp",
     {"src/plan/a.cpp": include("base/b.hpp"), "src/base/b.hpp": ""}),
    ("include_direction",  # The same by a path from the top of the tree.
     {"src/base/a.cpp": include("src/plan/b.hpp"), "src/plan/b.hpp": ""}, "src/base/a.cpp",
     {"src/base/a.cpp": include("b.hpp"), "src/base/b.hpp": ""}),
    ("include_direction",  # And by a relative one.
     {"src/base/a.cpp": include("../plan/b.hpp"), "src/plan/b.hpp": ""}, "src/base/a.cpp",
     {"src/plan/a.cpp": include("../base/b.hpp"), "src/base/b.hpp": ""}),
    ("include_direction",  # Angle brackets do not hide it.
     {"include/tenon/a.hpp": "#include <base/b.hpp>\n", "src/base/b.hpp": ""}, "include/tenon/a.hpp",
     {"src/base/a.hpp": "#include <tenon/b.hpp>\n", "include/tenon/b.hpp": ""}),
    ("include_direction",  # Only the composition root names what is plugged in.
     {"src/communicator/a.cpp": include("transports/shm/b.hpp"), "transports/shm/b.hpp": ""}, "src/communicator/a.cpp",
     {"src/library/a.cpp": include("transports/shm/b.hpp"), "transports/shm/b.hpp": ""}),
    ("include_direction",  # An algorithm knows plans, not who runs them.
     {"algorithms/all_reduce/a.cpp": include("execution/b.hpp"), "src/execution/b.hpp": ""}, "algorithms/all_reduce/a.cpp",
     {"algorithms/all_reduce/a.cpp": include("algorithms/patterns/b.hpp"), "algorithms/patterns/b.hpp": ""}),
    ("include_direction",  # An algorithm makes no system calls; a transport may.
     {"algorithms/all_reduce/a.cpp": include("os/b.hpp"), "src/os/b.hpp": ""}, "algorithms/all_reduce/a.cpp",
     {"transports/shm/a.cpp": include("os/b.hpp"), "src/os/b.hpp": ""}),
    ("include_direction",  # One transport that needs another.
     {"transports/tcp/a.cpp": include("transports/shm/b.hpp"), "transports/shm/b.hpp": ""}, "transports/tcp/a.cpp",
     {"transports/tcp/a.cpp": include("transports/tcp/b.hpp"), "transports/tcp/b.hpp": ""}),
    ("include_direction",  # A folder that nobody placed.
     {"src/novel/a.cpp": include("base/b.hpp"), "src/base/b.hpp": ""}, "src/novel/a.cpp",
     {"src/plan/a.cpp": include("base/b.hpp"), "src/base/b.hpp": ""}),
    ("include_direction",  # Two folders of a layer, by way of a third.
     {"src/plan/a.hpp": include("topology/b.hpp"), "src/topology/b.hpp": include("selection/c.hpp"),
      "src/selection/c.hpp": include("plan/a.hpp")}, "src/topology/b.hpp",
     {"src/plan/a.hpp": include("topology/b.hpp"), "src/topology/b.hpp": ""}),
    ("needed_headers",
     {"src/base/a.cpp": "#include <string>\nstd::vector<std::string> names;\n"}, "src/base/a.cpp",
     {"src/base/a.cpp": include("b.hpp") + "std::vector<std::string> names;  // std::map\n",  # Another header brings them.
      "src/base/b.hpp": include("base/c.hpp") + "#include <string>\n", "src/base/c.hpp": "#include <vector>\n"}),
    ("system_calls",
     {"transports/shm/a.cpp": "#include <sys/mman.h>\n"}, "transports/shm/a.cpp",
     {"src/os/a.cpp": "#include <sys/mman.h>\n#include <fcntl.h>\n"}),
    ("system_calls",
     {"src/execution/a.cpp": "#include <unistd.h>\n"}, "src/execution/a.cpp",
     {"src/execution/a.cpp": "#include <algorithm>\n", "tests/unit/a.cpp": "#include <unistd.h>\n"}),
    ("environment",
     {"src/plan/a.cpp": 'auto value = std::getenv("TENON_X");\n'}, "src/plan/a.cpp",
     {"src/config/a.cpp": 'auto value = std::getenv("TENON_X");\n'}),
    ("one_type_a_name",
     {"src/plan/a.hpp": "namespace tenon {\nstruct Place {\n};\n}  // namespace tenon\n",
      "src/topology/b.hpp": "namespace tenon {\nclass Place final : Base {\n};\n}  // namespace tenon\n"}, "src/topology/b.hpp",
     {"src/plan/a.hpp": "namespace tenon {\nstruct Place {\n};\n}  // namespace tenon\n",
      "src/topology/b.cpp": "namespace tenon {\nstruct Place;\nnamespace {\nstruct Place {\n};\n}  // namespace\n}  // namespace tenon\n",
      "src/topology/c.hpp": "namespace tenon::far {\nstruct Place {\n};\nstruct Place::Inner {\n};\n}  // namespace tenon::far\n"}),
    ("environment",
     {"perf/a.cpp": 'auto value = secure_getenv("RANK");\n'}, "perf/a.cpp",
     {"perf/a.cpp": "auto value = config.rank;\n"}),
    ("file_size",
     {"src/base/a.cpp": "\n" * 801}, "src/base/a.cpp",
     {"src/base/a.cpp": "\n" * 500}),
    ("line_length",
     {"src/base/a.cpp": "// " + "x" * 118 + "\n"}, "src/base/a.cpp",
     {"src/base/a.cpp": "// " + "x" * 117 + "\n", "README.md": "x" * 200}),
    ("vague_names",
     {"src/base/string_utils.hpp": ""}, "src/base/string_utils.hpp",
     {"src/base/text.hpp": "", "src/base/commonality.hpp": ""}),
    ("vague_names",
     {"src/common/a.hpp": ""}, "src/common/a.hpp",
     {"src/base/a.hpp": ""}),
    ("unfinished",
     {"src/base/a.cpp": "// TODO: the rest\n"}, "src/base/a.cpp",
     {"src/base/a.cpp": '// A name for mkstemp: "tenon-XXXXXX"\n'}),
    ("tests_switched_off",
     {"tests/unit/a.cpp": "TEST(Plan, DISABLED_IsRight) {}\n"}, "tests/unit/a.cpp",
     {"tests/unit/a.cpp": 'GTEST_SKIP() << "needs two NUMA nodes";\n'}),
    ("sleeping_tests",
     {"tests/unit/a.cpp": "std::this_thread::sleep_for(1ms);\n"}, "tests/unit/a.cpp",
     {"tests/unit/a.cpp": "latch.arrive_and_wait();\n"}),
    ("sleeping_tests",
     {"tests/build/a.sh": "sleep 5\n"}, "tests/build/a.sh",
     {"tests/build/a.sh": "wait $server  # which may sleep 5 seconds\n"}),
    ("sleeping_tests",
     {"tests/build/a.py": "time.sleep(5)\n"}, "tests/build/a.py",
     {"tests/build/a.py": "process.wait(5)\n"}),
    ("machine_names",
     {"tools/setup": "curl https://index.example.org/list\n"}, "tools/setup",
     {"tools/setup": "apt-get install cmake\n"}),
    ("machine_names",
     {"tools/setup": "cd /home/someone/tenon\n"}, "tools/setup",
     {"tools/setup": 'cd "$(dirname "$0")/home/"\n'}),
    ("folder_readmes",
     {"transports/shm/a.cpp": "", "transports/README.md": ""}, "transports/shm/README.md",
     {"transports/shm/a.cpp": "", "transports/README.md": "", "transports/shm/README.md": ""}),
    ("folder_readmes",
     {"algorithms/ring/README.md": ""}, "algorithms/README.md",
     {"algorithms/ring/README.md": "", "algorithms/README.md": ""}),
    ("folder_readmes",
     {"src/plan/a.cpp": ""}, "src/plan/README.md",
     {"src/plan/a.cpp": "", "src/plan/README.md": ""}),
    ("dead_links",
     {"src/plan/README.md": "See [the verifier](verifier.hpp#contract).\n"}, "src/plan/README.md",
     {"src/plan/README.md": "See [the verifier](verifier.hpp#contract).\n", "src/plan/verifier.hpp": ""}),
    ("dead_links",
     {"src/plan/README.md": "```cpp\nint a = 0;\n```\nSee [the verifier](verifier.hpp).\n"}, "src/plan/README.md",
     {"src/plan/README.md": "```cpp\nrun([&](const Plan& plan) {});\n```\n"}),
    ("dead_links",
     {"src/plan/README.md": "```sh\nnever closed\n", "src/text/README.md": "See [the verifier](verifier.hpp).\n"},
     "src/text/README.md",
     {"src/plan/README.md": "```sh\nnever closed\n", "src/text/README.md": ""}),
)


class Rules(unittest.TestCase):
    def findings(self, rule, files):
        with tempfile.TemporaryDirectory() as root:
            for path, text in files.items():
                file = Path(root, path)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text)
            return list(getattr(repository, rule)(repository.Tree.read(root)))

    def test_each_rule_reports_what_breaks_it_and_passes_what_is_mended(self):
        for rule, broken, path, mended in CASES:
            with self.subTest(rule=rule, path=path):
                found = self.findings(rule, broken)
                self.assertIn(path, [finding.path for finding in found])
                self.assertFalse(any(finding.is_warning for finding in found))
                self.assertEqual([], self.findings(rule, mended))

    def test_every_rule_is_shown_to_bite(self):
        self.assertEqual({rule.__name__ for rule in repository.RULES}, {case[0] for case in CASES})

    def test_long_files_are_warned_of_before_they_fail(self):
        for count in (501, 800):
            (finding,) = self.findings("file_size", {"src/base/a.cpp": "\n" * count})
            self.assertTrue(finding.is_warning)

    def test_a_broken_rule_fails_the_program(self):
        with tempfile.TemporaryDirectory() as root:
            self.assertEqual(0, repository.main(root))
            Path(root, "README.md").write_text("TODO\n")
            self.assertEqual(1, repository.main(root))


if __name__ == "__main__":
    unittest.main()
