"""What `CopyToRemote` copies where: a file, a text or a folder, over SFTP.

A folder goes into an existing folder by its name, or its content does where the path ends with a slash; a file into an
existing folder by its name. Folders on the way are made. Archives are copied as they are, not unpacked.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import asyncssh

from engine.rehearsal.protocol import Failure


async def copy(sftp: asyncssh.SFTPClient, source: Mapping[str, Any], destination: str) -> None:
    """Copies a Pulumi asset or archive (in wire form). Raises ``Failure``, ``asyncssh.SFTPError``, ``OSError``."""
    text, path = source.get("text"), source.get("path")
    parent = posixpath.dirname(destination.rstrip("/"))
    if parent:
        await sftp.makedirs(parent, exist_ok=True)
    if path:
        await _copy_path(sftp, Path(path), destination, content_only=str(path).endswith("/"))
    elif text is not None:
        if await sftp.isdir(destination):
            raise Failure(f"{destination} is a folder; a text needs the path of a file")
        await _write(sftp, destination, text.encode())
    else:
        raise Failure("source must be a file, a text, or a folder or archive on this machine")


async def _copy_path(sftp: asyncssh.SFTPClient, source: Path, destination: str, *, content_only: bool) -> None:
    if not source.exists():
        raise Failure(f"{source} does not exist")
    if source.is_file():
        target = posixpath.join(destination, source.name) if await sftp.isdir(destination) else destination
        await _write(sftp, target, source.read_bytes())
        return
    if await sftp.exists(destination) and not await sftp.isdir(destination):
        raise Failure(f"{destination} exists and is no folder")
    top = destination if content_only else posixpath.join(destination, source.name)
    await sftp.makedirs(top, exist_ok=True)
    for item in sorted(source.rglob("*")):
        target = posixpath.join(top, item.relative_to(source).as_posix())
        if item.is_dir():
            await sftp.makedirs(target, exist_ok=True)
        else:
            await _write(sftp, target, item.read_bytes())


async def _write(sftp: asyncssh.SFTPClient, path: str, content: bytes) -> None:
    async with sftp.open(path, "wb") as file:
        await file.write(content)
