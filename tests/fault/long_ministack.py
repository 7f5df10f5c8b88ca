"""ministack for hours: it looks for expired records in the whole stream at each call, which here never are any.

Started as `python -m tests.fault.long_ministack` in place of `python -m ministack`, with the same environment.
"""

import runpy

from ministack.services import kinesis


def main() -> None:
    kinesis._expire_records = lambda _: None
    runpy.run_module("ministack", run_name="__main__")


if __name__ == "__main__":
    main()
