"""A tune done again from its own record, and compared file by file.

The champion, the settings and the number of trials are the record's, so that a champion that has changed since, or a
search that --max-runtime-sec cut short, does not matter. What must still be there are the tapes and the code.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

from engine.params import Params
from engine.paths import Paths
from engine.report.manifest import MANIFEST, artefact_sha256
from engine.report.tune_artefacts import TUNE, build_tune, read_tune
from engine.search.settings import TuneSettings
from engine.search.tune import run_tune, tune_state
from engine.search.tune_plan import Again


@dataclass(frozen=True)
class TuneVerification:
    """`differing`: artefacts that came out otherwise; `inputs`: names of inputs that are not what they were."""

    verdict: str
    verdict_again: str
    differing: tuple[str, ...]
    inputs: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return not self.differing and not self.inputs


def verify_tune(folder: Path, paths: Paths) -> TuneVerification:
    """Do the tune of a report's folder again, and compare.

    Raises:
        InputError: the folder holds no tune, or a tape or the configuration is not to be had.
    """
    record = read_tune(folder)
    manifest = json.loads((folder / MANIFEST).read_bytes())
    settings = TuneSettings.model_validate_json(json.dumps(record["settings"]))
    champion = Params().with_changes(record["champion"]["params"], where=str(folder / TUNE))
    again = Again(champion, record["champion"]["source"], record["trials"]["searched"])
    result = run_tune(settings, paths, again=again)
    tune_state(paths, result).clear()
    result = replace(result, document={**result.document, "promotion": record["promotion"]})
    files = build_tune(result.document, result.trials)
    made = {name: artefact_sha256(data, result.tune_id) for name, data in files.items()}
    differing = [name for name, digest in manifest["artefacts"].items() if made.get(name) != digest]
    inputs = dict(result.document["inputs"])
    changed = [name for name in sorted({*record["inputs"], *inputs}) if record["inputs"].get(name) != inputs.get(name)]
    return TuneVerification(record["verdict"], result.verdict, tuple(sorted(differing)), tuple(changed))
