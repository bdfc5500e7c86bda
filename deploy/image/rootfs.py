"""`python3 rootfs.py VENV ROOT`: creates the root of a minimal image for a virtual environment.

It contains the environment, the interpreter and its library, the shared libraries that they load,
the CA certificates and an unprivileged user. Python may be installed in /usr or /usr/local.
"""

import compileall
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from py_compile import PycInvalidationMode

USER = "cart:x:10001:10001::/tmp:"
COPIED = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/os-release",
    # Vulnerability scanners read the versions of the copied libraries here.
    "/var/lib/dpkg/status",
)
# Parts of the standard library that the service does not import.
LEFT_OUT = (
    "__pycache__",
    "ensurepip",
    "idlelib",
    "lib2to3",
    "site-packages",
    "dist-packages",
    "test",
    "tests",
    "tkinter",
    "turtledemo",
    "config-*",
)
# Sources in the SDK's wheel; only the compiled library is loaded.
UNUSED = ("temporalio/bridge/sdk-core", "temporalio/bridge/src")


def main(venv: Path, root: Path) -> None:
    """Writes the files to `root`, which must not exist."""
    library = Path(sysconfig.get_path("stdlib"))
    # The linker searches these folders, wherever the distribution keeps its libraries.
    for name in ("lib", "lib64"):
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    tree(library, root, shutil.ignore_patterns(*LEFT_OUT))
    tree(venv, root, shutil.ignore_patterns("__pycache__"))
    for interpreter in links((venv / "bin/python3").readlink()):
        copy(interpreter, root)
    packages = next((root / venv.relative_to("/") / "lib").glob("python*/site-packages"))
    for name in UNUSED:
        shutil.rmtree(packages / name, ignore_errors=True)
    loading = [Path(sys.executable).resolve(), *library.rglob("*.so"), *packages.rglob("*.so")]
    for shared in sorted(set(loaded(loading))):
        copy(shared, root, follow=True)
    subprocess.run(["strip", "--strip-unneeded", *map(str, root.rglob("*.so"))], check=True)
    for name in COPIED:
        copy(Path(name), root, follow=True)
    (root / "etc/passwd").write_text(f"root:x:0:0::/:\n{USER}\n")
    (root / "etc/group").write_text("root:x:0:\ncart:x:10001:\n")
    (root / "tmp").mkdir()
    (root / "tmp").chmod(0o1777)
    for folder in (library, venv):
        # Not compared with the source's time, which images do not preserve reliably.
        compileall.compile_dir(
            str(root / folder.relative_to("/")),
            stripdir=str(root),
            prependdir="/",
            quiet=1,
            workers=0,
            invalidation_mode=PycInvalidationMode.UNCHECKED_HASH,
        )
    shutil.copytree("/etc/ld.so.conf.d", root / "etc/ld.so.conf.d")
    shutil.copy("/etc/ld.so.conf", root / "etc")
    subprocess.run(["/sbin/ldconfig", "-r", str(root)], check=True)


def tree(folder: Path, root: Path, ignore: Callable[..., set[str]]) -> None:
    """Copies a folder to the same path in the root."""
    shutil.copytree(folder, root / folder.relative_to("/"), symlinks=True, ignore=ignore)


def copy(file: Path, root: Path, *, follow: bool = False) -> None:
    """Copies a file to the same path in the root; with `follow`, a link's target."""
    target = root / file.relative_to("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(file, target, follow_symlinks=follow)


def links(path: Path) -> Iterator[Path]:
    """The path and, if it is a link, all targets of the chain."""
    yield path
    if path.is_symlink():
        yield from links(path.parent / path.readlink())


def loaded(files: Iterable[Path]) -> Iterator[Path]:
    """The shared libraries that these files load, directly or indirectly."""
    for file in files:
        listed = subprocess.run(["ldd", str(file)], check=False, capture_output=True, text=True)
        for line in listed.stdout.splitlines():
            # A line is "NAME => PATH (ADDRESS)", or "PATH (ADDRESS)" for the loader.
            name = line.split("=>")[-1].split("(")[0].strip()
            # Libraries inside wheels are copied with the environment.
            if name.startswith("/") and not name.startswith("/opt/"):
                yield Path(name)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
