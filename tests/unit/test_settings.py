"""Settings: what each takes and what it refuses, through the commands: one line that names it and its cure, exit 78."""

import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import botocore
import pytest

from stream_router import process
from stream_router.checks import CheckVerdict
from stream_router.cli import main
from stream_router.consumer.supervisor import assembly, java
from stream_router.errors import SettingProblem, SettingsError
from stream_router.operate.doctor import host
from stream_router.operate.doctor.world import World
from stream_router.pipeline.mapping.config_file import MappingFile
from stream_router.receiver import auth
from stream_router.receiver import sources as served_by
from stream_router.settings import reading, sources
from stream_router.settings.common import Settings, variable
from stream_router.settings.consumer import Consumer
from stream_router.settings.operators import Cxone, Setup
from stream_router.settings.reading import load
from stream_router.settings.receiver import Receiver
from tests.environment import CONSUMER, CXONE, GOOD, RECEIVER, SETUP, set_environment

pytestmark = pytest.mark.usefixtures("empty_environment")

DATA = Path(__file__).parents[1] / "data"
STRONG = "0123456789abcdef"
SCHEME = "STREAM_ROUTER_WEBHOOK_SCHEME"
SIGNED = {**RECEIVER, SCHEME: "hmac", "STREAM_ROUTER_WEBHOOK_SECRETS": STRONG}
COMMANDS = {"receive": SIGNED, "consume": CONSUMER, "setup": SETUP, "cxone token": CXONE}
PROGRAMS: dict[type[Settings], str] = {Receiver: "receive", Consumer: "consume", Setup: "setup", Cxone: "cxone token"}

Refused = Callable[[str, dict[str, str]], list[str]]


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Refused:
    """What a command says as it refuses an environment, before it begins: exit 78, no traceback."""
    monkeypatch.setattr(process, "end_on_early_signal", lambda **_: None)  # this process has signals of its own

    def run(command: str, settings: dict[str, str]) -> list[str]:
        set_environment(monkeypatch, settings)
        monkeypatch.setattr(sys, "argv", ["stream-router", *command.split()])
        with pytest.raises(SystemExit) as ended:
            main()
        output = capsys.readouterr().err.splitlines()
        assert ended.value.code == 78, output
        assert all(line.startswith("stream-router: ") and "; " in line for line in output)
        return [line.removeprefix("stream-router: ") for line in output]

    return run


# --- each setting by itself

Edges = tuple[tuple[str, ...], tuple[str, ...]]


def edges(refused: str, taken: str) -> Edges:
    """Of a setting whose values have no blanks in them."""
    return tuple(refused.split()), tuple(taken.split())


PATH: Edges = (("~/x",), ("/tmp/a b", "a/~", "/nonexistent"))
ARN = edges("https://sqs/q arn:", "arn:aws:sqs:us-east-1:123456789012:q")
LISTEN = edges("8080 :8080 h:65536 h:-1 h:²", "127.0.0.1:0 [::1]:65535 localhost:1")
QUEUE = "https://[::1/q https://h:99999/q arn:aws:sqs:us-east-1:1:q https://sqs.x/1/q.fifo"
EVENTS, KMS = "arn:aws:events", "arn:aws:kms"

