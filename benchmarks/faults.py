"""What do faults cost? One child beside a plain concurrent client, the same faults in the same run.

`python -m benchmarks.faults [--events N] [--rounds N] [--json FILE]`. The bus answers after 2 ms. The client retries by
itself and does nothing else, and gives an entry up after five quick retries. Its rate ends with its last retry, the
child's when 99.9 % of the events are accepted: one of 100,000 has bad luck four times, and its last retry comes after
30 s, while nothing waits for it.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

from benchmarks.child import child
from stream_router.fakeaws.process import FakeAwsProcess

FAULTS: dict[str, list[dict[str, object]]] = {
    "no fault": [],
    "5 % of entries fail": [{"fault": "entry_error", "rate": 0.05, "operation": "PutEvents"}],
    "5 % of calls fail": [{"fault": "call_error", "code": "InternalException", "rate": 0.05, "operation": "PutEvents"}],
    "2 % of calls are reset": [{"fault": "reset", "rate": 0.02, "accept": False, "operation": "PutEvents"}],
}


def client(url: str, count: int) -> float:
    """The plain client's events a second."""
    command = [sys.executable, "-m", "benchmarks.peers.concurrent_client", url, str(count)]
    ran = subprocess.run(command, capture_output=True, check=True, text=True)
    return float(json.loads(ran.stdout)["eventsPerSecond"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=60_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    rates: dict[str, dict[str, list[float]]] = {name: {"child": [], "client": []} for name in FAULTS}
    with FakeAwsProcess(None, None, 0, "--delay-ms", "2") as fake_aws:
        for _ in range(chosen.rounds):
            for name, rules in FAULTS.items():
                fake_aws.reset()
                fake_aws.plan({"rules": rules})
                rates[name]["child"].append(1e6 / child(fake_aws, chosen.events, share=0.999)["wallUs"])
                rates[name]["client"].append(client(fake_aws.url, chosen.events))
    result = {
        name: {who: round(statistics.median(found)) for who, found in both.items()} for name, both in rates.items()
    }
    for name, both in result.items():
        share = both["child"] / result["no fault"]["child"]
        beside = both["child"] / both["client"]
        print(f"{name:24} child {both['child']:7,} events/s ({share:.0%} of no fault), {beside:.2f} times the client")
    if chosen.json:
        chosen.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
