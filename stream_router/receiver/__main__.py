"""The receiver's program: checks everything, then serves with one or more workers until it is told to stop."""

import errno
import socket
import sys

from stream_router import logs
from stream_router.receiver import auth
from stream_router.receiver.stats import Stats
from stream_router.receiver.worker import Worker, check_tls, find_stream
from stream_router.settings import EX_CONFIG, Receiver, SettingsError, load, split_host_port


def run(settings: Receiver, workers: int) -> int:
    """Serve until SIGTERM or SIGINT, drain, and return 0. Raises SettingsError before anything starts."""
    if workers < 1:
        raise SettingsError("--workers: must be 1 or more; leave it out for one")
    logs.start(settings.log_level)
    auth.make(settings)
    check_tls(settings)
    listen = free_port(settings.listen, "STREAM_ROUTER_LISTEN")
    settings = settings.model_copy(update={"listen": listen})
    stream = find_stream(settings)
    Worker(settings, stream, Stats()).run()
    return 0


def free_port(listen: str, variable: str) -> str:
    """The address, a port of 0 made a free one. Raises SettingsError where nothing can listen there."""
    host, port = split_host_port(listen)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            reason = errno.errorcode.get(error.errno or 0, "error")
            raise SettingsError(f"{variable}: cannot listen there ({reason}); choose another HOST:PORT") from None
        bound = probe.getsockname()[1]
    return f"[{host}]:{bound}" if family == socket.AF_INET6 else f"{host}:{bound}"


def main() -> int:
    """`python -m stream_router.receiver`: one worker, settings from the environment; exit 78 where they are bad."""
    try:
        return run(load(Receiver), 1)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return EX_CONFIG


if __name__ == "__main__":
    sys.exit(main())
