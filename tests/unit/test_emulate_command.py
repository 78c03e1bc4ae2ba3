"""`pipeline emulate`: a real process that is talked to and ended, its options, and the lists it prints."""

from __future__ import annotations

import ast
import contextlib
import json
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import openai
import pytest
from fakes.campaign import environment
from fakes.work import HANGS
from websockets.sync.client import connect

import pipeline.emulator
from pipeline.cli import main
from pipeline.cli.emulate import _faults, _settings
from pipeline.cli.parser import LATENCY, parse_arguments
from pipeline.cli.rehearsal import environment_places
from pipeline.emulator import GATEWAYS, Fault, Settings
from pipeline.emulator.core import FAULTS
from pipeline.emulator.switches import FAULT_KINDS, SWITCHES
from pipeline.gateways import DIALECTS

PATH = "/v1/images/generations"
ASK = {"model": "klingai/image-o1", "prompt": "A mug", "image_urls": ["https://example.org/mug.png"]}
QUICK = ("--speed", "1000", "--pictures", "plain")


def command(*arguments):
    return [sys.executable, "-m", "pipeline", "emulate", *map(str, arguments)]


class Running:
    """A running `pipeline emulate` and what it said when it was ready."""

    def __init__(self, *arguments, lines):
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.process = subprocess.Popen(command(*arguments), text=True, env=environment(), **pipes)
        self._guard = threading.Timer(HANGS, self.process.kill)
        self._guard.start()
        self.ready = "".join(self.process.stdout.readline() for _ in range(lines))

    @property
    def variables(self):
        return dict(re.findall(r"^export (\w+)=(\S+)$", self.ready, re.MULTILINE))

    def end(self, number=signal.SIGINT):
        """End it, and return its exit code and what else it said."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=HANGS)
        assert out == "", "a shell may read what goes to standard output"
        assert "Traceback" not in err
        return self.process.returncode, err

    def close(self):
        self._guard.cancel()
        self.process.kill()
        self.process.communicate()


@contextlib.contextmanager
def emulating(*arguments, lines):
    running = Running(*arguments, lines=lines)
    try:
        yield running
    finally:
        running.close()


def ask(url, key="k", **changes):
    headers = {"Authorization": f"Bearer {key}"}
    return httpx.post(f"{url}{PATH}", json=ASK | changes, headers=headers, trust_env=False, timeout=HANGS)


def billed(text):
    """Gateway → its row of the bill: requests, pictures, dollars, creates a minute, in flight, rejected."""
    rows = [line.split() for line in text.splitlines()]
    return {row[0]: row[1:] for row in rows if len(row) == 7 and row[0] in GATEWAYS}


def test_official_clients_are_told_where_to_go(monkeypatch):
    """Every client of an emulated gateway has its settings, and what it finds at those addresses is that gateway."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with emulating("aimlapi", "runware", *QUICK, "--json", lines=28) as running:
        told = json.loads(running.ready)["clients"]
        with openai.OpenAI(api_key="k", **told["openai"]) as client:
            assert [model.id for model in client.models.list()] == ["klingai/image-o1"]
        assert told["@runware/sdk-js"] == told["runware"] == {"url": told["runware-sdk"]["ws_base_url"]}
        with connect(told["runware"]["url"], proxy=None) as socket_:
            socket_.send('[{"taskType": "authentication", "apiKey": "k"}]')
            assert json.loads(socket_.recv(timeout=HANGS))["data"][0]["connectionSessionUUID"]
        assert told["runware-sdk"]["http_base_url"] == told["runware-sdk"]["ws_base_url"].replace("ws:", "http:")
        _, err = running.end()
    assert re.search(rf"^openai +base_url +{re.escape(told['openai']['base_url'])}$", err, re.MULTILINE)
    assert "fal" not in err


