"""Partition groups are ranges of the hash: another number of them moves no conversation to another shard."""

from hypothesis import assume, given
from hypothesis import strategies as st

from stream_router.envelope import CONVERSATION_BITS, HASH_SPACE, group_of, group_place
from stream_router.limits import KINESIS_RECORD_BYTES
from stream_router.operate.shards import shard_counts_keeping_order
from stream_router.receiver.events import PartitionGroup

MAX_GROUPS = 4_096
HASHES = st.one_of(st.integers(0, 2**CONVERSATION_BITS - 1), st.sampled_from([0, 2**CONVERSATION_BITS - 1]))


def shard_of(conversation: int, groups: int, starts: list[int]) -> int:
    """The shard that gets the conversation's records, by the shards' first hash keys."""
    _, hash_key = group_place(group_of(conversation, groups), groups)
    return max(number for number, start in enumerate(starts) if start <= int(hash_key))


@given(conversation=HASHES, shards=st.integers(1, 64), item=st.integers(1, 64), other=st.integers(1, 64))
def test_a_conversation_keeps_its_shard_for_any_two_multiples_of_the_number_of_shards(
    conversation: int, shards: int, item: int, other: int
) -> None:
    """With shards of even size, as UpdateShardCount makes them."""
    starts = [HASH_SPACE * number // shards for number in range(shards)]
    assert shard_of(conversation, shards * item, starts) == shard_of(conversation, shards * other, starts)


@given(
    conversation=HASHES,
    unit=st.integers(1, 64),
    cuts=st.sets(st.integers(1, 63)),
    item=st.integers(1, 64),
    other=st.integers(1, 64),
)
def test_shards_of_any_size_will_do_if_they_begin_at_multiples_of_one_nth(
    conversation: int, unit: int, cuts: set[int], item: int, other: int
) -> None:
    """After a split or a merge of single shards, too."""
    starts = [0, *sorted(HASH_SPACE * cut // unit for cut in cuts if cut < unit)]
    assert shard_of(conversation, unit * item, starts) == shard_of(conversation, unit * other, starts)


@given(conversation=HASHES, groups=st.integers(1, MAX_GROUPS))
def test_every_hash_has_a_group_whose_key_lies_at_its_own_place(conversation: int, groups: int) -> None:
    """The group's hash key is at most half a group away from where the hash itself lies in Kinesis's space."""
    index = group_of(conversation, groups)
    _, hash_key = group_place(index, groups)
    own = conversation * (HASH_SPACE >> CONVERSATION_BITS)
    assert 0 <= index < groups
    assert abs(int(hash_key) - own) <= HASH_SPACE // groups


@given(groups=st.integers(1, MAX_GROUPS), shards=st.integers(1, 1_024))
def test_the_numbers_that_keep_order_are_those_whose_borders_are_borders_of_groups(groups: int, shards: int) -> None:
    """No group of the receivers lies across two shards then, and each shard has four groups."""
    assume(groups >= 4 * shards)
    across = [border for border in range(shards) if border * groups % shards]
    assert (shards in shard_counts_keeping_order(groups)) is (not across)


@given(groups=st.integers(1, MAX_GROUPS), index=st.integers(0, MAX_GROUPS - 1))
def test_the_receivers_record_names_the_groups_place(groups: int, index: int) -> None:
    """Partition key and hash key, as the operators' commands write them too."""
    assume(index < groups)
    key, hash_key = group_place(index, groups)
    address = PartitionGroup(index, groups)
    assert address.tail == f'","PartitionKey":"{key}","ExplicitHashKey":"{hash_key}"}}'.encode()
    assert address.max_data_bytes == KINESIS_RECORD_BYTES - len(key)
