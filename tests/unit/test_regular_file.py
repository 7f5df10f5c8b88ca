"""A file that a setting names is read where it is one; what would never end, or never begin, is refused in one line."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr

from stream_router.consumer.supervisor import properties
from stream_router.errors import SettingsError
from stream_router.receiver import tls
from stream_router.settings import files, secrets, sources
from stream_router.settings.consumer import Consumer
from stream_router.settings.receiver import Receiver

SECRET = "0123456789abcdef-of-a-file"

Read = Callable[[Path], object]


class Table(files.Checked):
    """A file's content."""


def as_a_secret(path: Path) -> object:
    return secrets.text(SecretStr(f"file:{path}"), "VARIABLE")


def as_a_certificate(path: Path) -> object:
    tls.check(Receiver(aws_region="x", webhook_scheme="none", tls_cert=path, tls_key=path))
    return None


def as_a_client_ca(path: Path) -> object:
    here = Path(__file__)
    tls.check(Receiver(aws_region="x", webhook_scheme="none", tls_cert=here, tls_key=here, tls_client_ca=path))
    return None


def as_a_config(path: Path) -> object:
    return sources.read(path)


def as_a_table(path: Path) -> object:
    return files.read_toml(path, "VARIABLE", Table)


def as_properties(path: Path) -> object:
    settings = Consumer(aws_region="x", sqs_dlq_url="http://127.0.0.1/q", properties=path)
    return properties.render(settings, properties.Endpoints("", ""), "worker").properties


READERS: list[Read] = [as_a_secret, as_a_certificate, as_a_client_ca, as_a_config, as_a_table, as_properties]


def refused_by(read: Read, path: Path) -> str:
    """The line with which a file is refused; fails where that does not come, however busy the machine is."""
    lines: list[str] = []

    def attempt() -> None:
        try:
            read(path)
        except SettingsError as error:
            lines.append(str(error))

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(20.0)
    assert lines, "it waits for what will never come, or took it"
    return lines[0]


@pytest.mark.parametrize("read", READERS)
def test_a_pipe_without_a_writer_is_refused_at_once(read: Read, tmp_path: Path) -> None:
    """To open it waits for a writer for ever: a receiver that starts so says nothing and serves nobody."""
    os.mkfifo(tmp_path / "pipe")
    assert "is no regular file" in refused_by(read, tmp_path / "pipe")


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("odd", ["/dev/zero", "/dev/null", "/tmp"])
def test_a_device_and_a_folder_are_refused(read: Read, odd: str) -> None:
    """One of them never ends."""
    line = refused_by(read, Path(odd))
    assert "is no regular file" in line
    assert "\n" not in line


@pytest.mark.parametrize(
    ("read", "text"),
    [(as_a_config, "[cxone]\n"), (as_a_table, ""), (as_properties, "# of 2026-11\r\nmaxRecords = 5\r\n")],
)
def test_a_byte_order_mark_is_no_part_of_a_file(read: Read, text: str, tmp_path: Path) -> None:
    """Some editors put one first, where nobody sees it: the file looked right, and was refused."""
    (tmp_path / "plain").write_text(text, "utf-8")
    (tmp_path / "marked").write_text(text, "utf-8-sig")
    assert read(tmp_path / "marked") == read(tmp_path / "plain")