def test_a_shell_can_read_what_it_prints_and_a_run_finds_the_gateways(monkeypatch):
    """Every gateway's address and key come as `export` lines, under the names that a run looks for."""
    with emulating(lines=8) as running:
        script = 'eval "$1"; env'
        told = subprocess.run(["sh", "-c", script, "sh", running.ready], capture_output=True, text=True, check=True)
        found = dict(line.split("=", 1) for line in told.stdout.splitlines() if "=" in line)
        for name in running.variables:
            monkeypatch.setenv(name, found[name])
        urls = environment_places().urls
        assert list(urls) == list(GATEWAYS)
        for gateway, url in urls.items():
            assert found[DIALECTS[gateway].key] == "emulated"
            assert httpx.get(f"{url}/_emulator/bill", trust_env=False).json()["gateway"] == gateway
        code, err = running.end()
    assert code == 0
    assert "emulating fal, aimlapi, eachlabs, runware on this machine; Ctrl-C ends and shows the bill" in err
    assert "`pipeline run --emulate`" in err
    assert list(billed(err)) == list(GATEWAYS)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_end_shows_the_bill(number):
    """Requests, pictures, dollars, the rate, the peak and what was rejected, for every gateway."""
    limit = ("--limit", "aimlapi.creates_per_minute=2")
    with emulating("aimlapi", "runware", *QUICK, "--speed", "1", "--latency", "0-0", *limit, lines=4) as running:
        url = running.variables["AIMLAPI_BASE_URL"]
        statuses = [ask(url).status_code, ask(url, num_images=3).status_code, ask(url).status_code]
        assert statuses == [200, 200, 429]
        code, err = running.end(number)
    assert code == 0
    assert billed(err) == {
        "aimlapi": ["2", "4", "$0.1176", "2", "1", "1"],
        "runware": ["0", "0", "$0.00", "0", "0", "0"],
    }


def test_a_held_request_keeps_nobody_waiting():
    """It ends at once though a client waits for an answer that is hours away."""
    with emulating("aimlapi", "--latency", "99999", lines=2) as running:
        url = running.variables["AIMLAPI_BASE_URL"]
        with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as client:
            body = json.dumps(ASK)
            head = [f"POST {PATH} HTTP/1.1", "Host: emulated", "Authorization: Bearer k"]
            head += ["Content-Type: application/json", f"Content-Length: {len(body)}", "", body]
            client.sendall("\r\n".join(head).encode())
            while not httpx.get(f"{url}/_emulator/bill", trust_env=False).json()["requests"]:
                pass
            code, err = running.end()
            with contextlib.suppress(ConnectionResetError):
                assert client.recv(100) == b""
    assert code == 0
    assert billed(err)["aimlapi"][:2] == ["1", "1"]


def test_one_json_document_says_where_it_is():
    """With --json the addresses, the control address and the variables; the notes stay on standard error."""
    with emulating("fal", "eachlabs", "--json", lines=26) as running:
        ready = json.loads(running.ready)
        assert list(ready["urls"]) == ["fal", "eachlabs"]
        assert ready["environment"] == {
            "FAL_BASE_URL": ready["urls"]["fal"],
            "FAL_KEY": "emulated",
            "EACHLABS_BASE_URL": ready["urls"]["eachlabs"],
            "EACHLABS_API_KEY": "emulated",
        }
        bill = httpx.get(f"{ready['control']}/eachlabs/bill", trust_env=False).json()
        assert bill["gateway"] == "eachlabs"
        assert running.end()[0] == 0


def test_the_accepted_key_is_the_only_one_and_is_not_shown():
    """No other key is taken, none is exported, and the given one is in no output."""
    with emulating("aimlapi", *QUICK, "--accept-key", "canary-5e", lines=1) as running:
        url = running.variables["AIMLAPI_BASE_URL"]
        assert "KEY" not in running.ready
        assert (ask(url).status_code, ask(url, key="canary-5e").status_code) == (401, 200)
        _, err = running.end()
    assert "AIMLAPI_KEY" in err
    assert "canary" not in running.ready + err


