"""`python -m stream_router`: the same as the console script, wherever that was installed."""

from stream_router.cli import main

main()
