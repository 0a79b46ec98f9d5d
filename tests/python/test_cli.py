# SPDX-License-Identifier: GPL-3.0-or-later
"""The command slabby as a person uses it: in a terminal of tmux, and in scripts."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request

import pytest
import slabby
from signals import signal_a_worker
from slabby._cli import main
from slabby._top import _keys
from slabby.server import serve

pytestmark = pytest.mark.skipif(
    slabby.backend() != "cffi", reason="the command is the same over every backend"
)

COMMAND = [sys.executable, "-m", "slabby"]


def run(*arguments, **variables):
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **variables},
        check=False,
    )


@pytest.fixture
def server():
    with slabby.Allocator(64, 100, name="orders") as orders:
        with slabby.Allocator(64, 4, name="bodies") as bodies:
            held = [*orders.allocate_batch(25), *bodies.allocate_batch(4)]
            server = serve([orders, bodies], "127.0.0.1:0")
            yield server
            server.close()
            for ref in held:
                ref.release()


# ---------------------------------------------------------------------------------------------- scripts

SIZE = ("size", "--rate", "1", "--hold", "2ms", "--object", "9")


def test_top_for_scripts(server):
    found = run("top", "--once", "--json", "--interval", "0.1", server.url)
    assert found.returncode == 0, found.stderr
    pools = json.loads(found.stdout)["pools"]
    assert [pool["pool"] for pool in pools] == ["bodies", "orders"]  # by use
    assert pools[0]["reason"] == "exhausted" and pools[0]["status"] == "warn"
    assert pools[1]["used"] == 25 and pools[1]["total"] == 100 and pools[1]["rate"] == 0
    by_name = run("top", "--once", "--json", "--interval", "0.1", "--sort", "score", server.url)
    assert json.loads(by_name.stdout)["pools"][0]["score"] <= pools[1]["score"]


def test_top_says_who_does_not_answer(server):
    found = run("top", "--once", "--json", "--interval", "0.1", server.url, "http://127.0.0.1:9/")
    assert found.returncode == 1
    answer = json.loads(found.stdout)
    assert len(answer["pools"]) == 2
    assert answer["silent"][0]["url"] == "http://127.0.0.1:9/"
    assert "refused" in answer["silent"][0]["error"]
    other = run("top", "--once", "--json", "--interval", "0.1", server.url + "livez?x=")
    assert json.loads(other.stdout)["silent"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("top", "--json"), "goes with --once"),
        (("top", "--interval", "0"), "from 0.05 to 3600"),
        (("serve",), "one of the arguments"),
        (("serve", "no_such_module"), "there is no module 'no_such_module'"),
        (("serve", "json:dumps"), "json:dumps is a function and must be a slabby.Allocator"),
        (("serve", "json:nothing"), "module 'json' has no 'nothing'"),
        (("serve", ""), "'' must be MODULE or MODULE:POOL"),
        (("serve", ":x"), "':x' must be MODULE or MODULE:POOL"),
        (("serve", ".rel"), "'.rel' must be MODULE or MODULE:POOL"),
        (("serve", "--demo", "--address", "nonsense"), "must be HOST:PORT"),
        (("serve", "--demo", "--token-file", "/no/such/file"), "No such file"),
        (("size", "--rate", "1", "--hold", "2x", "--object", "9"), "'2x' is no quantity"),
        (("size", "--rate", "-1", "--hold", "2ms", "--object", "9"), "a rate above 0"),
        (("size", "--rate", "1", "--hold", "2ms", "--object", "9", "--exhaustion", "2"), "below 1"),
        ((*SIZE, "--max-object", "0"), "maximum 0"),
        ((*SIZE, "--p99-hold", "0s"), "p99_hold"),
        ((), "required: COMMAND"),
    ],
)
def test_mistakes_are_explained(capsys, arguments, says):
    try:
        status = main(list(arguments))
    except SystemExit as error:
        status = error.code
    assert status == 2
    assert says in capsys.readouterr().err


def test_size_is_that_of_the_calculators():
    load = ("--rate", "5000", "--hold", "2ms", "--object", "900", "--max-object", "4KiB")
    found = json.loads(run("size", "--json", *load).stdout)
    assert found["slab_size"] == slabby.suggest_slab_size(900, 4096, rate_per_second=5000)
    assert found["capacity"] == slabby.suggest_capacity(
        5000, mean_hold=0.002, p99_hold=0.006, exhaustion_probability=1e-6
    )
    text = run("size", *load).stdout
    assert f"slabby.Allocator({found['slab_size']}, {found['capacity']})" in text


def test_doctor_says_what_pools_do():
    found = json.loads(run("doctor", "--json").stdout)
    has_rseq = found["facts"]["restartable sequences"].startswith("yes")
    assert found["options"]["cpu_cache_backend"] == ("rseq" if has_rseq else "portable")
    assert int(found["facts"]["CPUs"].partition(";")[0]) >= 1
    text = run("doctor").stdout
    for name in found["facts"]:
        assert f"\n{name} " in "\n" + text


def test_doctor_under_a_tunable_that_takes_sequences_away():
    found = run("doctor", "--json", GLIBC_TUNABLES="glibc.pthread.rseq=0")
    facts = json.loads(found.stdout)["facts"]
    assert facts["restartable sequences"].startswith("no; ")


# ------------------------------------------------------------------------------------------------- serve


def ask_top(url):
    return json.loads(run("top", "--once", "--json", "--interval", "0.1", url).stdout)


def fetch(url):
    with urllib.request.urlopen(url, timeout=60) as reply:
        return reply.read().decode()


def await_address(process):
    line = process.stdout.readline()
    assert line.startswith("serving http://127.0.0.1:"), line
    return line.split()[1]


def end(process, by=signal.SIGTERM, send=subprocess.Popen.send_signal):
    send(process, by)
    _, complaints = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "Traceback" not in complaints


def start(*arguments, **options):
    return subprocess.Popen(
        [*COMMAND, "serve", "--address", ":0", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def test_serve_a_module(tmp_path):
    source = "import slabby\nclass deep:\n    pool = slabby.Allocator(64, 5, name='mine')\n"
    (tmp_path / "service.py").write_text(source + "other = slabby.Allocator(64, 6, name='other')\n")
    for name, pools in (("service", ["mine", "other"]), ("service:deep.pool", ["mine"])):
        process = start(name, cwd=tmp_path)
        found = ask_top(await_address(process))
        assert sorted(pool["pool"] for pool in found["pools"]) == pools
        end(process)


@pytest.mark.parametrize(
    ("inherited", "by"),
    [
        (signal.SIG_DFL, signal.SIGINT),
        (signal.SIG_DFL, signal.SIGTERM),
        (signal.SIG_IGN, signal.SIGTERM),  # a program that a shell runs in the background
    ],
)
def test_serve_ends_by_a_signal(inherited, by):
    before = signal.signal(signal.SIGINT, inherited)
    try:
        process = start("--demo")
    finally:
        signal.signal(signal.SIGINT, before)
    await_address(process)
    end(process, by)


def test_serve_says_which_module_is_missing_or_wrong(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "redis_app.py").write_text("import redis\n")
    (tmp_path / "redis_app_2.py").write_text("import no_such_module\n")
    (tmp_path / "wrong_app.py").write_text("import slabby\n\nslabby.Allocator(64, 0)\n")
    monkeypatch.setitem(sys.modules, "redis", None)  # which cannot be imported
    with pytest.raises(ModuleNotFoundError, match="redis"):
        main(["serve", "redis_app"])
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        main(["serve", "redis_app_2"])
    assert main(["serve", "wrong_app"]) == 2
    said = capsys.readouterr().err
    assert f"module 'wrong_app' in {tmp_path / 'wrong_app.py'}, line 3: capacity 0 is out" in said


def test_the_token_is_text(tmp_path, capsys):
    (tmp_path / "token").write_bytes(b"\xff\xfe")
    assert main(["serve", "--demo", "--token-file", str(tmp_path / "token")]) == 2
    assert "must be text in UTF-8" in capsys.readouterr().err
    (tmp_path / "token").write_text("a\nb")
    assert main(["serve", "--demo", "--token-file", str(tmp_path / "token")]) == 2
    assert "no header can carry" in capsys.readouterr().err


def test_an_arrow_key_does_not_end_top(monkeypatch):
    keyboard, terminal = os.openpty()
    with open(terminal, encoding="utf-8") as stdin, _keys_of(stdin, monkeypatch) as next_key:
        for typed, key in ((b"\x1b[A", ""), (b"q", "q"), (b"\x1b", "\x1b")):
            os.write(keyboard, typed)
            assert next_key(60) == key
    os.close(keyboard)


def _keys_of(stdin, monkeypatch):
    monkeypatch.setattr(sys, "stdin", stdin)
    return _keys()


def test_serve_ends_by_a_signal_that_a_worker_gets():
    process = start("--demo")
    await_address(process)
    end(process, send=signal_a_worker)


def test_serve_the_demo(tmp_path):
    (tmp_path / "token").write_text("secret\n")
    process = start("--demo", "--token-file", str(tmp_path / "token"))
    url = await_address(process)
    found = ask_top(url)
    while not all(pool["rate"] for pool in found["pools"]):
        found = ask_top(url)
    assert sorted(pool["pool"] for pool in found["pools"]) == ["bodies", "orders"]
    # Where slabs come from is to be seen, too.
    deadline = time.monotonic() + 60
    while "handle_order (demo.py:" not in fetch(url + "stats?stacks=1&pool=orders"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    end(process)


# ------------------------------------------------------------------------------------------------ screens


class Terminal:
    """A terminal of tmux with a server of its own, in which one command runs."""

    def __init__(self, folder, width, command):
        self.socket = str(folder / "tmux")
        size = ("-x", str(width), "-y", "12")
        self.tmux("-f", "/dev/null", "new-session", "-d", *size, command)

    def tmux(self, *arguments):
        return subprocess.run(
            ["tmux", "-S", self.socket, *arguments], capture_output=True, text=True, check=False
        ).stdout

    def screen(self):
        return self.tmux("capture-pane", "-p")

    def wait(self, part):
        end = time.monotonic() + 60
        while part not in (screen := self.screen()):
            assert time.monotonic() < end, screen
            time.sleep(0.05)
        return screen

    def press(self, key):
        self.tmux("send-keys", key)


@pytest.fixture
def terminal(tmp_path):
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed")
    pytest.importorskip("rich")
    opened = []

    def open_terminal(width, *arguments):
        # Of this terminal, not of the one that runs the tests.
        words = ["env", "-u", "COLUMNS", "-u", "LINES", *COMMAND, *arguments]
        # What is left on the screen at the end stays to be read.
        made = Terminal(
            tmp_path, width, "trap : INT; " + " ".join(words) + "; echo ended with $?; sleep 60"
        )
        opened.append(made)
        return made

    yield open_terminal
    for each in opened:
        each.tmux("kill-server")


def names(screen):
    return [
        line.split()[0] for line in screen.splitlines() if line.startswith(("orders", "bodies"))
    ]


def test_top_in_a_wide_terminal(terminal, server):
    shown = terminal(140, "top", "--interval", "0.2", server.url)
    screen = shown.wait("bodies")
    assert names(screen) == ["bodies", "orders"]
    for part in ("exhausted", "4/4", "25/100", "25 %", "p99", "breaker", "last use"):
        assert part in screen
    shown.wait("▃▃▃")  # a quarter in use, again and again
    shown.press("n")
    shown.wait("by name")
    shown.press("s")
    screen = shown.wait("by score")
    assert names(screen) == ["bodies", "orders"]
    shown.press("q")
    shown.wait("ended with 0")


def test_top_in_a_narrow_terminal(terminal, server):
    shown = terminal(40, "top", "--interval", "0.2", server.url)
    screen = shown.wait("bodies")
    assert names(screen) == ["bodies", "orders"]
    assert "100 %" in screen and "breaker" not in screen and "alloc/s" not in screen
    shown.press("r")
    screen = shown.wait("by rate")
    assert "alloc/s" in screen
    assert all(len(line) <= 40 for line in screen.splitlines())
    shown.press("C-c")
    shown.wait("ended with 130")


def test_long_names_leave_space_for_numbers(terminal, server):
    """Of two processes, too, whose common host is left out."""
    name = "a-very-long-name-of-a-pool-for-request-bodies"
    with slabby.Allocator(64, 100_000, name=name) as pool:
        other = serve([pool], "127.0.0.1:0")
        shown = terminal(40, "top", "--interval", "0.2", server.url, other.url)
        screen = shown.wait("a-very-")
        (line,) = (line for line in screen.splitlines() if line.startswith("a-very-"))
        assert line.split() == [line.split()[0], "well", "0", "%", f":{other.server_address[1]}"]
        assert "100 %" in screen and line.split()[0].endswith("…")
        shown.press("q")
        other.close()


def test_doctor_breaks_lines_between_words(terminal):
    shown = terminal(40, "doctor")
    screen = shown.wait("ended with 0")
    assert "\na pool\n  shards=" in screen and "\n  cpu_cache_backend=" in screen


def test_top_goes_on_when_a_process_ends(terminal, server):
    shown = terminal(100, "top", "--interval", "0.2", server.url, "http://127.0.0.1:9")
    shown.wait("no answer from http://127.0.0.1:9/")
    assert names(shown.screen()) == ["bodies", "orders"]
    shown.press("q")
    shown.wait("ended with 0")


def test_top_once_in_a_terminal(terminal, server):
    shown = terminal(100, "top", "--once", "--interval", "0.1", server.url)
    screen = shown.wait("ended with 0")
    assert names(screen) == ["bodies", "orders"]