def test_a_fault_hits_its_gateway_only(tmp_path):
    """Those of the command line and of the file arrive, each at the gateway it is for."""
    when = "Wed, 21 Oct 2026 07:28:00 GMT"
    (tmp_path / "faults.json").write_text('[{"at": "submit", "kind": "status", "nth": [2], "value": "503"}]')
    faults = ("--fault", f"at=submit kind=429 nth=1 gateway=aimlapi value='{when}'", "--faults")
    with emulating("aimlapi", "eachlabs", *QUICK, *faults, tmp_path / "faults.json", lines=4) as running:
        url = running.variables["AIMLAPI_BASE_URL"]
        first, second, third = ask(url), ask(url), ask(url)
        assert (first.status_code, first.headers["retry-after"]) == (429, when)
        assert (second.status_code, third.status_code) == (503, 200)
        there = running.variables["EACHLABS_BASE_URL"]
        answers = [httpx.post(f"{there}/v1/prediction", trust_env=False).status_code for _ in range(2)]
        assert answers == [401, 503]


def free_ports(number):
    """The first of so many free ports in a row."""
    for first in range(20_000, 60_000, 10):
        with contextlib.ExitStack() as stack:
            try:
                for port in range(first, first + number):
                    stack.enter_context(socket.create_server(("127.0.0.1", port)))
            except OSError:
                continue
            return first
    raise AssertionError("there is no free port")


