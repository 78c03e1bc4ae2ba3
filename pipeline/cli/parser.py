"""The command line: every command with its help and examples. It imports no room, so that `--help` is quick."""

from __future__ import annotations

import argparse
import math
import shutil
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias, TypeVar

from pipeline import __version__
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from pipeline.verify import Part

N = TypeVar("N", int, float)
_Commands: TypeAlias = Any
"""What ``add_subparsers`` gives; argparse's own type of it is private."""
_LARGE = 1e9
LATENCY = {"fast": (1.0, 3.0), "typical": (4.0, 9.0), "slow": (20.0, 60.0)}
"""Profile → from and to how many seconds a job of the emulator takes."""

_EXIT_CODES = """\
exit codes:
  0  all done          3  finished, but some pictures failed or are missing
  1  error             4  stopped by the budget
  2  bad command line  5  plan --detailed-exitcode found work      130  interrupted
"""


class _Formatter(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30, width=min(100, shutil.get_terminal_size().columns - 1))


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog}: {message} (see `{self.prog} --help`)")


def _program(started: str) -> str:
    """What was typed to start the command line: one of its two names, or a module of Python's ``-m``."""
    folder, _, name = started.rpartition("/")
    if name == "__main__.py":
        return f"python -m {folder.rpartition('/')[2]}"
    if name == "campaign_pipeline.py":
        return "python -m campaign_pipeline"
    return "campaign-pipeline" if name == "campaign-pipeline" else "pipeline"


def parse_arguments(argv: Sequence[str]) -> argparse.Namespace:
    """Read a command line. ``manifests`` are the manifests that it names, none where it names none.

    Raises:
        SystemExit: after ``--help`` and ``--version``, and where there is nothing to read.
        UsageError: for a command line that can't be read.
    """
    program = _program(sys.argv[0])
    parser = _Parser(
        program,
        description="One YAML manifest becomes finished, checked pictures and a contact sheet.",
        epilog=f"""\
start here:
  {program} init my-campaign
  {program} run my-campaign/campaign.yaml

{_EXIT_CODES}""",
        formatter_class=_Formatter,
    )
    parser.add_argument("--version", action="version", version=f"campaign-pipeline {__version__}")
    _common(parser, defaults=True)
    commands_ = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for add in (_init, _validate, _plan, _run, _cancel, _status, _report, _review):
        add(commands_)
    for add in (_adopt, _verify, _restore, _unlock, _models, _providers, _emulate):
        add(commands_)
    if not argv:
        parser.print_help(sys.stderr)
        raise SystemExit(UsageError.exit_code)
    try:
        arguments, rest = parser.parse_known_args(argv)
    except UsageError as error:
        if "argument COMMAND: invalid choice" in str(error):
            raise UsageError(_no_command(argv, list(commands_.choices))) from None
        raise
    _place(arguments, rest, commands_.choices[arguments.name])
    return arguments


def _no_command(argv: Sequence[str], known: list[str]) -> str:
    from pipeline.cli.hints import command_hint

    skip = {index + 1 for index, word in enumerate(argv) if word == "-C"}
    first = next(index for index, word in enumerate(argv) if index not in skip and not word.startswith("-"))
    return f"pipeline: there is no command {argv[first]!r}; {command_hint(argv[first:], known)}"


def _place(arguments: argparse.Namespace, rest: list[str], parser: argparse.ArgumentParser) -> None:
    """Put what stands behind options where it belongs.

    Raises:
        UsageError: for options that there are not, and words too many.
    """
    options = [word for word in rest if word.startswith("-")]
    if options:
        from pipeline.cli.hints import option_hint

        known = parser._option_string_actions  # noqa: SLF001  # argparse has no public list of them
        hint = option_hint(arguments.name, options[0], known) or f"see `{parser.prog} --help`"
        raise UsageError(f"{parser.prog}: there is no option {options[0]}; {hint}")
    given = getattr(arguments, "manifests", None)
    arguments.manifests = list(given) if isinstance(given, list) else [given] if given else []
    if arguments.more is None and rest:
        raise UsageError(f"{parser.prog}: {rest[0]!r} is one word too many (see `{parser.prog} --help`)")
    if arguments.more:
        getattr(arguments, arguments.more).extend(rest)


