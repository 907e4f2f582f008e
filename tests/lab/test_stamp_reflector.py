"""The reflector's packets, byte by byte as RFC 8762 lays them out."""

import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab.stamp_reflector import PACKET_BYTES, Reflector, ntp_timestamp

SOURCE = ("192.0.2.1", 862)


def _request(sequence: int, session: int = 7) -> bytes:
    return struct.pack("!I8sHH28x", sequence, b"SENTTIME", 0x8C01, session)


def test_ntp_time_counts_from_1900_with_a_binary_fraction():
    assert ntp_timestamp(0) == bytes.fromhex("83aa7e8000000000")
    assert ntp_timestamp(500_000_000) == bytes.fromhex("83aa7e8080000000")


def test_an_answer_has_every_field_in_its_place():
    received = time.time_ns() - 1_000_000
    answer = Reflector().answer(_request(41), SOURCE, received, hop_limit=12)
    assert answer is not None
    assert len(answer) == PACKET_BYTES == 44
    sequence, sent, error, session, taken, theirs, stamp, their_error, ttl = struct.unpack(
        "!I8sHH8sI8sHxxB3x", answer
    )
    assert (sequence, session, theirs, stamp, their_error, ttl) == (
        41,
        7,
        41,
        b"SENTTIME",
        0x8C01,
        12,
    )
    assert taken == ntp_timestamp(received)
    assert sent >= taken
    assert error & 0x8000, "one clock: the S bit is set"
    assert not error & 0x4000, "NTP format"
    assert error & 0xFF, "the multiplier may not be zero"


def test_a_stateful_reflector_counts_each_session_on_its_own():
    reflector = Reflector(stateful=True)
    own = []
    for sequence, session in ((5, 1), (9, 1), (5, 2)):
        answer = reflector.answer(_request(sequence, session), SOURCE, time.time_ns())
        assert answer is not None
        own.append(struct.unpack_from("!I", answer)[0])
    assert own == [0, 1, 0]


def test_what_is_too_short_gets_no_answer():
    assert Reflector().answer(b"\0" * 43, SOURCE, 0) is None


@pytest.mark.parametrize("options", [[], ["--stateful"]])
def test_it_runs_on_its_own(free_port, options):
    command = [sys.executable, "-S", "-m", "lab.stamp_reflector", str(free_port), *options]
    process = subprocess.Popen(command, cwd=Path(__file__).parents[2])
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(0.1)
            sock.connect(("127.0.0.1", free_port))
            answer = b""
            for _ in range(50):
                try:
                    sock.send(_request(3))
                    answer = sock.recv(100)
                    break
                except OSError:
                    time.sleep(0.05)
        assert len(answer) == PACKET_BYTES
        assert struct.unpack_from("!I", answer)[0] == (0 if options else 3)
    finally:
        process.kill()
        process.wait()
