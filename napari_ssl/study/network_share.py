"""Whether a folder lies on another machine, where SQLite's locks and shared memory do not reach."""

from __future__ import annotations

from pathlib import Path

import psutil

__all__ = ["network_file_system"]

_NETWORK = {"nfs", "nfs3", "nfs4", "cifs", "smb", "smb2", "smb3", "smbfs", "afs", "afpfs", "ceph", "lustre", "gpfs"}
_NETWORK |= {"glusterfs", "beegfs", "ncpfs", "webdav", "davfs", "pvfs2", "panfs", "orangefs"}
_NETWORK_FUSE = ("sshfs", "glusterfs", "ceph", "davfs", "smb", "nfs", "s3fs", "rclone")


def network_file_system(folder: Path) -> str | None:
    """Return the kind of network file system that a folder lies on, such as ``nfs4``; None for a local one.

    Told from the table of mounts. What that table does not tell (a share that a virtual machine shows as a local disk)
    cannot be known here.
    """
    place = folder.resolve()
    while not place.exists() and place != place.parent:
        place = place.parent
    if str(place).startswith("\\\\"):  # a Windows share by its name
        return "share"
    best, kind, options = -1, "", ""
    for mount in psutil.disk_partitions(all=True):
        point = Path(mount.mountpoint)
        if place.is_relative_to(point) and len(point.parts) >= best:  # of two on one point the later one is on top
            best, kind, options = len(point.parts), mount.fstype.casefold(), mount.opts
    if kind.startswith("fuse.") and kind.removeprefix("fuse.").startswith(_NETWORK_FUSE):
        return kind
    return kind if kind in _NETWORK or "remote" in options.split(",") else None
