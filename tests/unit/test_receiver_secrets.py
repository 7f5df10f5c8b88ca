"""The secrets file: what stands in it is a secret, what an editor added is not."""

from pathlib import Path

from stream_router.receiver.auth.secrets import Secrets


def test_a_byte_order_mark_is_no_part_of_the_first_secret(tmp_path: Path) -> None:
    """A file that was saved as "UTF-8 with BOM", with Windows line ends, gives the secrets that it shows."""
    path = tmp_path / "secrets"
    path.write_bytes(b"\xef\xbb\xbffirst\r\nsecond\r\n")
    assert Secrets(f"file:{path}", str.encode).live == (b"first", b"second")
