"""The event types of CXone digital that NICE's own SDKs name, and what each is called on the bus.

Sources: github.com/nice-devone, `EventType` of nice-cxone-mobile-sdk-ios 3.3.1, `PushUpdateEventType` of
nice-cxone-chat-web-sdk, `CXoneDigitalEventType` of nice-cxone-agent-sdk. What these lists name of a client's own
requests (`SendMessage` …) and of tokens (`TokenRefreshed`, `ConsumerAuthorized` …) is about no conversation: not here.
"""

CREATED, UPDATED, AGENT = "interaction.created", "conversation.updated", "agent.status.changed"

_OF_CASES = (
    "CaseInboxAssigneeChanged",
    "CaseInboxAssigned",
    "CaseInboxUnassigned",
    "CaseStatusChanged",
    "CaseToRoutingQueueAssignmentChanged",
    "ConsumerContactInboxPreAssigneeChanged",
    "ContactInboxAssigneeChanged",
    "ContactPreferredUserChanged",
    "ContactPriorityChanged",
    "ContactProficiencyChanged",
    "ContactRecipientsChanged",
    "ContactStatusChanged",
    "ContactSync",
    "ContactToRoutingQueueAssignmentChanged",
    "AgentContactStarted",
    "AgentContactEnded",
    "SetPositionInQueue",
)
_OF_MESSAGES = (
    "MessageAddedIntoCase",
    "MessageCreated",
    "MessageDeliveredToEndUser",
    "MessageDeliveredToUser",
    "MessageDeliveryStatusChanged",
    "MessageNoteCreated",
    "MessageNoteDeleted",
    "MessageNoteUpdated",
    "MessagePreviewCreated",
    "MessageReadChanged",
    "MessageSeenByEndUser",
    "MessageSeenByUser",
    "MessageSeenChanged",
    "MessageSent",
    "MessageUpdated",
)
_OF_THREADS = (
    "LivechatRecovered",
    "MoreMessagesLoaded",
    "ThreadArchived",
    "ThreadListFetched",
    "ThreadMetadataLoaded",
    "ThreadRecovered",
    "ThreadUpdated",
    "TranscriptSent",
    "EventInS3",
)
_OF_VISITORS = (
    "AgentTypingEnded",
    "AgentTypingStarted",
    "FireProactiveAction",
    "PageViewCreated",
    "SenderTypingEnded",
    "SenderTypingStarted",
)

DIGITAL_TYPES: dict[str, str] = {
    "CaseCreated": CREATED,
    "ContactCreated": CREATED,
    **dict.fromkeys(_OF_CASES + _OF_MESSAGES + _OF_THREADS + _OF_VISITORS, UPDATED),
    "UserStatusChanged": AGENT,
    "UserAssignedToRoutingQueue": AGENT,
    "UserUnassignedFromRoutingQueue": AGENT,
}
"""What our rule lets through by default is one of three names; NICE's own stands in the payload."""

KEPT_TYPES = frozenset(
    {
        "Availability",
        "ChannelCreated",
        "ChannelDeleted",
        "ChannelUpdated",
        "RoutingQueueCreated",
        "RoutingQueueDeleted",
        "RoutingQueueUpdated",
        "SubqueueAssignedToRoutingQueue",
        "SubqueueUnassignedFromRoutingQueue",
    }
)
"""Types that NICE names but that are about no conversation and no agent: they keep their name, which our rule lets not
through unless STREAM_ROUTER_EVENT_TYPES names it."""