def test_ports_follow_each_other_and_a_busy_one_is_an_error():
    """The gateways in their order, then control; a second emulator there says what is wrong, and ends with 1."""
    first = free_ports(3)
    with emulating("eachlabs", "fal", "--port", first, "--json", lines=26) as running:
        ready = json.loads(running.ready)
        addresses = [*ready["urls"].values(), ready["control"]]
        assert addresses == [f"http://127.0.0.1:{port}" for port in range(first, first + 3)]
        clash = command("fal", "--port", first + 1)
        done = subprocess.run(clash, capture_output=True, text=True, env=environment(), timeout=HANGS, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(
        rf"can't listen on the ports {first + 1} to {first + 2} of 127\.0\.0\.1: .*; choose another --port.*\n",
        done.stderr,
    )


def test_every_option_reaches_the_emulator():
    """What was asked for on the command line is what the emulator is given."""
    options = "--port 8100 --speed 20 --pictures plain --moderated gun --url-seconds 60 --seed 7 --accept-key k"
    chosen = "--limit eachlabs.concurrent=3 --limit eachlabs.creates_per_minute=0 --switch eachlabs.status=seed"
    more = "--switch webhooks.delivery=late --latency slow"
    arguments = parse_arguments(["emulate", "eachlabs", *f"{options} {chosen} {more}".split()])
    assert _settings(("eachlabs",), arguments) == Settings(
        gateways=("eachlabs",),
        port=8100,
        speed=20,
        latency=(20, 60),
        pictures="plain",
        key="k",
        url_seconds=60,
        limits={"eachlabs": {"concurrent": 3, "creates_per_minute": 0}},
        switches={"eachlabs.status": "seed", "webhooks.delivery": "late"},
        seed=7,
        moderated="gun",
    )
    given = ["--fault", "at=submit kind=reset-after every=20", "--fault", "at=picture kind=slow chance=0.5 value=2.5"]
    faults = _faults(("fal", "eachlabs"), parse_arguments(["emulate", *given, "--fault", "at=poll kind=html nth=1,4"]))
    assert faults == [
        ("", Fault(at="submit", kind="reset-after", every=20)),
        ("", Fault(at="picture", kind="slow", chance=0.5, value="2.5")),
        ("", Fault(at="poll", kind="html", nth=(1, 4))),
    ]


def test_the_defaults_are_those_of_the_emulator():
    """Without options it behaves as everywhere else."""
    assert _settings(tuple(GATEWAYS), parse_arguments(["emulate"])) == Settings()


@pytest.mark.parametrize(
    ("text", "seconds"), [*LATENCY.items(), ("2-5", (2, 5)), ("0.5-2.5", (0.5, 2.5)), ("3", (3, 3))]
)
def test_latency_is_a_profile_or_seconds(text, seconds):
    """A name, least and most, or one number."""
    assert parse_arguments(["emulate", "--latency", text]).latency == seconds


BAD = [
    ("fall", r"there is no gateway 'fall' to emulate; there is fal, aimlapi, eachlabs, runware"),
    ("--limit eachlabs", r"it is GATEWAY\.NAME=VALUE, as --limit eachlabs\.concurrent=3"),
    ("--limit fall.concurrent=3", r"no gateway 'fall'; there is fal, aimlapi, eachlabs, runware"),
    ("fal --limit eachlabs.concurrent=3", r"eachlabs is not emulated here; name it too"),
    ("--limit fal.rate=3", r"no limit 'rate'; there is concurrent, creates_per_minute"),
    ("--limit fal.concurrent=-3", r"'-3' is no number; give 1 or more"),
    ("--switch fal.path", r"it is GATEWAY\.NAME=VALUE"),
    ("--switch webhook.delivery=late", r"no gateway 'webhook'"),
    ("--switch fal.paht=full", r"no such switch; there is fal\.validate, .*fal\.path"),
    ("--switch eachlabs.status=sed", r"no choice 'sed'; there is current \| seed \| openapi"),
    ("--switch aimlapi.balance=-1", r"no choice '-1'; there is DOLLARS \(100\)"),
    ("aimlapi --switch eachlabs.status=seed", r"eachlabs is not emulated here"),
    ("--fault 'at=submit", r"No closing quotation"),
    ("--fault submit", r"'submit' is not KEY=VALUE"),
    ("--fault at=submit", r"it needs at= and kind="),
    ("--fault at=submit kind=429 evry=1", r"no 'evry' in a fault; did you mean 'every'\?"),
    ("--fault at=submit at=poll kind=429 every=1", r"at is there twice"),
    ("--fault at=submit kind=reset every=1", r"unknown fault 'reset'; there is 429, .*; `pipeline emulate --list`"),
    ("--fault at=start kind=429 every=1", r"a fault is at submit, poll, picture or upload, not 'start'"),
    ("--fault at=submit kind=429 every=often", r"every is a whole number, as every=20, not 'often'"),
    ("--fault at=submit kind=429 nth=1,x", r"nth is whole numbers, as nth=1,4, not '1,x'"),
    ("--fault at=submit kind=429 nth=0", r"counted from 1"),
    ("--fault at=submit kind=429 every=-2", r"counted from 1"),
    ("--fault at=submit kind=429 chance=2", r"a chance is at most 1"),
    ("--fault at=submit kind=429", r"a fault that never hits: give it nth, every or chance"),
    ("--fault at=submit kind=429 nth=1 every=2", r"one of nth, every and chance"),
    ("--fault at=submit kind=html every=2 value=3", r"html takes no value"),
    ("--fault at=submit kind=status every=2 value=x", r"the value of status is a status, as 503"),
    ("--fault at=poll kind=429 every=2 gateway=fall", r"no gateway 'fall'"),
    ("--accept-key ", r"--accept-key: that is no key"),
    ("--port 65534", r"the ports 65534 to 65538 are needed"),
    ("--port 0", r"invalid port \(1 to 65535\) value: '0'"),
    ("--latency 5-2", r"invalid latency \(fast, typical, slow, or seconds such as 2-5\) value: '5-2'"),
    ("--latency quick", r"invalid latency .* value: 'quick'"),
    ("--url-seconds -1", r"invalid number of seconds value: '-1'"),
    ("--speed 0", r"invalid speed"),
]


@pytest.mark.parametrize(("given", "message"), BAD, ids=[given for given, _ in BAD])
def test_a_bad_command_line_is_one_clear_line(given, message, capsys):
    """It says what is wrong and what there is, and the exit code is 2."""
    words = given.split(" ", 1) if given.startswith("--") else given.split()
    try:
        code = main(["emulate", *words])
    except SystemExit as stopped:
        code = stopped.code
    told = capsys.readouterr()
    assert (code, told.out) == (2, "")
    assert re.search(message, told.err.splitlines()[-1])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"--faults .*f\.json: No such file or directory"),
        (b"[{]", r"f\.json:1:3: this is no JSON"),
        (b"\xff", r"f\.json: this is no JSON: it must be text in UTF-8"),
        (b"{}", r"f\.json: it must be a list"),
        (b'[{"at": "submit", "kind": "429", "every": 1}, 5]', r"f\.json: fault 2: it must be an object"),
        (b'[{"at": "submit", "kind": "429", "every": "1"}]', r"f\.json: fault 1: nth is a list of whole numbers"),
        (b'[{"at": "submit", "kind": 5, "every": 1}]', r"f\.json: fault 1: unknown fault '5'"),
        (b'[{"at": [], "kind": "429", "every": 1}]', r"f\.json: fault 1: a fault is at submit"),
    ],
)
def test_a_bad_file_of_faults_is_one_clear_line(content, message, tmp_path, capsys):
    """It names the file, the fault and the mistake, and the exit code is 1."""
    if content is not None:
        (tmp_path / "f.json").write_bytes(content)
    assert main(["emulate", "--faults", str(tmp_path / "f.json")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(message, line)


def test_the_lists_show_all_there_is(capsys):
    """Every switch with its choices, every kind of fault, limits and latencies; for the gateways that are named."""
    assert main(["emulate", "--list"]) == 0
    shown = capsys.readouterr().out
    rows = {line.split("  ")[0]: line for line in shown.splitlines()}
    assert {*SWITCHES, *FAULT_KINDS, *LATENCY, "eachlabs.creates_per_minute"} <= set(rows)
    assert "current | seed | openapi" in rows["eachlabs.status"]
    assert rows["eachlabs.creates_per_minute"].endswith(" 100")
    assert main(["emulate", "fal", "--list", "-v"]) == 0
    some = capsys.readouterr().out
    assert "aimlapi." not in some
    assert re.search(r"^fal\.status-code .* API reference \| OpenAPI of the queue$", some, re.MULTILINE)


def test_the_lists_are_there_for_scripts(capsys):
    """The same as one JSON document."""
    assert main(["emulate", "--list", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert list(document["switches"]) == list(SWITCHES)
    assert document["switches"]["fal.path"]["choices"] == ["alias", "full"]
    assert list(document["faults"]) == list(FAULT_KINDS)
    assert document["faults"]["slow"]["value"] == "SECONDS"
    assert document["limits"]["eachlabs.concurrent"] == 10
    assert document["latency"]["typical"] == [4, 9]


# ── what the lists say is what the code does ────────────────────────────────────────────────────


def constants(tree):
    """Name → value of a module's constant tuples."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            with contextlib.suppress(ValueError):
                found[node.targets[0].id] = ast.literal_eval(node.value)
    return found


def turned():
    """Switch → its choices, for every switch that the emulator's code asks for."""
    found = {}
    for path in Path(pipeline.emulator.__file__).parent.glob("*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        known = constants(tree)
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            if node.func.attr not in ("switch", "_switch") or isinstance(node.args[0], ast.JoinedStr):
                continue  # the one that puts the gateway's name before the switch's
            words = []
            for each in node.args:
                words += known[each.value.id] if isinstance(each, ast.Starred) else [ast.literal_eval(each)]
            name = words[0] if node.func.attr == "switch" else f"{path.stem}.{words[0]}"
            assert found.setdefault(name, tuple(words[1:])) == tuple(words[1:]), name
    return found


def test_every_switch_of_the_code_is_listed_and_the_other_way_round():
    """Names, choices and defaults are the same in the list and in the code; amounts are read without choices."""
    listed = {name: switch.choices for name, switch in SWITCHES.items() if not switch.amount}
    assert listed == turned()
    assert [name for name, switch in SWITCHES.items() if switch.amount] == ["aimlapi.balance", "runware.socket-idle"]
    assert all(switch.meaning and switch.source for switch in SWITCHES.values())


def test_every_kind_of_fault_is_listed_with_its_value():
    """The kinds are the emulator's, and one that needs a value is shown with it."""
    assert set(FAULT_KINDS) == FAULTS
    for kind, (value, _) in FAULT_KINDS.items():
        fault = {"at": "submit", "kind": kind, "every": 1}
        if value and kind != "429":
            with pytest.raises(ValueError, match="value"):
                Fault.of(fault)
        else:
            assert Fault.of(fault).kind == kind
