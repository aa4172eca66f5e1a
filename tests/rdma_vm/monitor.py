"""What the emulator is asked by its monitor: QEMU's Machine Protocol, JSON line by line."""

import json
import socket


class Failed(Exception):
    """What the emulator answered, in a line."""


class Monitor:
    def __init__(self, end):
        self.end, self.lines, self.events = end, end.makefile("r"), []
        self.ask("qmp_capabilities")

    def ask(self, command, descriptors=(), **arguments):
        """What it returns; the descriptors go along."""
        socket.send_fds(self.end, [json.dumps({"execute": command, "arguments": arguments}).encode()], descriptors)
        while True:
            answer = self.read()
            if "error" in answer:
                raise Failed(f"{command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]

    def read(self):
        line = self.lines.readline()
        if not line:
            raise Failed("the emulator has ended")
        answer = json.loads(line)
        if "event" in answer:
            self.events.append(answer)
        return answer

    def save(self, file):
        """Writes the VM's state there, after which the VM goes on."""
        self.ask("getfd", [file.fileno()], fdname="state")
        self.ask("migrate-set-capabilities", capabilities=[{"capability": "events", "state": True}])
        self.ask("migrate-set-parameters", **{"max-bandwidth": 1 << 40})
        self.ask("migrate", uri="fd:state")
        while (status := self.migration()) not in ("completed", "failed"):
            self.read()
        if status == "failed":
            raise Failed(self.ask("query-migrate").get("error-desc", "it could not be written"))
        while self.ask("query-status")["status"] == "finish-migrate":
            pass
        self.ask("cont")

    def migration(self):
        """The last that was heard of it."""
        heard = [event["data"]["status"] for event in self.events if event["event"] == "MIGRATION"]
        return heard[-1] if heard else None
