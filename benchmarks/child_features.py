"""What does each feature add to an event's CPU in the child: entries a call, masking, order, TLS, packing, metrics?"""

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import trustme

from benchmarks.driven_child import V2_BUS, Load, flooded
from benchmarks.harness.question import Options, Question, ask
from benchmarks.harness.rounds import Case
from tests.fakeaws.process import FakeAwsProcess

FEATURES: dict[str, dict[str, str]] = {
    "v2 bus, 25 entries a call": {"STREAM_ROUTER_EVENT_BUS": V2_BUS},
    "v2 bus, 100 entries a call": {"STREAM_ROUTER_EVENT_BUS": V2_BUS, "STREAM_ROUTER_MAX_ENTRIES": "100"},
    "masking: default": {"STREAM_ROUTER_MASKING": "default"},
    "ordering: conversation": {"STREAM_ROUTER_ORDERING": "conversation"},
}
ONE_EVENT_A_RECORD = "one event a record"
OVER_TLS = "TLS to the bus"


@contextlib.contextmanager
def tls_fake_aws(folder: Path) -> Iterator[tuple[FakeAwsProcess, str]]:
    """A fake AWS behind TLS, and the file of the authority that signed its certificate."""
    authority = trustme.CA()
    pem, root = folder / "server.pem", folder / "root.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(pem)
    authority.cert_pem.write_to_path(root)
    with FakeAwsProcess(None, None, 0, "--tls-cert", str(pem), "--tls-key", str(pem)) as fake_aws:
        yield fake_aws, str(root)


@contextlib.contextmanager
def cases(options: Options) -> Iterator[Sequence[Case]]:
    """The default child first: the others are ratios to it."""
    count = options.count(50_000, 20_000)
    with contextlib.ExitStack() as stack:
        fake_aws = stack.enter_context(FakeAwsProcess())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        tls, root = stack.enter_context(tls_fake_aws(folder))
        yield [
            Case("defaults, 10 entries a call", partial(flooded, fake_aws, Load(count)), "baseline"),
            *(Case(name, partial(flooded, fake_aws, Load(count, environment=of))) for name, of in FEATURES.items()),
            Case(ONE_EVENT_A_RECORD, partial(flooded, fake_aws, Load(count, lines_per_record=1))),
            Case(OVER_TLS, partial(flooded, tls, Load(count, environment={"AWS_CA_BUNDLE": root}))),
        ]


QUESTION = Question("child_features", str(__doc__), cases, rounds=3, bound_s=330)

if __name__ == "__main__":
    ask(QUESTION)
