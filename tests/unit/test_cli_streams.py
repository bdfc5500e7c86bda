"""Standard streams that are closed, full, or not UTF-8, and arguments that are no text.

No command ends with a traceback because of them, a reader that leaves (`| head`) is no failure, and
Ctrl-C ends with 130, as shells count.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

HEAD = """
import sys
from rich.text import Text
from cli import console, main, streams
streams.prepare()
sys.stdin.readline()
"""
TABLE = "console.show(None, console.Table(['line'], ('name', str)))"
CART = (sys.executable, "-m", "cli.main")


def ended(
    words: tuple[str, ...], root: Path, *, stdin: str | None = "", **env: str
) -> subprocess.CompletedProcess[bytes]:
    """A process with this environment and a few variables of ours."""
    kept = {
        name: os.environ[name] for name in ("PATH", "COVERAGE_PROCESS_START") if name in os.environ
    }
    return subprocess.run(
        words,
        input=(stdin or "").encode(),
        env={**kept, "PYTHONPATH": str(root), "CART_ENV_FILE": "", "TEMPORAL_PORT": "1", **env},
        capture_output=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    "printing",
    [
        "for _ in range(9): console.say('line')",
        f"for _ in range(9): {TABLE}",
        "for _ in range(9): console.print_json({'name': 'line'})",
        "main.main(['--version'])",
        "main.main(['--help'])",
        "main.main(['ops', 'list', '--help'])",
        "print('line'); sys.stdout.flush()",
    ],
)
def test_a_reader_that_leaves_ends_the_command_with_0(printing: str, project_root: Path) -> None:
    words = [sys.executable, "-c", f"{HEAD}{printing}\nsys.exit(1)"]
    with subprocess.Popen(
        words,
        cwd=project_root,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as running:
        assert running.stdout
        running.stdout.close()
        _, errors = running.communicate(b"\n")
    assert (running.returncode, errors) == (0, b"")


@pytest.mark.parametrize("words", [("--help",), ("--version",), ("token", "--user", "u")])
def test_a_full_disk_is_named(words: tuple[str, ...], project_root: Path) -> None:
    shell = 'exec "$@" > /dev/full'
    done = ended(("sh", "-c", shell, "sh", *CART, *words), project_root)
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr == b"cannot write the output: No space left on device\n"


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("words", [("--version",), ("token", "--user", "u"), ("ops", "list")])
def test_closed_streams_change_no_exit_code(
    words: tuple[str, ...], closed: str, project_root: Path
) -> None:
    done = ended(("sh", "-c", f'exec "$@" {closed}', "sh", *CART, *words), project_root)
    assert done.returncode == (1 if words[0] == "ops" else 0), done.stderr
    assert b"Traceback" not in done.stderr


LOCALES = (
    {"LC_ALL": "C"},
    {"LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    {"PYTHONIOENCODING": "ascii"},
    {"PYTHONIOENCODING": "latin-1"},
    {"LC_ALL": "POSIX", "PYTHONUTF8": "0"},
)
PRINTING = """
console.say('à ✓')
console.show(None, Text('日本', 'red'), console.Table(['✓'], ('name', str)))
console.warn('✓')
console.print_json('✓')
"""


@pytest.mark.parametrize("env", LOCALES)
def test_what_a_terminal_cannot_show_is_escaped(env: dict[str, str], project_root: Path) -> None:
    code = (HEAD + PRINTING).encode("ascii", "backslashreplace").decode()
    done = ended((sys.executable, "-c", code), project_root, COLUMNS="80", **env)
    assert done.returncode == 0, done.stderr
    encoding = {"latin-1": "latin-1"}.get(env.get("PYTHONIOENCODING", ""), "utf-8")
    printed = done.stdout.decode(encoding)
    for whole, escaped in (("✓", r"\u2713"), ("日本", r"\u65e5\u672c"), ("à", r"\xe0")):
        assert whole in printed or escaped in printed
    document = printed.splitlines()[-1]
    assert json.loads(document) == "✓"
    if "─" not in printed:
        assert "\n----" in printed


def test_arguments_are_utf_8_whatever_the_locale_is(project_root: Path) -> None:
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    words = ("stock", "show", "store-1", "café")
    done = ended((*CART, *words), project_root, INVENTORY_PORT="1", **locale)
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.startswith(b"the inventory does not answer")


@pytest.mark.parametrize(
    ("word", "problem"),
    [
        (b"caf\xe9", b"is not UTF-8: 'caf\\udce9'"),
        (b"\x1b]0;title\x07", b"has a control character: '\\x1b]0;title\\x07'"),
        ("\x9b31m".encode(), b"has a control character: '\\x9b31m'"),
    ],
)
@pytest.mark.parametrize("words", [("token", "--user"), ("ops", "show"), ()])
def test_an_argument_that_is_no_text_is_a_usage_error(
    words: tuple[str, ...], word: bytes, problem: bytes, project_root: Path
) -> None:
    shell = ("sh", "-c", 'read -r last; exec "$@" "$last"', "sh", *CART, *words)
    done = subprocess.run(
        shell, input=word + b"\n", cwd=project_root, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr == b"argument %d " % (len(words) + 1) + problem + b"\n"


def test_ctrl_c_ends_with_130_and_says_nothing(project_root: Path) -> None:
    code = """
