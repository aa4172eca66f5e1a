#!/usr/bin/env python3
"""Holds README.md to the truth: readme_test.py SOURCE_FOLDER BUILD_FOLDER

- a block after `<!-- quote: PATH -->` stands in that file, word for word and in one piece;
- the table between `<!-- variables -->` and `<!-- /variables -->` is what `tenon info` prints;
- each ```sh run block runs to the end, in a folder that looks like the checkout with BUILD_FOLDER as build/release.
"""

import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

SOURCE, BUILD = (Path(argument).resolve() for argument in sys.argv[1:3])
README = (SOURCE / "README.md").read_text()

QUOTE = re.compile(r"<!-- quote: (\S+) -->\n```[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RUNNABLE = re.compile(r"^```sh run\n(.*?)^```$", re.MULTILINE | re.DOTALL)
VARIABLES = re.compile(r"<!-- variables -->\n(.*?)<!-- /variables -->", re.DOTALL)


class Readme(unittest.TestCase):
    maxDiff = None

    def test_quotes_are_what_the_examples_say(self):
        quotes = QUOTE.findall(README)
        self.assertTrue(quotes, "README.md quotes no example")
        for path, block in quotes:
            with self.subTest(path=path):
                self.assertTrue(block.strip(), "nothing is quoted")
                self.assertIn(block, (SOURCE / path).read_text())

    def test_the_table_of_variables_is_the_programs(self):
        table = VARIABLES.search(README)
        self.assertIsNotNone(table, "README.md has no <!-- variables --> table")
        printed = subprocess.run([BUILD / "bin/tenon", "info", "--variables", "--format", "markdown"],
                                 check=True, capture_output=True, text=True).stdout
        self.assertEqual(printed.strip(), table.group(1).strip(),
                         "paste the output of: tenon info --variables --format markdown")

    def test_commands_run(self):
        blocks = RUNNABLE.findall(README)
        self.assertTrue(blocks, "README.md has no ```sh run block")
        for block in blocks:
            with self.subTest(block=block), tempfile.TemporaryDirectory() as checkout:
                for entry in SOURCE.iterdir():
                    if entry.name not in (".git", "build"):
                        Path(checkout, entry.name).symlink_to(entry)
                Path(checkout, "build").mkdir()
                Path(checkout, "build/release").symlink_to(BUILD)
                done = subprocess.run(["bash", "-euo", "pipefail", "-c", block], cwd=checkout, timeout=60, text=True,
                                      stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
                self.assertEqual(0, done.returncode, done.stdout)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
