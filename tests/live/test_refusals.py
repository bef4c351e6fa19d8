"""Venues that refuse, say nothing, or hang up: what the feed does, and what it says to the operator."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from websockets.sync.server import ServerConnection, serve

from engine.errors import FeedError
from engine.live.reach import reach_feed
from engine.live.runner import LiveSource
from engine.live.venue_thread import VenueThread
from engine.market.tape import Tape

VenueOf = Callable[..., VenueThread]
SourceOf = Callable[..., LiveSource]
Until = Callable[..., None]
DAY = timedelta(days=1)
Handler = Callable[[ServerConnection], None]


@pytest.fixture
def served() -> Iterator[Callable[..., str]]:
    """Serves websockets with a function of the connection; the address."""
    with ExitStack() as stack:

        def start(handler: Handler, **options: Any) -> str:
            server = stack.enter_context(serve(handler, "127.0.0.1", 0, close_timeout=0.1, **options))
            threading.Thread(target=server.serve_forever, daemon=True).start()
            return f"ws://127.0.0.1:{server.socket.getsockname()[1]}"

        yield start


@pytest.fixture
def venue(sample: Tape, venue_of: VenueOf) -> VenueThread:
    """One that lends its markets to a source of another place."""
    return venue_of(sample, wait_for=99)


def hang_up(socket: ServerConnection) -> None:
    socket.recv(timeout=5)


def say_nothing(socket: ServerConnection) -> None:
    for _ in socket:
        pass


def test_a_venue_that_hangs_up_at_once_is_tried_again_and_named(
    served: Callable[..., str], venue: VenueThread, source_of: SourceOf, until: Until
) -> None:
    source = source_of(venue, endpoint=served(hang_up))
    until(lambda: source.counters.reconnects >= 3, "third attempt")
    with pytest.raises(FeedError, match=r"no book of SIMUSDT within 0.2 s \(connection: .*\)") as caught:
        source.wait_ready(0.2)
    assert caught.value.remedy and source.counters.gaps == 0  # there was no book to lose


def test_a_subscription_that_nobody_acknowledges_is_made_again(
    served: Callable[..., str], venue: VenueThread, source_of: SourceOf, until: Until
) -> None:
    source = source_of(venue, endpoint=served(say_nothing), snapshot_s=0.2)
    until(lambda: source.counters.reconnects >= 2, "second attempt")
    assert source.session.last_trouble == ("subscription not acknowledged: publicTrade.SIMUSDT, orderbook.50.SIMUSDT")


def test_what_was_served_before_and_is_refused_now_is_asked_for_again(
    served: Callable[..., str], venue: VenueThread, source_of: SourceOf, until: Until
) -> None:
    asked: list[dict[str, Any]] = []

    def serve_once(socket: ServerConnection) -> None:
        asked.append(json.loads(socket.recv(timeout=5)))
        answer = {"success": len(asked) == 1, "op": "subscribe", "req_id": asked[-1]["req_id"]}
        socket.send(json.dumps(answer | {"ret_msg": "" if answer["success"] else "error:service is restarting"}))
        if not answer["success"]:
            say_nothing(socket)

    source = source_of(venue, endpoint=served(serve_once))
    until(lambda: len(asked) >= 3, "third attempt")
    assert source.error is None and source.session.last_trouble == "refused: error:service is restarting"


def self_signed(folder: Path) -> ssl.SSLContext:
    """A server's context with a certificate that nobody vouches for."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + DAY)
    pem = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    file = folder / "server.pem"
    file.write_bytes(pem + key.private_bytes(serialization.Encoding.PEM, *plain))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


def test_a_venue_without_a_valid_certificate_is_not_spoken_to(
    served: Callable[..., str], venue: VenueThread, source_of: SourceOf, tmp_path: Path
) -> None:
    endpoint = served(say_nothing, ssl=self_signed(tmp_path)).replace("ws:", "wss:")
    source = source_of(venue, endpoint=endpoint)
    with pytest.raises(FeedError, match=r"no book of SIMUSDT within 0.5 s \(connection: .*CERTIFICATE_VERIFY_FAILED"):
        source.wait_ready(0.5)


class TestSnapshotsRefused:
    @pytest.fixture
    def venue(self, sample: Tape, venue_of: VenueOf) -> VenueThread:
        return venue_of(sample, mode="binance", speed=40.0, loop=True)

    def test_a_venue_that_was_asked_too_often_is_left_alone_for_as_long_as_it_says(
        self, venue: VenueThread, source_of: SourceOf, until: Until
    ) -> None:
        source = source_of(venue, snapshot_s=0.2)
        source.wait_ready(10)
        venue.inject("limit", 60)
        venue.inject("gap", 3)
        session = source.session
        until(lambda: session.ask_trouble == "snapshot of SIMUSDT: HTTP 429 Too Many Requests", "refusal")
        until(lambda: "wants to be left alone for 1 s more" in session.ask_trouble, "pause")
        venue.inject("limit", 0)
        until(lambda: source.symbols["SIMUSDT"].synced, "end of the gap")

    def test_data_without_a_book_are_no_feed_for_ever(self, venue: VenueThread, source_of: SourceOf) -> None:
        venue.inject("limit", 60)
        source = source_of(venue, start=False, snapshot_s=0.2)
        source.intake.settings = replace(source.settings, give_up_s=0.5, stale_s=0.0)
        source.start()
        with pytest.raises(FeedError, match=r"no whole book for \d+ s \(snapshot of SIMUSDT: ") as caught:
            source.wait_ready(10)
        assert "nightsoak venue" in caught.value.remedy and source.counters.messages > 0


@pytest.mark.parametrize("feed", ["bybit", "binance"])
def test_a_feed_within_reach_is_told_with_where_and_whose_book(feed: str, sample: Tape, venue_of: VenueOf) -> None:
    venue = venue_of(sample, mode=feed, speed=40.0)
    before = threading.active_count()
    assert reach_feed(feed, "SIMUSDT", venue.endpoint).startswith(f"{venue.endpoint}/")
    assert threading.active_count() == before


def test_a_feed_out_of_reach_is_an_error_with_the_reason(served: Callable[..., str]) -> None:
    with pytest.raises(FeedError, match="does not answer"):
        reach_feed("bybit", "BTCUSDT", served(hang_up).replace("127.0.0.1", "nobody.invalid"))
