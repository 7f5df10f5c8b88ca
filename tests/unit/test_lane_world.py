"""Which processes of a run are what: the lane kills them, and says when one is gone."""

from tests.system.world import daemons


def test_what_a_daemon_has_just_forked_is_no_daemon() -> None:
    """It has its parent's words until it becomes a child; taken for a daemon, it would seem to have ended by itself."""
    java = ["/usr/bin/java", "--properties-file", "p"]
    running = [(10, java), (11, java), (20, java), (30, ["python", "-m", "stream_router.consumer.child"])]
    parents = {10: 1, 11: 10, 20: 2, 30: 10}
    assert sorted(daemons(running, parents.__getitem__)) == [10, 20]
