"""A Git server of one repository, by SSH on this machine's side of a lab's network, with signed commits.

The key that it lets in may read the repository and nothing else; the machine's accounts and settings stay as they are.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

from components.addresses import endpoint
from lab.hosts.system import LabError, wait_until

Signer = Literal["release", "stranger"]
"""`release` is whom sites trust; `stranger` has a key too."""

_SSHD = "/usr/sbin/sshd"
_DEADLINE_S = 15


class GitServer:
    """Serves a repository with the branch `main` at ``address`` until the block ends.

    Raises LabError where git, gpg or OpenSSH's server are missing or refuse.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._port = 0
        self._sshd: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> GitServer:
        for tool in ("git", "gpg", "gpgconf", "ssh-keygen", _SSHD):
            if shutil.which(tool) is None:
                raise LabError(f"the lab's Git server needs {tool}, which is not on PATH")
        with ExitStack() as opened:
            # gpg's agent listens below it, and such a path may have a hundred characters at most.
            self._folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="edge-git-", dir="/tmp")))
            self._path("gnupg").mkdir(mode=0o700)
            opened.callback(self._run, "gpgconf", "--kill", "all")
            self._keys()
            self._repository()
            self._port = _free_port(self._address)
            opened.callback(self.stop)
            self.start()
            self._opened = opened.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    @property
    def url(self) -> str:
        """The site's `gitops.source.git`."""
        user = pwd.getpwuid(os.getuid()).pw_name
        return f"ssh://{user}@{endpoint(self._address, self._port)}/edge-configs.git"

    @property
    def repository(self) -> Path:
        """The bare repository, for those who serve it in another way."""
        return self._path("edge-configs.git")

    @property
    def known_hosts(self) -> str:
        """The site's `gitops.source.known_hosts`."""
        kind, key, *_ = self._path("host_key.pub").read_text().split()
        return f"[{self._address}]:{self._port} {kind} {key}\n"

    @property
    def private_key(self) -> str:
        """The site's secret `git-ssh-key`."""
        return self._path("client_key").read_text()

    def public_key(self, signer: Signer = "release") -> str:
        """Armored OpenPGP key of the signer."""
        return self._run("gpg", "--armor", "--export", f"={_user(signer)}")

    def commit(self, files: Mapping[str, str | None], *, signer: Signer | None = "release") -> str:
        """One commit on `main` that writes these files, or removes those that are None; its hash. Unsigned by None."""
        tree = self._path("tree")
        for name, text in files.items():
            path = tree / name
            if text is None:
                path.unlink()
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
        self._git("add", "--all")
        signing = f"--gpg-sign={_user(signer)}" if signer else "--no-gpg-sign"
        self._git("commit", "--quiet", "--message=lab", signing)
        self._git("push", "--quiet", "--force", "origin", "main")
        return self._git("rev-parse", "HEAD").strip()

    def take_back(self) -> str:
        """Removes the last commit from `main`; the hash of what is the last one now."""
        self._git("reset", "--quiet", "--hard", "HEAD~1")
        self._git("push", "--quiet", "--force", "origin", "main")
        return self._git("rev-parse", "HEAD").strip()

    def start(self) -> None:
        """Answers, again at the same port."""
        # The key comes with a command: whatever its owner asks for, this is what runs.
        reads = f"git-upload-pack {self._path('edge-configs.git')}"
        public = self._path("client_key.pub").read_text()
        self._path("authorized_keys").write_text(f'restrict,command="{reads}" {public}')
        settings = {
            "ListenAddress": endpoint(self._address, self._port),
            "HostKey": self._path("host_key"),
            "AuthorizedKeysFile": self._path("authorized_keys"),
            "AuthenticationMethods": "publickey",
            "PermitRootLogin": "forced-commands-only",
            # The files' folder is this user's own, but below /tmp.
            "StrictModes": "no",
            "UsePAM": "no",
            "PidFile": "none",
        }
        self._path("sshd_config").write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
        # Where it drops its privileges to; Debian's service makes the same folder.
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        with self._path("sshd.log").open("ab") as log:
            self._sshd = subprocess.Popen([_SSHD, "-D", "-e", "-f", str(self._path("sshd_config"))], stderr=log)
        wait_until(self._answers, f"the Git server answers at {self.url}", deadline_s=_DEADLINE_S)

    def stop(self) -> None:
        """Is away, as far as anybody can tell, until `start`."""
        if self._sshd is not None:
            self._sshd.terminate()
            self._sshd.wait()
            self._sshd = None

    def _answers(self) -> bool:
        if self._sshd is None or self._sshd.poll() is not None:
            raise LabError(f"the Git server did not start: {self._path('sshd.log').read_text().strip()}")
        try:
            with socket.create_connection((self._address, self._port), timeout=1) as connection:
                return connection.recv(4) == b"SSH-"
        except OSError:
            return False

    def _keys(self) -> None:
        for name in ("host_key", "client_key"):
            self._run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(self._path(name)))
        for signer in ("release", "stranger"):
            self._run("gpg", "--batch", "--quiet", "--passphrase", "",
                      "--quick-generate-key", _user(signer), "ed25519", "sign", "never")  # fmt: skip

    def _repository(self) -> None:
        bare = self._path("edge-configs.git")
        self._run("git", "init", "--quiet", "--bare", "--initial-branch=main", str(bare))
        self._run("git", "init", "--quiet", "--initial-branch=main", str(self._path("tree")))
        self._git("remote", "add", "origin", str(bare))

    def _git(self, *arguments: str) -> str:
        return self._run("git", "-C", str(self._path("tree")), *arguments)

    def _run(self, *command: str) -> str:
        # Nobody's own settings, hooks, keys or agent have a say in it.
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self._folder),
            "GNUPGHOME": str(self._path("gnupg")),
            "GIT_CONFIG_NOSYSTEM": "1",
        } | {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER")
             for what, value in (("NAME", "lab"), ("EMAIL", "lab@edge.test"))}  # fmt: skip
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise LabError(f"{command[0]} failed: {done.stderr.strip()}")
        return done.stdout

    def _path(self, name: str) -> Path:
        return self._folder / name


def _user(signer: Signer) -> str:
    return f"{signer} <{signer}@edge.test>"


def _free_port(address: str) -> int:
    with socket.create_server((address, 0), family=socket.AF_INET6 if ":" in address else socket.AF_INET) as taken:
        port: int = taken.getsockname()[1]
        return port
