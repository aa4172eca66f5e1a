"""What users see of `tenon info`: info_test.py PROGRAM FOLDER_OF_THE_EMULATED_ACL [unittest's arguments]"""

import json
import os
import subprocess
import sys
import unittest

PROGRAM = sys.argv.pop(1)
EMULATED_ACL = sys.argv.pop(1)
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("TENON_")}


def info(*arguments, **variables):
    return subprocess.run([PROGRAM, "info", *arguments], capture_output=True, text=True, timeout=60, env=CLEAN | variables)


def facts(*arguments, **variables):
    return json.loads(info(*arguments, "--format", "json", **variables).stdout)


class Info(unittest.TestCase):
    def test_has_all_that_there_is(self):
        result = info()
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        for word in ("version", "processor", "shm", "inproc", "double_binary_tree", "choices for 4 ranks", "TENON_TIMEOUT_MS"):
            self.assertIn(word, result.stdout)

    def test_json_is_complete(self):
        all_facts = facts()
        self.assertRegex(all_facts["tenon"]["version"], r"^\d+\.\d+\.\d+$")
        self.assertEqual(all_facts["host"]["name"], os.uname().nodename)
        self.assertEqual(int(all_facts["host"]["cores that ranks may use"]), len(os.sched_getaffinity(0)))
        rings = [row for row in all_facts["algorithms"] if (row["collective"], row["name"]) == ("all_reduce", "ring")]
        self.assertEqual(len(rings), 1)
        self.assertEqual(rings[0]["deterministic"], "no")
        self.assertIn("Patarasuk", rings[0]["source"])
        self.assertEqual({row["collective"] for row in all_facts["choices for 4 ranks"]}, {row["collective"] for row in all_facts["algorithms"]})

    def test_says_which_networks_and_interfaces_there_are(self):
        all_facts = facts()
        networks = {row["name"]: row["usable"] for row in all_facts["networks"]}
        self.assertEqual(networks["tcp"], "yes")
        self.assertNotIn("pmix", networks)  # a module, but no network
        for row in all_facts["networks"]:
            self.assertNotIn("build it again", row["what it is, or why it is not usable"])
        chosen = [row for row in all_facts["interfaces"] if row["use"].startswith("chosen")]
        self.assertEqual(len(chosen), 1)
        self.assertEqual(os.path.isdir(f"/sys/class/net/{chosen[0]['name']}"), True)
        self.assertIn("memory that may be pinned", all_facts["host"])
        loopback = [row for row in facts(TENON_SOCKET_INTERFACE="=lo")["interfaces"] if row["use"].startswith("chosen")]
        self.assertEqual((loopback[0]["name"], loopback[0]["use"]), ("lo", "chosen: TENON_SOCKET_INTERFACE==lo"))

    def test_says_which_devices_there_are_and_why_not(self):
        with_npus = facts(LD_LIBRARY_PATH=EMULATED_ACL)
        self.assertEqual({row["name"]: row["usable"] for row in with_npus["device providers"]}["ascend"], "yes")
        npus = [row for row in with_npus["devices"] if row["provider"] == "ascend"]
        self.assertEqual([(row["device"], row["name"], row["reaches"]) for row in npus],
                         [("0", "Ascend910_9392", "1 by package"), ("1", "Ascend910_9392", "0 by package")])
        without = {row["name"]: row for row in facts(LD_LIBRARY_PATH="/")["device providers"]}
        if without["ascend"]["usable"] == "no":
            self.assertIn("libascendcl.so", without["ascend"]["devices, or why it is not usable"])

    def test_finds_its_networks_however_it_is_called(self):
        folder, name = os.path.split(os.path.abspath(PROGRAM))
        command = [name, "info", "--format", "json"]
        by_name = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd="/", env=CLEAN | {"PATH": folder})
        self.assertEqual(json.loads(by_name.stdout)["networks"], facts()["networks"])

    def test_an_interface_that_is_not_there_is_told(self):
        result = info(TENON_SOCKET_INTERFACE="=none0")
        self.assertEqual(result.returncode, 2)
        self.assertIn("TENON_SOCKET_INTERFACE==none0 leaves no network interface", result.stderr)

    def test_choices_follow_the_configuration_and_say_so(self):
        choices = facts("--ranks", "8", TENON_ALGORITHM="all_reduce=ring")["choices for 8 ranks"]
        own = [row for row in choices if row["collective"] == "all_reduce"]
        self.assertEqual([(row["algorithm"], row["why"]) for row in own], [("ring", "forced by configuration")])

    def test_variables_show_their_value(self):
        rows = {row["variable"]: row for row in facts("--variables", TENON_TIMEOUT_MS="1234")["variables"]}
        self.assertEqual((rows["TENON_TIMEOUT_MS"]["value"], rows["TENON_TIMEOUT_MS"]["default"]), ("1234", "600000"))

    def test_the_markdown_of_the_variables_holds_nothing_of_the_machine(self):
        plain, other = info("--variables", "--format", "markdown"), info("--variables", "--format", "markdown", TENON_SPIN="77")
        self.assertEqual(plain.stdout, other.stdout)
        self.assertTrue(plain.stdout.startswith("| variable | default | meaning | allowed |\n| --- | --- | --- | --- |\n"))
        self.assertIn("| TENON_SPIN | auto |", plain.stdout)

    def test_a_wrong_variable_is_named_and_the_rest_is_shown(self):
        result = info(TENON_SPINS="7")
        self.assertEqual(result.returncode, 2)
        self.assertIn("TENON_SPINS is not a variable of Tenon's; the closest is TENON_SPIN", result.stderr)
        self.assertIn("double_binary_tree", result.stdout)

    def test_an_unknown_command_is_named(self):
        result = subprocess.run([PROGRAM, "inof"], capture_output=True, text=True, timeout=60, env=CLEAN)
        self.assertEqual((result.returncode, result.stdout), (2, ""))
        self.assertRegex(result.stderr, r"\Atenon: there is no command 'inof'; there are run, info, [^\n]+\n\Z")

    def test_bad_input_is_one_line_and_exit_status_2(self):
        for arguments in (["--format", "xml"], ["--ranks", "0"], ["--bogus"], ["what"]):
            result = info(*arguments)
            self.assertEqual((result.returncode, result.stdout), (2, ""), arguments)
            self.assertRegex(result.stderr, r"\Atenon: [^\n]+\n\Z")


if __name__ == "__main__":
    unittest.main()
