"""A tune's lanes on the workers of a dask cluster (docs/scale.md), and the step that one worker does.

Lanes do not know of each other, so each worker replays a part of them over all tapes, and the parts are joined in the
order of the lanes: the result is that of one machine, byte for byte. Workers open the tapes themselves, at the same
paths; that they are the same tapes and the same code is checked there.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from engine.config import ConfigModel
from engine.errors import InputError, NightsoakError, RunError, TapeError
from engine.market.tape import Tape
from engine.profile import Profile
from engine.report.manifest import code_sha256
from engine.search.trial_windows import Evaluate, LaneWindows, evaluate, join_lanes
from tasks.step import step

_INSTALL = "pip install -r requirements-dask.lock, in this environment and in the workers'"


class Executor(ConfigModel):
    """Where a tune's lanes are replayed.

    executor      local: in the tune's own process; dask: on the workers of a cluster
    dask_address  of the scheduler, such as tcp://127.0.0.1:8786; empty: a cluster of this machine's own, while it runs
    workers       processes of that own cluster
    """

    executor: Literal["local", "dask"] = "local"
    dask_address: str = ""
    workers: Annotated[int, Field(ge=1, le=256)] = 2


LOCAL = Executor()
_evaluator: ContextVar[Evaluate] = ContextVar("evaluator", default=evaluate)


@dataclass(frozen=True)
class Lanes:
    """A part of the lanes of a batch. `tapes`: (absolute path, digest), in order; `code`: sha256 of what decides."""

    tapes: tuple[tuple[str, str], ...]
    profile: Profile
    lanes: tuple[dict[str, float], ...]
    window_seconds: int
    code: str


@step
def replay_lanes(work: Lanes) -> LaneWindows:
    """Done by a worker.

    Raises:
        TapeError: a tape is not there, or is another one.
        InputError: the worker's code is another.
    """
    here = socket.gethostname()
    if work.code != code_sha256():
        raise InputError("the worker runs other code", where=here, remedy="check out the same commit there")
    tapes = [_tape(path, digest, here) for path, digest in work.tapes]
    return evaluate(tapes, work.profile, work.lanes, work.window_seconds)


@contextmanager
def replaying_on(executor: Executor) -> Iterator[None]:
    """Tunes inside the block replay there; the cluster's connection, or the own cluster, ends with it.

    Raises:
        InputError: the extra is not installed, or the settings contradict each other.
        RunError: the scheduler does not answer, has no workers, or loses them.
    """
    if executor.executor == "local":
        if executor.dask_address:
            raise InputError("names a scheduler, and executor is local", where="dask_address", remedy="set it to dask")
        yield
        return
    try:
        import dask

        if dask.config.get("logging.distributed", None) is None:
            dask.config.set({"logging.distributed": "critical"})  # what goes wrong reaches us as an exception
        from prefect_dask import DaskTaskRunner
    except ImportError as error:
        raise InputError("prefect-dask is not installed", where="executor dask", remedy=_INSTALL) from error
    where = executor.dask_address or "dask's cluster on this machine"
    with DaskTaskRunner(**_cluster(executor)) as runner:
        with _one_line(where):
            parts = sum(worker["nthreads"] for worker in _workers(runner.client).values())
        if not parts:
            remedy = "start some: dask worker ADDRESS --nthreads 1"
            raise RunError("the scheduler has no workers", where=where, remedy=remedy)
        code = code_sha256()

        def on_workers(
            tapes: Sequence[Tape], profile: Profile, lanes: Sequence[Mapping[str, float]], window_seconds: int
        ) -> LaneWindows:
            named = tuple((str(tape.path.absolute()), tape.meta.digest) for tape in tapes)
            works = [
                Lanes(named, profile, tuple(dict(lane) for lane in part), window_seconds, code)
                for part in split(lanes, parts)
            ]
            with _one_line(where):
                futures = [runner.submit(replay_lanes, {"work": work}) for work in works]
                return join_lanes([future.result() for future in futures])

        token = _evaluator.set(on_workers)
        try:
            yield
        finally:
            _evaluator.reset(token)


def evaluator() -> Evaluate:
    """What replays lanes here and now. No parameter of a step: Prefect would send it to the workers too."""
    return _evaluator.get()


def split(lanes: Sequence[Mapping[str, float]], parts: int) -> list[Sequence[Mapping[str, float]]]:
    """The lanes in order, in at most `parts` parts that differ in length by one at most; none is empty."""
    count = min(parts, len(lanes))
    edges = [len(lanes) * i // count for i in range(count + 1)]
    return [lanes[low:high] for low, high in pairwise(edges)]


@lru_cache(maxsize=16)
def _tape(path: str, digest: str, host: str) -> Tape:
    """Opened and hashed once a worker."""
    try:
        tape = Tape.open(Path(path), verify=True)
    except TapeError as error:
        raise TapeError(error.what, where=f"{host}: {error.where}", remedy="put the tape at this path there") from error
    if tape.meta.digest != digest:
        raise TapeError("is another tape there", where=f"{host}: {path}", remedy="put the tune's tape at this path")
    return tape


def _cluster(executor: Executor) -> dict[str, Any]:
    if executor.dask_address:
        return {"address": executor.dask_address}
    own = {
        "n_workers": executor.workers,
        "threads_per_worker": 1,
        "host": "127.0.0.1",
        "dashboard_address": "127.0.0.1:0",
    }
    own |= {"env": {"PREFECT_PLUGINS_ENABLED": "false"}}  # they are imported inside an event loop, and cannot start
    return {"cluster_kwargs": own}


def _workers(client: Any) -> dict[str, Any]:
    found: dict[str, Any] = client.scheduler_info(n_workers=-1)["workers"]
    return found


@contextmanager
def _one_line(where: str) -> Iterator[None]:
    """Dask's own errors as ours; those of our steps as they are."""
    try:
        yield
    except NightsoakError:
        raise
    except Exception as error:
        said = str(error).splitlines()
        raise RunError(
            f"dask: {type(error).__name__}: {said[0] if said else 'no more was said'}",
            where=where,
            remedy="see that scheduler and workers are up; the same command goes on with the tune",
        ) from error