def _common(parser: argparse.ArgumentParser, *, defaults: bool = False) -> None:
    def default(value: Any) -> Any:  # noqa: ANN401  # argparse's own
        return value if defaults else argparse.SUPPRESS

    parser.add_argument("-C", metavar="DIR", dest="directory", default=default(None), help="work in this folder")
    parser.add_argument("-q", "--quiet", action="store_true", default=default(False), help="print results only")
    parser.add_argument("-v", "--verbose", action="store_true", default=default(False), help="print more detail")


def _command(
    commands_: _Commands,
    name: str,
    run: str,
    summary: str,
    examples: str,
    description: str = "",
    *,
    shows: bool = False,
) -> argparse.ArgumentParser:
    """Add a command. ``shows``: what it is for is what it prints, and so it fails where that can't be written."""
    parser: argparse.ArgumentParser = commands_.add_parser(
        name,
        help=summary,
        description=(description or summary[0].upper() + summary[1:] + "."),
        epilog="examples:\n" + "\n".join(f"  {line}" for line in examples.strip().splitlines()),
        formatter_class=_Formatter,
    )
    _common(parser)
    parser.set_defaults(command=run, name=name, shows=shows, more=None)  # the command is imported when it is run
    return parser


def _json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of text")


def _manifest(
    parser: argparse.ArgumentParser, *, several: bool = False, what: str = "the manifest, a .yaml file"
) -> None:
    """The manifest, or several; without one, the only one in the folder is taken."""
    parser.add_argument(
        "manifests",
        nargs="*" if several else "?",
        metavar="MANIFEST",
        help=f"{what}{', or several' if several else ''} (default: campaign.yaml, or the only manifest in the folder)",
    )
    parser.set_defaults(needs_manifest=True, more="manifests" if several else None)
    _provider(parser)


def _provider(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--provider",
        action="append",
        metavar="NAME",
        help="use this provider instead of the manifest's (again for a pool); `local` makes free proofs",
    )
    parser.add_argument(
        "--emulate",
        action="store_true",
        help="a rehearsal: gateways emulated on this machine, free, without keys, in a folder of its own",
    )