EDGES: dict[str, Edges] = {
    "AWS_REGION": (
        ("us_east_1", "US-EAST-1", "aws-global", "eu-centrall-1", "frankfurt", "us-east-1 "),
        ("us-gov-west-1", "eusc-de-east-1", "cn-north-1"),
    ),
    "SQS_DLQ_URL": (("https://sqs/a b", *QUEUE.split()), ("http://127.0.0.1:4566/0/dead",)),
    "EVENTBRIDGE_TARGET_ARN": ARN,
    "CXONE_AUTH_URL": edges(
        "https://u:p@x/ https://[::1 ftp://x/ http://x/token", "https://x/token http://127.0.0.1:1/token"
    ),
    "STREAM_ROUTER_STREAM": edges("a/b é " + "s" * 129, "s a.b-c_d " + "s" * 128),
    "STREAM_ROUTER_APPLICATION": edges("ab " + "a" * 256, "abc " + "a" * 255),
    "STREAM_ROUTER_EVENT_BUS": (
        ("b" * 257, "a b", f"{EVENTS}:us-east-1:me:event-bus/b", f"{EVENTS}:eu-west-1:1:event-bus/b"),
        ("b" * 256, "aws.partner/x/y", f"{EVENTS}:us-east-1:123456789012:event-bus/b"),
    ),
    "STREAM_ROUTER_RULE": edges("a:b " + "r" * 65, "r a.b-c_d " + "r" * 64),
    "STREAM_ROUTER_EVENT_TYPES": ((" , ", "a\tb", "t" * 129, '["a.b"]', "a,'b'"), ("t" * 128, "a,,b", " a , b ")),
    "STREAM_ROUTER_DROP_TYPES": edges('["a"] ' + "t" * 129, "a,b ,"),
    **{f"STREAM_ROUTER_{name}LISTEN": LISTEN for name in ("", "ADMIN_", "RECEIVER_ADMIN_")},
    "STREAM_ROUTER_ADMIN_HOSTS": (
        ("a.example:9464", "http://a.example", "a b", "*.example"),
        ("a.example, b_c,", "A.example.", "10.0.0.1"),
    ),
    "STREAM_ROUTER_TRUSTED_PROXIES": (
        ("10.0.0.0/33", "proxy.example", "10.0.0.1/8"),
        ("::1", "10.0.0.1, fd00::/8", ","),
    ),
    "STREAM_ROUTER_HMAC_TEMPLATE": edges(
        "{Body} {}{body} {timestamp}.${body} {{body}} {nonce}{body}", "{id}.{timestamp}.{body} v0:{body}"
    ),
    "STREAM_ROUTER_PARTITION_PATH": (("a..b", ".a", " , ", "/a/b", "a,$.b"), ("a.b.c,d", "a b.c", "$a.b/c")),
    "STREAM_ROUTER_BUCKETS": edges("0 4097 many 2.5 1e3x " + "9" * 5000, "1 4096"),
    "STREAM_ROUTER_MAX_SHARD_RATE": edges("0 inf nan many", "0.001"),
    "STREAM_ROUTER_OFFLOAD_BUCKET": edges("ab Bucket -ab " + "a" * 64, "abc " + "a" * 63),
    "STREAM_ROUTER_WORKER": (("a b", "w" * 129), ("w" * 128, "pod-0.ns:1")),
    "STREAM_ROUTER_TAGS": (
        ("aws:x=1", "=x", "k" * 129 + "=v", "k=<v>", "team"),
        ("team=cx", "a=1, b=", "a:b/c=x y"),
    ),
    "STREAM_ROUTER_KMS_KEY": edges(
        f"alias/mine {KMS}:us-east-1:123456789012:alias/mine {KMS}:eu-west-1:123456789012:key/1234",
        f"{KMS}:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab",
    ),
    "STREAM_ROUTER_TARGET_DLQ_ARN": ARN,
    **{f"STREAM_ROUTER_{name}": PATH for name in ("CONFIG", "SPILL_DIR", "STATE_DIR", "AUDIT_DIR", "TLS_KEY")},
    "STREAM_ROUTER_LOG_LEVEL": edges("debug nonsense", "DEBUG"),
}
"""Of each setting with a form of its own: values that are refused, and the last ones on the good side."""


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in GOOD for name in kind.model_fields], ids=str)
def test_a_setting_takes_what_its_page_says_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, refused: Refused, kind: type[Settings], name: str
) -> None:
    """The last good values, no others, which no line quotes; no bytes that are no text; an empty value is none."""
    named = variable(kind, name)
    wrong, good = EDGES.get(named, ((), ()))
    is_path = "Path" in str(kind.model_fields[name].annotation)
    for value in (*wrong, *(() if is_path else ("a\udcff",))):
        (line,) = refused(PROGRAMS[kind], {**GOOD[kind], named: value})
        assert line.startswith(f"{named}: ")
        assert len(value) < 13 or value.strip() not in line
    for value in good:
        set_environment(monkeypatch, {**GOOD[kind], named: value})
        load(kind)
    set_environment(monkeypatch, GOOD[kind])
    if named not in GOOD[kind]:
        monkeypatch.delenv(named, raising=False)
        expected = load(kind)
        set_environment(monkeypatch, {named: ""})
        assert load(kind) == expected


