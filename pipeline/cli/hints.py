"""What somebody meant by a command or an option that there isn't. Imported only then."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Iterable, Sequence

_PLAN = "`pipeline plan` shows what a run would make, and for how much, and makes nothing"
_AGAIN = "`--retake GLOB` makes pictures once more; what changed is made again by itself"
_CONTINUES = "`pipeline run` continues by itself where the last run stopped, and pays nothing twice"
_FOLDER = "`outputs.folder` in the manifest says where pictures go"
_PARALLEL = "`--workers N` is for pictures in work, `concurrency` of a provider in the manifest for requests in flight"
_ONLY = "`--only GLOB` selects by label, `--only product:ID`, `set:`, `prompt:`, `tag:` and `state:` by name"
_YES = "`--yes` answers the questions of a run"
_KEYS = "keys come from the environment or a .env file: FAL_KEY and its like (`pipeline providers -v`)"
_MANIFEST = "the manifest needs no option: `pipeline {command} campaign.yaml`"

_MEANT = {
    _PLAN: "dry-run dryrun simulate preview estimate price what-if noop n",
    _AGAIN: "force overwrite redo regenerate rerun remake retry no-cache f",
    _CONTINUES: "resume continue restart incremental skip-existing",
    _PARALLEL: "parallel jobs threads concurrency processes max-workers j",
    _ONLY: "filter include select product products set prompt match grep",
    _YES: "y assume-yes no-confirm no-input non-interactive confirm",
    _KEYS: "key api-key token apikey",
    _MANIFEST: "config manifest file input",
    "`--budget USD` caps what this run may spend": "max-cost max-price max-usd cap cost limit-usd spend",
    "`--emulate` rehearses with emulated gateways, `--provider local` makes free proofs": "mock fake test local",
    "`-v` prints more detail": "debug trace details",
    "`-q` prints results only": "silent s",
    "`outputs.format` in the manifest lists the formats": "format formats",
    "`outputs.variants` in the manifest says how many": "variants variant",
    "`model` in the manifest names it": "model",
    "NO_COLOR=1 in the environment turns colours off": "no-color no-colour color",
    "`pipeline --version` prints it": "V",
}
_COMMANDS = {
    "run": "generate make build start go execute create-images resume continue retry",
    "plan": "preview price cost estimate diff dry-run dryrun",
    "validate": "check lint test",
    "init": "new create scaffold",
    "status": "state progress info list ls show",
    "report": "html sheet export",
    "review": "serve approve decide import judge",
    "cancel": "stop abort kill",
    "restore": "repair recover fix",
    "adopt": "add accept keep",
    "emulate": "mock fake simulate",
    "--help": "help",
    "--version": "version",
}


def option_hint(command: str, word: str, known: Iterable[str]) -> str:
    """What to write instead of an option that a command doesn't have."""
    name, options = word.partition("=")[0], sorted(known)
    bare = name.lstrip("-")
    if bare in ("output", "outputs", "out", "o", "output-dir", "out-dir", "dest", "target"):
        return "write `-o`" if "-o" in options else _FOLDER
    meant = {f"--{each}": hint for hint, words in _MEANT.items() for each in words.split()}
    close = [] if f"--{bare}" in meant else difflib.get_close_matches(name, [*options, *meant], n=1, cutoff=0.7)
    found = close[0] if close else f"--{bare}"
    return f"did you mean {found}?" if found in options else meant.get(found, "").format(command=command)


def command_hint(words: Sequence[str], known: Sequence[str]) -> str:
    """What to write instead of a command that there isn't; ``words``: the command line from there on."""
    word = words[0]
    if word.lower().endswith((".yaml", ".yml", ".json")):
        return f"name the command first: `pipeline run {shlex.join(words)}`"
    close = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.6)
    for command, meant in _COMMANDS.items():
        if word.lower() in meant.split():
            close = [command]
    if close:
        return f"did you mean `pipeline {shlex.join([close[0], *words[1:]])}`?"
    return f"there are {', '.join(known)}"