def _budget(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--budget", type=_dollars, metavar="USD", help="spend at most this in this run, e.g. 5.50")


def _allow_private(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--allow-private",
        action="store_true",
        help="let this run call addresses in private networks: an emulator or a proxy of your own",
    )


def _selection(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("selection")
    glob = "GLOB"
    parser.set_defaults(unmatched=None, confirmed=False)
    group.add_argument(
        "--only",
        action="append",
        metavar=glob,
        help="only cells whose label, or its start, matches; or product:, prompt:, set:, tag:, format:, aspect_ratio: "
        "(or a vary axis and a colon) and a glob; or state:done, make, missing, failed, uncertain; or "
        "decision:approved, rejected, undecided, stale",
    )
    group.add_argument("--exclude", action="append", metavar=glob, help="leave these cells out; as --only")
    group.add_argument("--tag", action="append", metavar="TAG", help="only products with this tag")
    group.add_argument("--limit", type=_count, metavar="N", help="make at most N pictures")
    group.add_argument(
        "--retake",
        action="append",
        metavar=glob,
        help="make these pictures once more, and only these; the old take is kept. `rejected`: those that reviewers "
        "rejected; else as --only. Approved ones are left out",
    )
    group.add_argument("--retry-failed", action="store_true", help="also ask again for what a gateway refused")
    group.add_argument(
        "--uncertain",
        choices=("hold", "retry"),
        default="hold",
        help="what may have been paid and whose answer is lost: hold it (default), or ask anew and perhaps pay twice",
    )


def _number(read: Callable[[str], N], least: float, most: float, says: str) -> Callable[[str], N]:
    """What reads a number between two others; argparse says "invalid … value" with the words."""

    def number(text: str) -> N:
        found = read(text)
        if not least <= found <= most:  # nor is NaN
            raise ValueError
        return found

    number.__name__ = says
    return number


_count = _number(int, 0, math.inf, "number (0 or more)")
_workers = _number(int, 1, math.inf, "number (1 or more)")
_port = _number(int, 1, 65535, "port (1 to 65535)")
_speed = _number(float, 0.01, 10_000, "speed (0.01 to 10000)")
_megabytes = _number(float, 0, 1000, "size (megabytes, 0 to 1000)")
_seconds = _number(float, 0, _LARGE, "number of seconds")
_dollars = _number(float, 0, _LARGE, "amount (dollars, such as 5.50)")


def _part(text: str) -> Part:
    from pipeline.verify import Part

    number, _, of = text.partition("/")
    part = Part(int(number), int(of))
    if not 1 <= part.number <= part.of <= 10_000:
        raise ValueError
    return part


_part.__name__ = "part (N/OF, such as 2/7)"


def _latency(text: str) -> tuple[float, float]:
    if text in LATENCY:
        return LATENCY[text]
    least, dash, most = text.partition("-")
    found = _seconds(least), _seconds(most if dash else least)
    if found[0] > found[1]:
        raise ValueError
    return found


_latency.__name__ = f"latency ({', '.join(LATENCY)}, or seconds such as 2-5)"


def _init(commands_: _Commands) -> None:
    parser = _command(
        commands_,
        "init",
        "commands.init",
        "make a small working manifest with assets",
        "pipeline init\npipeline init my-campaign && pipeline run my-campaign/campaign.yaml",
    )
    parser.add_argument("folder", nargs="?", default=".", metavar="DIR", help="where (default: here)")


def _validate(commands_: _Commands) -> None:
    parser = _command(
        commands_,
        "validate",
        "commands.validate",
        "find every mistake in manifests, offline",
        "pipeline validate campaign.yaml\npipeline validate manifests/*.yaml --json",
        "Find every mistake in manifests, all at once, offline and without a key. Each is one line:\n"
        "file:line:column: key path: what is wrong; the next step.",
        shows=True,
    )
    _manifest(parser, several=True)
    _json(parser)


def _plan(commands_: _Commands) -> None:
    parser = _command(
        commands_,
        "plan",
        "commands.plan",
        "show what would be made, why, and for how much",
        "pipeline plan campaign.yaml\n"
        "pipeline plan campaign.yaml -v              # every cell with its reason\n"
        "pipeline plan campaign.yaml --provider fal  # what it would cost at fal\n"
        "pipeline plan campaign.yaml -o plan.json && pipeline run plan.json",
        shows=True,
    )
    _manifest(parser, several=True)
    _selection(parser)
    _budget(parser)
    parser.add_argument("-o", dest="output", metavar="FILE", help="save the plan; `pipeline run FILE` runs exactly it")
    parser.add_argument("--detailed-exitcode", action="store_true", help="exit with 5 when there is work to do")
    _json(parser)


def _run(commands_: _Commands) -> None:
    parser = _command(
        commands_,
        "run",
        "running.run",
        "make what is owed, then write the contact sheet",
        "pipeline run campaign.yaml\n"
        "pipeline run campaign.yaml --only 'enamel-blue/*' --limit 4\n"
        "pipeline run --only tag:hero --only state:failed --retry-failed\n"
        "pipeline run autumn.yaml winter.yaml --budget 40   # one after the other, $40 for both\n"
        "pipeline run campaign.yaml --provider local # free proofs of a paid campaign\n"
        "pipeline run campaign.yaml --emulate        # a rehearsal of the whole job, free and without keys\n"
        "pipeline run campaign.yaml --retake 'enamel-blue/table/*'\n"
        "pipeline run campaign.yaml --retake rejected # what reviewers rejected\n"
        "pipeline run plan.json                      # exactly a saved plan",
        "Make what is owed and write files, sidecars, results.jsonl and report.html into the output\n"
        "folder. Run it again after an interrupt, a crash or an edit: nothing is made or paid twice.\n"
        "Ctrl-C once leaves cleanly, twice at once.",
    )
    _manifest(parser, several=True, what="the manifest, or a plan saved with `pipeline plan -o`")
    _selection(parser)
    parser.add_argument(
        "--emulate-speed",
        type=_speed,
        default=10.0,
        metavar="N",
        help="with --emulate: its gateways work N times as fast as real ones (default: 10)",
    )
    _budget(parser)
    parser.add_argument(
        "--yes", action="store_true", help="don't ask: go on above budget.confirm_above, and remove what --prune lists"
    )
    _allow_private(parser)
    parser.add_argument("--prune", action="store_true", help="list and remove files of cells that are gone")
    parser.add_argument(
        "--webhook-url",
        metavar="URL",
        help="where fal, Each Labs and Runware may tell that a picture is done: a public https:// address",
    )
    parser.add_argument(
        "--webhook-listen",
        metavar="HOST:PORT",
        help="where this run listens for what comes to --webhook-url (with --emulate, this alone is enough)",
    )
    parser.add_argument(
        "--executor", default="threads", metavar="NAME", help="threads (default), processes, or a plug-in's"
    )
    parser.add_argument("--workers", type=_workers, metavar="N", help="pictures in work at once (default: processors)")
    _json(parser)


def _cancel(commands_: _Commands) -> None:
    parser = _command(
        commands_,
        "cancel",
        "commands.cancel",
        "ask the gateways to stop what is in flight",
        "pipeline cancel campaign.yaml",
        "Ask the gateways to stop what an interrupted run left in flight (fal and Each Labs can; what is\n"
        "stopped in time costs nothing). The next `pipeline run` sees what came of it.",
    )
    _manifest(parser)
    _allow_private(parser)


def _status(commands_: _Commands) -> None:
    parser = _command(
        commands_,
        "status",
        "commands.status",
        "show how far a campaign is, and what it has cost",
        "pipeline status campaign.yaml\n"
        "pipeline status campaign.yaml --money       # by provider, product and day, from the ledger alone\n"
        "pipeline status campaign.yaml --csv         # the same for accounting",
        shows=True,
    )
    _manifest(parser, several=True)
    parser.add_argument("--money", action="store_true", help="spent, reserved, uncertain and saved, in detail")
    parser.add_argument("--csv", action="store_true", help="the same for accounting: a line per day and product")
    _json(parser)


def _adopt(commands_: _Commands) -> None:
    parser = _command(
        commands_,
        "adopt",
        "adopt.adopt",
        "keep pictures that you edited, or accept, as takes of theirs",
        "pipeline adopt campaign.yaml out/autumn/mug/table/1x1_1K_v1.png          # edited where it lies\n"
        "pipeline adopt campaign.yaml out/autumn/mug/table/1x1_1K_v1.edited.jpg   # set aside by a run\n"
        "pipeline adopt campaign.yaml out/autumn/mug/table/1x1_1K_v1.wrong.png    # paid, and not what was asked for\n"
        "pipeline adopt campaign.yaml retouched.png --as 'mug/table/1x1/1K/v1'",
        "Make each file the newest take of its picture, for nothing: it is kept as the take's original, its\n"
        "other formats are derived from it, and its record says that it was edited, or accepted, by hand.\n"
        "The picture may have another size or shape than was asked for; that is said, and left to you.",
    )
    parser.add_argument(
        "files",
        nargs="+",
        metavar="[MANIFEST] FILE",
        help="PNG, JPEG or WebP pictures, after the manifest (default: campaign.yaml, or the only one in the folder)",
    )
    parser.set_defaults(needs_manifest=True, more="files")
    _provider(parser)
    parser.add_argument(
        "--as", dest="label", metavar="GLOB", help="the label of the picture, where the file's own place doesn't say it"
    )
    _json(parser)


def _verify(commands_: _Commands) -> None:
    parser = _command(
        commands_,
        "verify",
        "trust.verify",
        "hash every file again, and check the ledger",
        "pipeline verify campaign.yaml\n"
        "pipeline verify campaign.yaml --subset 2/7  # the second seventh, for a check every night",
        "Read every output file and kept original, hold them against the ledger, check the ledger itself,\n"
        "and list what is open, with what becomes of it. What is found damaged the next run makes anew:\n"
        "free, where the kept original or a copy of it is whole. Exits with 3 when anything is damaged.",
        shows=True,
    )
    _manifest(parser)
    parser.add_argument(
        "--subset", type=_part, default="1/1", metavar="N/OF", help="only one of so many parts of the files"
    )
    _json(parser)


def _restore(commands_: _Commands) -> None:
    parser = _command(
        commands_,
        "restore",
        "trust.restore",
        "put the ledger's last backup back, and adopt all pictures that lie here",
        "pipeline restore campaign.yaml\npipeline restore campaign.yaml --from /backups/ledger.sqlite",
        "For a ledger that is damaged or gone: set it aside, put its newest whole backup in its place (or an\n"
        "empty ledger), and adopt every picture that it doesn't know, by its kept original or its sidecar, so\n"
        "that none is paid again.",
    )
    _manifest(parser)
    parser.add_argument("--from", dest="source", metavar="FILE", help="this ledger instead of the newest backup")


def _unlock(commands_: _Commands) -> None:
    parser = _command(
        commands_,
        "unlock",
        "trust.unlock",
        "see who holds a campaign, and end it with --force",
        "pipeline unlock campaign.yaml\npipeline unlock campaign.yaml --force",
        "One run at a time holds a campaign. The lock of a run that ended, or was killed, is free at once;\n"
        "this is for one that hangs. Ended with --force, it loses nothing that was paid.",
    )
    _manifest(parser)
    parser.add_argument("--force", action="store_true", help="end the run that holds it: asked first, then killed")


def _report(commands_: _Commands) -> None:
    parser = _command(
        commands_,
        "report",
        "sheets.report",
        "write the contact sheet: anew, elsewhere, as a folder, a ZIP or a PDF",
        "pipeline report campaign.yaml\n"
        "pipeline report campaign.yaml -o for-the-client.html\n"
        "pipeline report campaign.yaml -o for-the-client.zip --originals\n"
        "pipeline report campaign.yaml --pdf sheet.pdf",
        "Write the contact sheet again from the ledger, or one to send: an HTML file with its thumbnails inside,\n"
        "or a folder or ZIP, which may hold the pictures too. Thumbnails of more than 25 MB are made smaller for\n"
        "up to 1,000 pictures, and else stand beside the sheet.",
    )
    _manifest(parser)
    parser.add_argument(
        "-o", dest="output", metavar="PLACE", help="write it there instead: sheet.html, sheet.zip, or a folder"
    )
    parser.add_argument(
        "--inline", type=_megabytes, metavar="MB", help="the thumbnails' room within the sheet (default: 25)"
    )
    parser.add_argument(
        "--originals", action="store_true", help="put the pictures' files into the folder or ZIP, at their paths"
    )
    parser.add_argument("--pdf", metavar="FILE", help="print it as a PDF too, by the Chromium on this machine")


def _review(commands_: _Commands) -> None:
    parser = _command(
        commands_,
        "review",
        "review.review",
        "serve the contact sheet to decide on, or bring in what reviewers decided",
        "pipeline review campaign.yaml               # then open the address that it prints\n"
        "pipeline review campaign.yaml --import decisions.json\n"
        "pipeline review campaign.yaml --import ana.json --import ben.json\n"
        "pipeline plan campaign.yaml --retake rejected",
        "Serve the contact sheet to browsers on this machine until Ctrl-C. It follows a run as it goes on, and\n"
        "what is decided on it is written into approvals.yaml beside the manifest; keep that in Git. Its\n"
        "address holds a token: whoever has that may decide.\n\n"
        "With --import: write what reviewers decided on sheets of their own into the same file. Each keeps an\n"
        "entry of their own; the newest decision on a picture counts, and where reviewers differ, who said what\n"
        "is reported. Approved pictures are frozen: no run makes them again while nothing\n"
        "that determines them changes. Rejected ones `--retake rejected` makes anew.",
    )
    _manifest(parser)
    parser.add_argument(
        "--import",
        dest="files",
        action="append",
        metavar="FILE",
        help="decisions that a contact sheet exported (again for several reviewers), or another approvals.yaml",
    )
    parser.add_argument("--port", type=_port, default=0, metavar="N", help="serve at this port (default: any free one)")
    _json(parser)


def _models(commands_: _Commands) -> None:
    parser = _command(
        commands_,
        "models",
        "catalogue.models",
        "list the models, their limits and prices",
        "pipeline models\npipeline models --json",
        shows=True,
    )
    _json(parser)


def _providers(commands_: _Commands) -> None:
    parser = _command(
        commands_,
        "providers",
        "catalogue.providers",
        "list the gateways, what they offer and for how much",
        "pipeline providers\npipeline providers -v     # with their options\npipeline providers --json",
        shows=True,
    )
    _json(parser)


def _emulate(commands_: _Commands) -> None:
    parser = _command(
        commands_,
        "emulate",
        "emulate.emulate",
        "serve the gateways, emulated on this machine, until Ctrl-C",
        "pipeline emulate                            # all four, on any free ports\n"
        "pipeline emulate >emulated.env              # then, in another terminal: . ./emulated.env\n"
        "pipeline emulate fal eachlabs --port 8100 --speed 20\n"
        "pipeline emulate eachlabs --limit eachlabs.concurrent=3 --switch eachlabs.status=seed\n"
        "pipeline emulate fal --fault 'at=submit kind=reset-after every=20'\n"
        "pipeline emulate --list                     # all switches, faults and limits",
        "Serve the gateways on this machine, as strict as the vendors' documents, free and without keys,\n"
        "until Ctrl-C; then show what they would have billed. When ready it prints one line for the shell\n"
        "per variable (FAL_BASE_URL, FAL_KEY and so on) on standard output, and what leads the vendors'\n"
        "own clients here (base_url of openai, the WebSocket of Runware's). A run with these variables\n"
        "takes the emulator's pictures into the campaign's real output folder and ledger: use it with\n"
        "a copy of the campaign. For a rehearsal there is `pipeline run --emulate`, which needs nothing.",
    )
    parser.add_argument("gateway", nargs="*", metavar="GATEWAY", help="fal, aimlapi, eachlabs, runware (default: all)")
    parser.add_argument("--list", action="store_true", help="show all switches, faults and limits instead")
    parser.add_argument(
        "--port",
        type=_port,
        default=0,
        metavar="N",
        help="the first gateway's port; the next ones follow, the last is for control (default: any free ones)",
    )
    parser.add_argument(
        "--accept-key", metavar="VALUE", help="the only key that is accepted, no real one (default: any key is)"
    )
    _json(parser)
    _played(parser)
    _failures(parser)


def _played(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("behaviour")
    group.add_argument(
        "--speed", type=_speed, default=1.0, metavar="N", help="work N times as fast as real gateways (default: 1)"
    )
    named = ", ".join(f"{name} ({a:g}-{b:g})" for name, (a, b) in LATENCY.items())
    group.add_argument(
        "--latency",
        type=_latency,
        default=LATENCY["typical"],
        metavar="LEAST-MOST",
        help=f"seconds of its clock that a job takes, such as 2-5, or {named} (default: typical)",
    )
    group.add_argument(
        "--pictures",
        choices=("drawn", "plain"),
        default="drawn",
        help="drawn from the references as offline proofs are (default), or plain ones, which cost less time",
    )
    group.add_argument(
        "--limit",
        action="append",
        metavar="GATEWAY.NAME=N",
        help="another limit than the published one, 0 for none: concurrent or creates_per_minute",
    )
    group.add_argument(
        "--switch",
        action="append",
        metavar="GATEWAY.NAME=CHOICE",
        help="another choice where the vendor's documents contradict each other (see --list)",
    )
    group.add_argument(
        "--seed",
        type=int,
        default=1,
        metavar="N",
        help="seed of what is left to chance: latencies and faults (default: 1)",
    )


def _failures(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("failures")
    group.add_argument(
        "--fault",
        action="append",
        metavar="WORDS",
        help="a failure, as 'at=submit kind=429 every=5': at=submit, poll, picture or upload; kind=… (see --list); "
        "one of nth=1,4 every=20 chance=0.05; value=… where the kind takes one; gateway=fal to hit only that one",
    )
    group.add_argument("--faults", metavar="FILE", help="such failures from a JSON file: a list of objects")
    group.add_argument(
        "--moderated",
        default="forbidden",
        metavar="WORD",
        help="prompts that contain this word are refused by moderation (default: forbidden)",
    )
    group.add_argument(
        "--url-seconds",
        type=_seconds,
        default=86400.0,
        metavar="N",
        help="how long links to pictures live, in real seconds (default: 86400)",
    )