FILE, TEXT = "THE_FILE", "A_TEXT"
"""Values of the data that stand for a file with the row's content, and for a file of text that no program can use."""
SOURCE = '[[cxone.sources]]\nname = "a"\ntype = "webhook"\nurl = "https://x/"\nscheme = "{}"\n'
SECRETS = f'secrets = "a:{STRONG}"\n'
WRONG: list[dict[str, Any]] = tomllib.loads((DATA / "wrong_settings.toml").read_text("utf-8"))["wrong"]


def environment_of(row: dict[str, Any], folder: Path) -> dict[str, str]:
    """Return a row's settings, over those with which its command would start; its file is written to `folder`."""
    (folder / "file").write_text(row.get("file", ""))
    paths = {FILE: str(folder / "file"), TEXT: __file__}
    settings = {name: paths.get(value, value) for name, value in row["settings"].items()}
    return {**COMMANDS[row["command"].removesuffix(" --plan")], **settings}


def line_of(row: dict[str, Any], folder: Path) -> str:
    """Return the line that a row's command has to print."""
    return str(row["line"]).replace("BOTOCORE", botocore.__version__).replace(FILE, str(folder / "file"))


@pytest.mark.parametrize("row", WRONG, ids=lambda row: f"{row['command']}-{row['line'][:40]}")
def test_a_wrong_setting_is_a_line_that_names_it(
    monkeypatch: pytest.MonkeyPatch, refused: Refused, tmp_path: Path, row: dict[str, Any]
) -> None:
    """Each wrong setting of the data ends its command with the line beside it; nothing of a file is quoted."""
    for once in ("use_one_heap", "leave_no_core_file", "start_logging"):
        monkeypatch.setattr(assembly, once, lambda *_: None)
    assert refused(row["command"], environment_of(row, tmp_path)) == [line_of(row, tmp_path)]
    name = row["line"].partition(": ")[0]
    assert name in row["settings"], "the line names a setting that the row has set"
    assert "c4n4ry" not in row["line"]


def test_the_data_holds_sixty_wrong_settings_and_more() -> None:
    """No row stands there twice, and each command is among them."""
    assert len({str(row) for row in WRONG}) == len(WRONG) >= 60
    assert {row["command"] for row in WRONG} == {"receive", "consume", "setup", "setup --plan", "cxone token"}


@pytest.mark.parametrize("name", ["STREAM_ROUTER_SPILL_MAX_BYTES", "STREAM_ROUTER_DROP_TYPES"])
def test_a_program_with_a_wrong_setting_ends_with_78(tmp_path: Path, name: str) -> None:
    """A real process prints the row's line alone, and nothing of it stays."""
    row = next(row for row in WRONG if row["line"].startswith(f"{name}: "))
    environment = {"PATH": os.environ["PATH"], **environment_of(row, tmp_path)}
    command = [sys.executable, "-m", "stream_router", row["command"]]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (78, "")
    assert done.stderr == f"stream-router: {line_of(row, tmp_path)}\n"


