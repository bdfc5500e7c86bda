"""The archive of deployment files that the site offers: all that is needed to run the image."""

import gzip
import io
import tarfile
from pathlib import Path

PATH = "files/deploy.tar.gz"
PARTS = (
    *("docker-compose.yml", ".env.example"),
    *(f"deploy/{name}" for name in ("chart", "grafana", "k8s", "prometheus", "temporal")),
)


def content(root: Path) -> bytes:
    """The archive; the same for the same files."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as archive:
        for part in PARTS:
            path = root / part
            for file in [path] if path.is_file() else sorted(path.rglob("*")):
                if file.is_file():
                    archive.add(file, file.relative_to(root).as_posix(), filter=_without_owner)
    return gzip.compress(plain.getvalue(), mtime=0)


def _without_owner(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    member.mode = 0o644
    return member
