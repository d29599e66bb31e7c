"""Flower's deployment engine on loopback: a SuperLink, two SuperNodes, and runs of the app."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
NODES = 2
LIMIT = 600  # seconds for a run
LOOPBACK = '[superlink]\ndefault = "loopback"\n[superlink.loopback]\naddress = "127.0.0.1:{}"\ninsecure = true\n'


class Deployment:
    """Ends every process that it has started when it is closed; logs lie in the folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free()
        home = folder / "home"
        home.mkdir(parents=True)
        (home / "config.toml").write_text(LOOPBACK.format(self.port))
        self.environment = {
            **os.environ, "FLWR_HOME": str(home), "FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1",
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1",
        }  # fmt: skip
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.start(
            "superlink", "flower-superlink", "--insecure", "--disable-runtime-dependency-installation",
            "--port", str(self.port),
        )  # fmt: skip
        self.await_port()
        for node in range(NODES):
            self.start_node(node)

    def start(self, name: str, *command: str) -> None:
        """A process in the background, in a group of its own."""
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [BIN / command[0], *command[1:]], cwd=self.folder, env=self.environment, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip

    def start_node(self, node: int) -> None:
        """A SuperNode, as it was before if it has been killed."""
        config = f'partition-id={node} num-partitions={NODES} folder="{self.folder}/node-{node}"'
        self.start(
            f"node-{node}", "flower-supernode", "--insecure", "--superlink", f"127.0.0.1:{self.port}",
            "--port", str(free()), "--node-config", config,
        )  # fmt: skip

    def await_port(self) -> None:
        """Until the SuperLink listens; an error of its own if it has ended."""
        while True:
            assert self.processes["superlink"].poll() is None, (self.folder / "superlink.log").read_text()
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.2)

    def run(self, **config: object) -> subprocess.Popen[str]:
        """`flwr run` of the app, with its output as text."""
        words = " ".join(f"{name}={json_like(value)}" for name, value in config.items())
        command = [BIN / "flwr", "run", ROOT / "benchmark/flower/app", "loopback", "--stream", "--run-config", words]
        return subprocess.Popen(
            command, cwd=self.folder, env=self.environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    def output(self, run: subprocess.Popen[str]) -> str:
        """What a run has printed when it ends; one whose server Flower has given up never does by itself."""
        try:
            return run.communicate(timeout=LIMIT)[0]
        except subprocess.TimeoutExpired:
            run.kill()
            return run.communicate()[0] + (self.folder / "superlink.log").read_text()

    def kill(self, name: str) -> None:
        """As a power cut would."""
        process = self.processes.pop(name)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def close(self) -> None:
        """End all processes."""
        for name in list(self.processes):
            self.kill(name)


def json_like(value: object) -> str:
    """A value of a run's configuration."""
    return f'"{value}"' if isinstance(value, str | Path) else str(value)


def free() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
