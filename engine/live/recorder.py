"""What a feed delivers, on disk: a growing tape per symbol, sealed and begun anew at every rotation.

A tape that begins at a rotation starts with one message that rebuilds the book as it stands, so that every tape can
be replayed alone. Sealing (hashes, the scan for meta.json) is done by a thread of its own while the next tape grows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from engine.live.growing import GrowingTape, window_around
from engine.live.health import Counters
from engine.live.symbol import Batch, SymbolFeed
from engine.market.book_scan import first_mid2
from engine.market.tape import Tape
from engine.market.tape_meta import ENDPOINT
from engine.paths import file_name

RECORDING = ".recording"
NS_PER_S = 1_000_000_000
TapeName = Callable[[str, int], str]


class Recording:
    """The growing tapes of a feed's symbols. `append` is for one thread, the parser's.

    Args:
        tapes: where sealed tapes go; growing ones stand in its folder `.recording`.
        symbols: the feed's symbols, whose books a rotation starts from.
        counters: the feed's, of which each tape's `source` says what was counted while it grew.
        rotate_s: length of a tape; 0: one tape until the end.
        name: makes a tape's name of (symbol, time of its first event in ns); feed, symbol and UTC time if None.
        endpoint: the feed is a server of the user's own, which the tape's `source` says.
    """

    def __init__(
        self,
        tapes: Path,
        feed: str,
        symbols: Mapping[str, SymbolFeed],
        counters: Counters,
        *,
        rotate_s: float = 0.0,
        name: TapeName | None = None,
        endpoint: bool = False,
    ) -> None:
        self.source = f"{feed}-{ENDPOINT}" if endpoint else feed  # a tape of somebody's own server says so
        self.tapes, self.feed, self.symbols, self.counters = tapes, feed, symbols, counters
        self.rotate_ns = round(rotate_s * NS_PER_S)
        self.growing: dict[str, GrowingTape] = {}
        self._name = name or self._default_name
        self._began: dict[str, tuple[int, dict[str, int]]] = {}
        self._sealer = ThreadPoolExecutor(1, thread_name_prefix="seal")
        self._sealing: list[Future[Tape | None]] = []

    def append(self, batch: Batch) -> None:
        """Raises: StorageError: the disk is full or the folder cannot be written."""
        symbol = self.symbols[batch.symbol]
        tape = self.growing.get(batch.symbol)
        if tape is None:
            tape = self._begin(symbol, int(batch.columns.local_ts_ns[0]))
        tape.append(batch.columns, batch.gaps)
        if tape.window is None and (mid2 := first_mid2(tape.columns)):
            tape.set_window(window_around(mid2))
        due = self.rotate_ns and batch.local_ts_ns - self._began[batch.symbol][0] >= self.rotate_ns
        if due and symbol.synced and symbol.live.mid2:
            counts = self._counts(batch.symbol)
            fresh = self._begin(symbol, batch.local_ts_ns)  # in its place before the old one goes: others read it
            self._seal(tape, counts)
            tape = fresh
            tape.append(symbol.live.snapshot(symbol.book.builder.latest_exch_ns, batch.local_ts_ns))
            tape.set_window(window_around(first_mid2(tape.columns)))

    def _begin(self, symbol: SymbolFeed, local_ns: int) -> GrowingTape:
        folder = self.tapes / RECORDING / self._name(symbol.symbol, local_ns)
        tape = GrowingTape.create(folder, symbol.book.builder.instrument, feed=self.source)
        self._began[symbol.symbol] = local_ns, self.counters.as_dict()
        self.growing[symbol.symbol] = tape
        return tape

    def _default_name(self, symbol: str, local_ns: int) -> str:
        at = datetime.fromtimestamp(local_ns / NS_PER_S, UTC)
        return f"{self.feed}-{file_name(symbol)}-{at:%Y%m%dT%H%M%S}.{local_ns // 1_000_000 % 1000:03d}Z"

    def _counts(self, symbol: str) -> dict[str, int]:
        """What the feed counted since the symbol's tape was begun."""
        before = self._began[symbol][1]
        least_ns = self.symbols[symbol].least_latency_ns
        counts = {name: total - before[name] for name, total in self.counters.as_dict().items() if name != "rows"}
        return counts | ({} if least_ns is None else {"least_latency_us": least_ns // 1000})

    def _seal(self, tape: GrowingTape, counts: dict[str, int]) -> None:
        self._sealing.append(self._sealer.submit(tape.seal, self.tapes / tape.folder.name, counts))

    def sealed(self) -> list[Tape]:
        """The tapes sealed so far.

        Raises:
            TapeError, StorageError: one could not be sealed; what was recorded stays, to be recovered.
        """
        return [tape for future in self._sealing if future.done() and (tape := future.result()) is not None]

    def close(self) -> list[Tape]:
        """Seal what grows and wait for it; all tapes of this recording.

        Raises:
            TapeError, StorageError: one could not be sealed; the others are.
        """
        for symbol in sorted(self.growing):
            self._seal(self.growing.pop(symbol), self._counts(symbol))
        self._sealer.shutdown(wait=True)
        return self.sealed()
