"""The parent of a cluster's components: starts them, reaps them, and takes them along when it ends.

Run as a script by components.Supervisor.launch, with the standard library only. For a node tier it becomes the first
process of new PID, network and mount namespaces. That is what makes cleaning up certain: when it is killed, by anybody
and at any point, the kernel ends every process below it (kubelet, containerd, shims, pods) and drops the mounts,
interfaces, routes and iptables rules with it. Without namespaces (api tier, no root) each component asks the kernel to
be killed when this process ends.

Protocol: one JSON object per connection on a Unix socket, answered by one JSON object. Verbs: start, signal, list.
Before it starts anything it prints its pid and waits for a line, so that the launcher can record it first: a launcher
killed in between leaves nothing behind.
"""

import ctypes
import json
import os
import selectors
import signal
import socket
import sys
from typing import Any

CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWNET = 0x00020000, 0x20000000, 0x40000000
MS_REC, MS_PRIVATE, MS_SHARED = 0x4000, 1 << 18, 1 << 20
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None, use_errno=True)


def call(function: str, *args: Any) -> None:
    """Call a libc function that answers 0 or sets errno. Raises OSError."""
    if getattr(LIBC, function)(*args) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{function}: {os.strerror(number)}")


class Supervisor:
    """Components by name: what runs, what ended and how."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.specs: dict[str, dict[str, Any]] = {}
        self.running: dict[str, int] = {}
        self.exits: dict[str, int] = {}

    def handle(self, request: dict[str, Any]) -> dict[str, Any]:
        """Do what one request asks."""
        match request:
            case {"verb": "start", "name": str(name)}:
                return self.start(name, request.get("spec"))
            case {"verb": "signal", "name": str(name), "signal": int(number)}:
                if name not in self.running:
                    return {"error": f"{name} is not running"}
                os.kill(self.running[name], number)
                return {}
            case {"verb": "list"}:
                return {
                    name: {"pid": self.running.get(name), "exit": self.exits.get(name), "log": spec["log"]}
                    for name, spec in self.specs.items()
                }
        return {"error": f"unknown request {request!r}"}

    def start(self, name: str, spec: dict[str, Any] | None) -> dict[str, Any]:
        """Start a component, by its last spec when none is given."""
        if name in self.running:
            return {"error": f"{name} is running already"}
        spec = spec or self.specs.get(name)
        if spec is None:
            return {"error": f"{name} was never started, so there is nothing to start again"}
        log = os.open(spec["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.specs[name] = spec
        self.exits.pop(name, None)
        pid = os.fork()
        if pid == 0:
            self.become(spec, log)
        os.close(log)
        self.running[name] = pid
        return {"pid": pid}

    def become(self, spec: dict[str, Any], log: int) -> None:
        """In the child: turn into the component. Never returns; what goes wrong is in the component's log."""
        try:
            os.setsid()
            os.dup2(log, 1)
            os.dup2(log, 2)
            os.closerange(3, 256)
            call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != self.pid:  # it ended before the line above took effect
                os._exit(125)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.execve(spec["argv"][0], spec["argv"], spec["env"])
        except OSError as error:
            os.write(2, f"cannot start {spec['argv'][0]}: {error}\n".encode())
        finally:
            os._exit(127)

    def reap(self) -> None:
        """Collect every ended child, also the orphans of others: the first process of a namespace must."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for name, running in list(self.running.items()):
                if running == pid:
                    del self.running[name]
                    self.exits[name] = os.waitstatus_to_exitcode(status)


def serve(listener: socket.socket, supervisor: Supervisor) -> None:
    """Answer requests and reap children, for ever."""
    wake, waker = socket.socketpair()
    for end in (wake, waker, listener):
        end.setblocking(False)
    signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    selector = selectors.DefaultSelector()
    selector.register(wake, selectors.EVENT_READ)
    selector.register(listener, selectors.EVENT_READ)
    while True:
        ready = {key.fileobj for key, _ in selector.select()}
        if wake in ready:
            wake.recv(4096)
        supervisor.reap()
        if listener in ready:
            connection, _ = listener.accept()
            with connection:
                answer(connection, supervisor)


def answer(connection: socket.socket, supervisor: Supervisor) -> None:
    """One request, one answer. A client that went away or talks nonsense harms nobody else."""
    connection.settimeout(5.0)
    try:
        with connection.makefile("rw") as stream:
            try:
                reply = supervisor.handle(json.loads(stream.readline()))
            except (ValueError, LookupError, TypeError, OSError) as error:
                reply = {"error": f"{type(error).__name__}: {error}"}
            stream.write(json.dumps(reply) + "\n")
    except OSError as error:
        print(f"a client was lost: {error}", file=sys.stderr, flush=True)


def main(socket_path: str, mode: str) -> None:
    """Entry of the script: `supervisor.py SOCKET isolated|plain`, pid to stdout, a line from stdin to go on."""
    if mode == "isolated":
        call("unshare", CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWPID)
    pid = os.fork()
    if pid:
        print(pid, flush=True)
        os._exit(0)
    os.setsid()
    if sys.stdin.readline() != "go\n":
        os._exit(1)
    if mode == "isolated":
        call("mount", None, b"/", None, MS_REC | MS_PRIVATE, None)
        # Shared among our own processes again: volumes that ask for mount propagation need it.
        call("mount", None, b"/", None, MS_REC | MS_SHARED, None)
        call("mount", b"proc", b"/proc", b"proc", 0, None)
    os.chdir(os.path.dirname(socket_path))  # whoever started us may want to remove the folder that we were started in
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    listener.bind(socket_path)
    listener.listen(16)
    print("ready", flush=True)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    serve(listener, Supervisor())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