import asyncio
from cli import main
async def wait():
    print("waiting", flush=True)
    await asyncio.sleep(60)
main._runnable = lambda _: lambda **_: asyncio.run(wait())
main.console()
"""
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=project_root,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as running:
        assert running.stdout
        assert running.stdout.readline() == b"waiting\n"
        running.send_signal(signal.SIGINT)
        begun = time.monotonic()
        _, errors = running.communicate(timeout=30)
    assert (running.returncode, errors) == (130, b"")
    assert time.monotonic() - begun < 20


def as_nobody(root: Path, *words: str, **env: str) -> subprocess.CompletedProcess[bytes]:
    """A command of a user whose id has no name, as in a container with a random user."""
    code = """
import getpass, os, pwd, sys
def unknown(uid): raise KeyError(f"getpwuid(): uid not found: {uid}")
pwd.getpwuid = unknown
os.getuid = lambda: 12345
from cli import main
main.console()
"""
    return ended((sys.executable, "-c", code, *words), root, **env)


@pytest.mark.parametrize(
    ("folder", "problem"),
    [
        ("~/data", "LOCAL_DIR='~/data': has ~, and this user has no home"),
        ("/proc/data", "cannot write to /proc/data: No such file or directory."),
        ("/dev/null/data", "cannot write to /dev/null/data: Not a directory."),
    ],
)
def test_a_local_folder_that_cannot_be_used_is_named(
    folder: str, problem: str, project_root: Path
) -> None:
    done = as_nobody(project_root, "stack", LOCAL_DIR=folder)
    assert done.returncode == 2
    assert problem in done.stderr.decode()
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    "env",
    [{}, {"HOME": "/nonexistent"}, {"TMPDIR": "/nonexistent"}, {"TZ": "Nowhere/Bad"}, {"TZ": ":/"}],
)
def test_a_user_without_a_name_or_home_can_use_commands(
    env: dict[str, str], project_root: Path
) -> None:
    for words in (("token", "--user", "u"), ("ops", "list")):
        done = as_nobody(project_root, *words, **env)
        assert done.returncode == (1 if words[0] == "ops" else 0), done.stderr
        assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("path", ["unreadable", "binary"])
def test_an_env_file_that_cannot_be_read_is_named(
    path: str, tmp_path: Path, project_root: Path
) -> None:
    file = tmp_path / path
    file.write_bytes(b"PORT=1\xff\n")
    if path == "unreadable":
        file.unlink()
        file.symlink_to("/proc/1/mem" if os.getuid() else "/proc/self/mem")
    done = ended((*CART, "token", "--user", "u"), project_root, CART_ENV_FILE=str(file))
    assert done.returncode == 2
    assert (
        done.stderr.decode().splitlines()[1].startswith(f"CART_ENV_FILE='{file}': cannot be read")
    )