def test_all_that_is_wrong_is_said_at_once(refused: Refused, tmp_path: Path) -> None:
    """Names, values, one against another, and what files hold: a line each, and none that only follows from another."""
    (tmp_path / "config").write_text(
        '[[cxone.sources]]\nname = "a"\ntype = "mail"\n[[cxone.sources]]\ntype = "webhook"\n'
    )
    wrong = {
        "AWS_REGION": "eu-centrall-1",
        "STREAM_ROUTER_SPIL_DIR": "/x",
        "STREAM_ROUTER_BUCKETS": "0",
        "STREAM_ROUTER_WEBHOOK_SCHEME": "magic",
        "STREAM_ROUTER_HMAC_TEMPLATE": "{nonce}",
        "STREAM_ROUTER_CONFIG": str(tmp_path / "config"),
    }
    follow = {
        "STREAM_ROUTER_RECEIVER_ADMIN_LISTEN": "0.0.0.0:1",
        "STREAM_ROUTER_HMAC_TIMESTAMP_HEADER": "x-time",
        "STREAM_ROUTER_TLS_CERT": "/nowhere.pem",
    }
    names = [line.partition(":")[0] for line in refused("receive", {**SIGNED, **wrong, **follow})]
    assert set(names) == {*wrong, "STREAM_ROUTER_ADMIN_TOKEN", "STREAM_ROUTER_TLS_KEY"}
    assert names.count("STREAM_ROUTER_CONFIG") == 4, "of one file every key"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("STREAM_ROUTER_MASKING", "/nonexistent/policy.toml"),
        ("STREAM_ROUTER_MASKING", "/dev/zero"),
        ("STREAM_ROUTER_PROPERTIES", "/dev/zero"),
        ("STREAM_ROUTER_JVM_OPTIONS", '"'),
        ("STREAM_ROUTER_AUDIT_DIR", "/proc/none"),
        ("STREAM_ROUTER_OFFLOAD_BUCKET", "/"),
        ("AWS_ENDPOINT_URL", "foo"),
        ("AWS_ENDPOINT_URL_KINESIS", "http://[::1"),
        ("AWS_ENDPOINT_URL_EVENTBRIDGE", "foo"),
        ("AWS_ENDPOINT_URL_SQS", "http://127.0.0.1:123456"),
        ("AWS_ENDPOINT_URL_CLOUDWATCH", "foo"),
        ("AWS_PROFILE", "nope"),
        ("AWS_CA_BUNDLE", "/nonexistent/ca.pem"),
        ("AWS_CA_BUNDLE", "/etc"),
    ],
)
def test_what_consume_cannot_work_with_is_said_before_java_is_looked_for(
    monkeypatch: pytest.MonkeyPatch, refused: Refused, tmp_path: Path, name: str, value: str
) -> None:
    """Whatever reads the variable, its line is not a crash."""
    for once in ("use_one_heap", "leave_no_core_file", "start_logging"):
        monkeypatch.setattr(assembly, once, lambda *_: None)
    monkeypatch.setattr(assembly, "admin_port", lambda *_: None)
    monkeypatch.setattr(java, "find_java", lambda: pytest.fail("Java was looked for"))
    keys = {} if name == "AWS_PROFILE" else {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    here = {"AWS_EC2_METADATA_DISABLED": "true", "STREAM_ROUTER_STATE_DIR": str(tmp_path / "state")}
    (line,) = refused("consume", {**CONSUMER, **keys, **here, name: value})
    assert name in line.partition(": ")[0].split(" or ")


# --- secrets that protect nothing

OPEN = "0.0.0.0:8080"
Given = tuple[str, str, dict[str, str]]
"""Scheme, secrets, and what is set besides."""

WEAK: list[Given] = [
    *((scheme, secrets, {}) for scheme in ("expert", "hmac", "bearer") for secrets in ("t", STRONG[:15])),
    *(("basic", secrets, {}) for secrets in ("a-user-of-many:short", f"{STRONG}:")),  # the password counts
    *(
        ("hmac", secrets, {})
        for secrets in (
            *(f"{STRONG},short", f"short,{STRONG}"),
            # a path, which stands in the documentation, would be the key that every event is signed with
            *("/etc/stream-router/secrets", "./secrets.txt", "../a/b", "secrets.pem", "c/s.key"),
            # what names a secret, and what no shell has replaced, is shown to many
            "arn:aws-us-gov:ssm:us-gov-west-1:123456789012:parameter/webhook",
            f"{STRONG},arn:aws:secretsmanager:eu-central-1:123456789012:secret:webhook-AbCdEf",
            *("$THE_WEBHOOKS_SECRET", "${THE_WEBHOOKS_SECRET}", "$(cat /run/secrets/webhook)", "https://vault.x/v1/s"),
            # a reference that is not read: after a blank, in capitals, behind a comma
            *(" file:/etc/secrets", "FILE:/etc/secrets", f"{STRONG},ssm:/its/name/here"),
            # ECS puts a whole document into the variable
            *(f'{{"webhook": "{STRONG}"}}', f'{{"a":"{STRONG}","b":"{STRONG}"}}'),
        )
    ),
]
STRONG_ENOUGH: list[Given] = [
    *((scheme, secrets, {"WEAK_SECRETS": "allow"}) for scheme, secrets, _ in WEAK if '"' not in secrets),
    *(
        ("hmac", secrets, {})
        for secrets in (STRONG, f"${STRONG}", "file:/etc/secrets", "/Zk3p/q1VvX8cY7bN6mM5lL4kK3j/=")
    ),
    ("basic", "nice:a longer password", {}),
    ("standard-webhooks", "whsec_MDEyMzQ1Njc4OWFiY2RlZg==", {}),
    ("none", "t", {}),
    # what goes over the wire as it is: on this machine, over TLS, behind a proxy that is named
    *(("bearer", STRONG, {"LISTEN": f"{name}:8080"}) for name in ("127.0.0.1", "[::1]", "localhost")),
    ("bearer", STRONG, {"LISTEN": OPEN, "TLS_CERT": "/c.pem", "TLS_KEY": "/k.pem"}),
    ("bearer", STRONG, {"LISTEN": OPEN, "TRUSTED_PROXIES": "10.0.0.0/8"}),
]
IN_THE_CLEAR: list[Given] = [
    *((scheme, f"user:{STRONG}", {"LISTEN": OPEN}) for scheme in ("bearer", "basic")),
    *(("bearer", STRONG, {"LISTEN": f"{name}:8080"}) for name in ("[::]", "10.1.2.3", "receiver.example")),
    ("bearer", STRONG, {"LISTEN": OPEN, "TRUSTED_PROXIES": " , "}),
]


def of_a_receiver(scheme: str, secrets: str, more: dict[str, str]) -> dict[str, str]:
    named = {"WEBHOOK_SCHEME": scheme, "WEBHOOK_SECRETS": secrets, **more}
    return {"AWS_REGION": "us-east-1", **{f"STREAM_ROUTER_{name}": value for name, value in named.items()}}


@pytest.mark.parametrize(("scheme", "secrets", "more"), [*WEAK, *IN_THE_CLEAR])
def test_a_secret_that_protects_nothing_is_refused(
    refused: Refused, scheme: str, secrets: str, more: dict[str, str]
) -> None:
    """Short, a place in the secret's stead, or sent where anyone reads it; no line quotes one."""
    (line,) = refused("receive", of_a_receiver(scheme, secrets, more))
    assert line.startswith(f"STREAM_ROUTER_WEBHOOK_{'SCHEME' if more else 'SECRETS'}: ")
    assert len(secrets) < 8 or secrets not in line


@pytest.mark.parametrize(("scheme", "secrets", "more"), STRONG_ENOUGH)
def test_a_good_secret_is_taken(
    monkeypatch: pytest.MonkeyPatch, scheme: str, secrets: str, more: dict[str, str]
) -> None:
    """16 bytes are enough; and whoever wants a weak one says so."""
    set_environment(monkeypatch, of_a_receiver(scheme, secrets, more))
    load(Receiver)


@pytest.mark.parametrize("program", [Consumer, Receiver])
def test_the_admin_token_is_as_strong(
    monkeypatch: pytest.MonkeyPatch, refused: Refused, tmp_path: Path, program: type[Consumer | Receiver]
) -> None:
    """Whoever reaches the port could try out a short one, so too where it stands in a file; on loopback nobody does."""
    token, short, kept = "STREAM_ROUTER_ADMIN_TOKEN", "x" * 15, f"file:{tmp_path / 'token'}"
    (tmp_path / "token").write_text(short)
    set_environment(monkeypatch, {**CONSUMER, **SIGNED})
    for beyond, weak in (("127.0.0.1:1", "refuse"), ("[::1]:1", "refuse"), ("0.0.0.0:1", "allow")):
        listen = {f"STREAM_ROUTER_{name}ADMIN_LISTEN": beyond for name in ("", "RECEIVER_")}
        for where in (short, kept):
            set_environment(monkeypatch, {**listen, "STREAM_ROUTER_WEAK_SECRETS": weak, token: where})
            assert load(program).strong_secret("admin_token") == short
    monkeypatch.delenv("STREAM_ROUTER_WEAK_SECRETS")
    for where in (short, "$THE_TOKEN_OF_THE_PORT"):
        (line,) = refused(PROGRAMS[program], {token: where})
        assert line.startswith(f"{token}: ")
    set_environment(monkeypatch, {token: kept})
    with pytest.raises(SettingsError, match=f"^{token}: "):
        load(program).strong_secret("admin_token")


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither repr nor str of the settings holds a secret."""
    set_environment(
        monkeypatch, {**RECEIVER, **CXONE, **CONSUMER, "STREAM_ROUTER_WEBHOOK_SECRETS": "c4n4ry-1 is long enough"}
    )
    set_environment(
        monkeypatch, {"CXONE_CLIENT_SECRET": "c4n4ry-2", "STREAM_ROUTER_AUDIT_KEY": "c4n4ry-3 is long enough"}
    )
    set_environment(monkeypatch, {"STREAM_ROUTER_AUDIT_DIR": "/tmp"})
    assert "c4n4ry" not in "".join(f"{result!r}{result}" for result in (load(Receiver), load(Cxone), load(Consumer)))


# --- what is taken


def test_the_bus_and_the_region_decide_what_a_call_may_carry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for 25, a classic bus gives 10 and a v2 bus 25."""
    set_environment(monkeypatch, CONSUMER)
    assert (load(Consumer).entries_per_call, load(Consumer).bytes_per_call) == (10, 1_000_000)
    bus = "arn:aws:events:mx-central-1:123456789012:event-busv2/b/" + "a" * 25
    set_environment(monkeypatch, {"STREAM_ROUTER_EVENT_BUS": bus, "AWS_REGION": "mx-central-1"})
    assert (load(Consumer).entries_per_call, load(Consumer).bytes_per_call) == (25, 262_144)


def test_the_region_comes_from_where_boto3_reads_it(
    monkeypatch: pytest.MonkeyPatch, refused: Refused, tmp_path: Path
) -> None:
    """AWS_REGION, AWS_DEFAULT_REGION, the profile's; with an endpoint set also one that botocore does not know."""
    (tmp_path / "config").write_text("[default]\nregion = eu-west-3\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    assert load(Setup).aws_region == "eu-west-3"
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    assert load(Setup).aws_region == "eu-west-1"
    set_environment(monkeypatch, {"AWS_REGION": "xx-nowhere-9", "AWS_ENDPOINT_URL_KINESIS": "http://127.0.0.1:1"})
    assert load(Setup).aws_region == "xx-nowhere-9"
    (line,) = refused("setup", {"AWS_REGION": "frankfurt"})
    assert line.startswith("AWS_REGION: 'frankfurt' is not a region")


def test_what_others_set_is_nobodys_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of another program, empty ones of a newer template, what Kubernetes makes of a Service's name."""
    ends = ("SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTP", "PORT", "PORT_8080_TCP", "PORT_443_TCP_PROTO")
    for name in ("STREAM_ROUTER_", "STREAM_ROUTER_RECEIVER_"):
        set_environment(monkeypatch, {**SETUP, **CXONE, **{name + end: "tcp://10.0.0.1:8080" for end in ends}})
    set_environment(monkeypatch, {"STREAM_ROUTER_SPILL_DIR": "/x", "STREAM_ROUTER_CHECKPOINT_S": "no"})
    set_environment(
        monkeypatch, {"STREAM_ROUTER_OF_TOMORROW": "", "CXONE_OF_TOMORROW": "", "AUTH_URL": "https://elsewhere/"}
    )
    load(Setup)
    assert load(Cxone).auth_url is None, "CXone's credentials would be sent there"
    assert not reading.find_warnings()


def test_what_does_nothing_and_may_stay_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown CXone name, since other tools have some; settings of another scheme than the one in use."""
    set_environment(monkeypatch, {**RECEIVER, "CXONE_CLIENT_SECRT": "s", "STREAM_ROUTER_HMAC_PREFIX": "v1="})
    set_environment(monkeypatch, {"STREAM_ROUTER_HMAC_ID_HEADER": "x-id"})
    warned = [problem.setting for problem in reading.find_warnings(load(Receiver))]
    assert warned == ["CXONE_CLIENT_SECRT", "STREAM_ROUTER_HMAC_PREFIX"], "scheme none makes use of a delivery id"
    set_environment(monkeypatch, {SCHEME: "standard-webhooks"})
    assert len(reading.find_warnings(load(Receiver))) == 3
    for scheme in ("none", ""):
        set_environment(monkeypatch, {SCHEME: scheme, "STREAM_ROUTER_WEBHOOK_SECRETS": STRONG})
        warned = [problem.setting for problem in reading.find_warnings(load(Receiver))]
        assert "STREAM_ROUTER_WEBHOOK_SECRETS" in warned
    monkeypatch.delenv("STREAM_ROUTER_WEBHOOK_SECRETS")
    result = [row for row in host.SETTINGS.check(World(offline=True)) if row.code == "SR004"]
    assert (result[0].verdict, result[0].setting) == (CheckVerdict.WARNING, "CXONE_CLIENT_SECRT")


@pytest.mark.parametrize("program", [Receiver, Consumer])
def test_expert_without_its_types_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, program: type[Receiver | Consumer]
) -> None:
    """At the start of both programs, by the environment's scheme or a named source's; a type that is named, renamed or
    published anyway ends the warning."""
    config = tmp_path / "config.toml"
    set_environment(monkeypatch, {**CONSUMER, SCHEME: "expert", "STREAM_ROUTER_WEBHOOK_SECRETS": STRONG})

    def warned() -> list[SettingProblem]:
        problems = reading.find_warnings(load(program))
        return [problem for problem in problems if problem.setting == "STREAM_ROUTER_EVENT_TYPES"]

    assert "Page_Create" in warned()[0].cure
    for name, value in {"EVENT_TYPES": "Page_Create", "UNROUTABLE": "publish"}.items():
        set_environment(monkeypatch, {f"STREAM_ROUTER_{name}": value})
        assert not warned()
        monkeypatch.delenv(f"STREAM_ROUTER_{name}")
    set_environment(monkeypatch, {SCHEME: "hmac", "STREAM_ROUTER_CONFIG": str(config)})
    config.write_text(SOURCE.format("expert") + SECRETS)
    assert len(warned()) == 1
    config.write_text('[event_types]\nPage_Create = "interaction.created"\n' + config.read_text())
    assert not warned()


@pytest.mark.parametrize(
    ("mode", "is_ours", "exposed"),
    [
        (0o600, True, ""),
        (0o640, True, "its group"),
        (0o440, False, ""),
        (0o644, False, "every user"),
        (0o604, True, "e"),
    ],
)
def test_a_secret_file_that_others_may_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, is_ours: bool, exposed: str
) -> None:
    """Of every setting that a file's secret may stand in, and of the config file if a secret stands there; the group
    through which we ourselves read another's file is not a stranger."""
    secret, config, source = tmp_path / "secret", tmp_path / "config.toml", '[[cxone.sources]]\ntype = "webhook"\n'
    secret.write_text(STRONG)
    table = f'{source}url = "https://x"\nscheme = "hmac"\n'
    config.write_text(f'{table}name = "a"\nsecrets = "{STRONG}"\n{table}name = "b"\nsecrets = "file:{secret}"\n')
    for file in (secret, config):
        file.chmod(mode)
    places = ("WEBHOOK_SECRETS", "ADMIN_TOKEN", "AUDIT_KEY", "MASKING_KEY")
    set_environment(
        monkeypatch, {**SIGNED, **CONSUMER, "STREAM_ROUTER_AUDIT_DIR": "/x", "STREAM_ROUTER_MASKING": "default"}
    )
    set_environment(monkeypatch, {f"STREAM_ROUTER_{name}": f"file:{secret}" for name in places})
    set_environment(monkeypatch, {"STREAM_ROUTER_CONFIG": str(config), "STREAM_ROUTER_TLS_KEY": str(secret)})
    if not is_ours:
        monkeypatch.setattr("os.geteuid", lambda: secret.stat().st_uid + 1)
    problems = [*reading.find_exposed(load(Receiver)), *reading.find_exposed(load(Consumer))]
    named = ["ADMIN_TOKEN", "TLS_KEY", "WEBHOOK_SECRETS", "CONFIG", "CONFIG", "MASKING_KEY", "ADMIN_TOKEN", "AUDIT_KEY"]
    settings = [problem.setting.removeprefix("STREAM_ROUTER_") for problem in problems]
    assert sorted(settings) == sorted(named if exposed else [])
    assert all(f"may be read by {exposed}" in problem.problem for problem in problems)
    assert all(STRONG not in problem.line() for problem in problems)


# --- what a named source has of the environment


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Receiver]:
    """With this line in the file and these settings beside it: by which the source's sender is known."""
    receivers: list[Receiver] = []
    make = auth.make_check

    def noted(settings: Receiver) -> object:
        receivers.append(settings)
        return make(settings)

    monkeypatch.setattr(auth, "make_check", noted)

    def build_receiver(line: str = "", scheme: str = "hmac", **environment: object) -> Receiver:
        (tmp_path / "config.toml").write_text(SOURCE.format(scheme) + SECRETS + line)
        config = tmp_path / "config.toml"
        served_by.build_sources(Receiver.model_validate({"aws_region": "x", "config": config, **environment}))
        return receivers[-1]

    return build_receiver


def test_a_named_source_has_the_defaults_and_the_environment_s_replay_window(served: Callable[..., Receiver]) -> None:
    """The environment's signature is its own sender's; the window is everybody's, unless the source gives one, also
    where that is the default. A proxy that is named ends TLS for it too."""
    own = served(hmac_header="x-other", hmac_template="{timestamp}.{body}", hmac_timestamp_header="x-t")
    assert auth.build_own_layout(own) == auth.build_own_layout(Receiver.model_validate({"aws_region": "x"}))
    assert served(replay_window_s=77).replay_window_s == 77
    assert served("replay_window_s = 300\n", replay_window_s=77).replay_window_s == 300
    assert served(scheme="bearer", listen="0.0.0.0:80", trusted_proxies="10.0.0.0/8")


def test_the_keys_of_the_consumer_are_known(tmp_path: Path) -> None:
    """The two programs may have one file: what one takes for a key the other does too."""
    config = tmp_path / "config.toml"
    consumers = 'shape = "auto"\nnaive_zone = "UTC"\n[event_types]\n[metadata]\n[[shapes]]\n'
    config.write_text(consumers + SOURCE.format("hmac"))
    assert [source.name for source in sources.read(config)] == ["a"]
    assert {*sources.Document.model_fields} == {*MappingFile.model_fields}
