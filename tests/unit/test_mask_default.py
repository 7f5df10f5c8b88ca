"""The shipped policies beyond NICE's examples: usual names, words in keys, and values that recur."""

import itertools
import json
import time
import tracemalloc
import uuid
from typing import Any

import orjson
import pytest

from stream_router.pipeline.masking import path_patterns, policy_file
from stream_router.pipeline.masking.key_words import KeyWords, Word
from stream_router.pipeline.masking.policy import MaskingPolicy
from stream_router.pipeline.sinks.eventbridge.conversation_lanes import Lanes
from stream_router.pipeline.transform import Transform
from tests.events import BODY, NOW_MS, config_of, entry, event, letter


def policy(name: str) -> MaskingPolicy:
    made = policy_file.load(name, None)
    assert made is not None
    return made


DEFAULT, STRICT = policy("default"), policy("strict")

PRIVATE = [
    *("customerEmail", "customer_email", "CUSTOMER-EMAIL", "customeremail", "email", "emails", "contactEmailAddress"),
    *("customerPhone", "contactPhone", "callerNumber", "cli", "phones", "homephone", "callback_number", "fromAddr"),
    *("name", "familyName", "agent_name", "agentName", "fullNameAgent", "surname", "customerName", "full_name"),
    *("comment", "comments", "description", "summary", "chatTranscript", "lastMessage", "notes", "dispositionNotes"),
    *("primaryDispositionNotes", "primaryCallbackNumber", "birthday", "dateOfBirth", "iban", "customerIp", "ip"),
    *(
        "ccAddress",
        "bccAddress",
        "bodyHtml",
        "attachmentNames",
        "subject",
        "emailSubject",
        "threadTitle",
        "accessToken",
    ),
    *("tel", "telNo", "cell", "msisdn", "guestName", "visitor_name", "custName", "participantName", "nick", "fname"),
    *("F_Name", "link", "recordingLink", "uri", "referrer", "href"),
    *("forename", "middleInitial", "aliases", "guardian", "spouseName", "nextOfKin", "emergencyContact", "card_holder"),
    *("Vorname", "nachname", "pr\u00e9nom", "apellidos", "voornaam", "f\u00f6rnamn", "geburtsdatum", "nombre-cliente"),
    *("lat", "lng", "coordinates", "license_plate", "numberPlate", "driversLicense", "x-id-card"),
    *("nationalInsuranceNumber", "vatNumber"),
    *("bankAccount", "acctNo", "sortCode", "routingNumber", "cvc", "cardLastFour", "diagnosis", "medicalHistory"),
    *("deviceId", "imei", "cookies", "jwt", "twitterHandle", "telegramId", "vCard", "replyTo", "voicemail", "memo"),
    *("gender", "maritalStatus", "religion", "callingParty", "originatingNumber", "supervisor", "person", "otp"),
    *("stra\u00dfe", "Hausnummer", "code_postal", "calle", "endere\u00e7o", "woonplaats", "handynummer"),
    *(
        "\u0424\u0430\u043c\u0438\u043b\u0438\u044f",
        "\u6c0f\u540d",
        "\u96fb\u8a71\u756a\u53f7",
        "\u59d3\u540d",
        "\uc774\ub984",
    ),
    *("callerFirst", "customer_last", "MailingCity", "home_town", "zip5"),
    # names in NICE's documents of agents, callbacks, agents' events, transcriptions, chats and calls of other systems
    *("reportToName", "ntLoginName", "hourlyCost", "rehireStatus", "hiringSource", "referral", "systemUser", "custom3"),
    *("userInitials", "assignedTo", "createdBy", "updatedBy", "modifiedBy", "messageAuthor", "tenantBusinessOwner"),
    *("origNumber", "dialNumber", "DialString", "customerPoc", "workItemPayload", "workItemFrom", "OtherInformation"),
    *("translatedMessage", "originalMessage", "fullContent", "latestMessage", "receiverCc", "receiverBcc", "fromAgent"),
    *("word", "words", "phrases", "matchedPhrases", "sentences", "verbatims", "surveyResponse", "scriptParams"),
    *("twitterId", "facebookId", "instagramId", "externalCustomerId", "company", "customCol2", "authorizationCode"),
    *("contact_number", "fromNumber", "to_number", "sourceNumber", "smsNumber", "landline", "clid", "membershipNumber"),
    *("loyaltyNumber", "memberId", "authCode", "cardExpiry", "swift", "vatId", "loginId", "userPrincipalName"),
    *("twitter", "facebook", "instagram", "complaint", "inquiry", "fromName", "to_name", "assigneeName", "closedBy"),
    *("dialedDigits", "collected_digits", "inputDigits", "dtmf", "dtmfInput", "ivrInput", "speechInput", "userInput"),
    *(
        "userMessage",
        "lastUserMessage",
        "agentnotes",
        "dispositionnotes",
        "contactPerson",
        "case_owner",
        "accountOwner",
    ),
    *("createdByName", "lastModifiedBy", "requestedBy", "submittedBy", "handledBy", "calleeName", "billingName"),
    *("cardnum", "cc_num", "transferNumber", "connectedNumber", "X-Forwarded-For", "Name__c", "name1"),
    *("patient", "guest", "member", "consumer", "requester", "representative", "advisor", "employee", "originator"),
    *("anmerkung", "Bemerkung", "notiz", "kundenNachricht", "betreff", "kundenname", "ansprechpartner", "courriel"),
    *(
        "dateNaissance",
        "remarque",
        "nomClient",
        "direcci\u00f3n",
        "fechaNacimiento",
        "comentarios",
        "mensaje",
        "asunto",
    ),
    *(
        "nome",
        "dataNascita",
        "nomeCliente",
        "messaggio",
        "oggetto",
        "endereco",
        "dataNascimento",
        "mensagem",
        "assunto",
    ),
    *("naam", "telefoonnummer", "geboortedatum", "opmerking", "bericht", "navn", "f\u00f8dselsdato", "kommentar"),
    *("meddelande", "f\u00f6delsedatum", "imi\u0119", "imie", "dataUrodzenia", "komentarz", "wiadomo\u015b\u0107"),
    *(
        "\u043e\u0442\u0447\u0435\u0441\u0442\u0432\u043e",
        "\u0434\u0430\u0442\u0430 \u0440\u043e\u0436\u0434\u0435\u043d\u0438\u044f",
    ),
    *(
        "\u043a\u043e\u043c\u043c\u0435\u043d\u0442\u0430\u0440\u0438\u0439",
        "\u0441\u043e\u043e\u0431\u0449\u0435\u043d\u0438\u0435",
    ),
    *(
        "\u751f\u5e74\u6708\u65e5",
        "\u30e1\u30fc\u30eb",
        "\u30b3\u30e1\u30f3\u30c8",
        "\u5099\u8003",
        "\u5907\u6ce8",
        "\u90ae\u7bb1",
    ),
    *("\uc774\uba54\uc77c", "\uba54\ubaa8", "do\u011fumTarihi", "yorum", "mesaj", "\u0627\u0644\u0627\u0633\u0645"),
    *(
        "\u0627\u0644\u0647\u0627\u062a\u0641",
        "\u0627\u0644\u0639\u0646\u0648\u0627\u0646",
        "\u05e9\u05dd",
        "\u05d8\u05dc\u05e4\u05d5\u05df",
        "\u05db\u05ea\u05d5\u05d1\u05ea",
    ),
    *(
        "\u03cc\u03bd\u03bf\u03bc\u03b1",
        "\u03b5\u03c0\u03ce\u03bd\u03c5\u03bc\u03bf",
        "\u03c4\u03b7\u03bb\u03ad\u03c6\u03c9\u03bd\u03bf",
        "\u03b4\u03b9\u03b5\u03cd\u03b8\u03c5\u03bd\u03c3\u03b7",
    ),
    *("homeAddress", "streetName", "postalCode", "zip", "passportNumber", "customer", "agent", "avatar", "detailUrl"),
]
PUBLIC = ["queue", "queueName", "channel", "skillName", "teamName", "mediaTypeName", "pointOfContactName", "status"]


@pytest.mark.parametrize("masking", [DEFAULT, STRICT], ids=["default", "strict"])
@pytest.mark.parametrize("name", PRIVATE)
def test_usual_name_is_masked(masking: MaskingPolicy, name: str) -> None:
    """In camelCase, snake_case or any case, at the top or deep inside: not the value's first characters come out."""
    for payload in ({name: "canary-0000"}, {"data": [{"inner": {name: "canary-0000"}}]}):
        assert "canary" not in json.dumps(masking.mask({"payload": payload}, []))


@pytest.mark.parametrize("masking", [DEFAULT, STRICT], ids=["default", "strict"])
@pytest.mark.parametrize("name", ["customFields", "custom_fields", "CUSTOM-FIELDS", "callVariables"])
def test_custom_fields_and_variables_are_masked_however_they_are_written(masking: MaskingPolicy, name: str) -> None:
    """As a list of pairs and as an object; what a pair is called stays readable under `default`."""
    pairs = masking.mask({"payload": {name: [{"ident": "tier", "value": "canary"}]}}, [])["payload"][name]
    assert pairs[0]["value"] == "[REDACTED]"
    assert "canary" not in json.dumps(masking.mask({"payload": {name: {"tier": "canary"}}}, []))


@pytest.mark.parametrize("name", ["customData", "custom_data", "CustomDataList"])
def test_custom_data_of_a_contact_is_masked_as_custom_fields_are(name: str) -> None:
    """NICE's API gives it as pairs: nothing of them passes, whatever the keys of a pair are called."""
    for pair in ({"name": "canary", "value": "canary"}, {"key": "canary", "fieldValue": "canary", "no": 4711_4711}):
        detail = orjson.loads(entry({**BODY, "payload": {name: [pair, pair]}}, masking="default").detail)
        assert set(detail["payload"][name][1].values()) == {"[REDACTED]"}
        assert detail["metadata"]["complianceTag"] == "pii-masked"


NICE_LISTS = [
    {"messageBody": "canary soup", "words": [{"words": [{"word": "canary", "speakerTag": 1}, {"word": "soup"}]}]},
    {"words": ["canary", "soup"]},
    {"messages": [{"Label": "canary", "PartyTypeValue": "Client"}]},
    {"events": [{"Type": "ChatText", "Label": "canary"}]},
    {"recordingNumbers": [{"number": "canary"}]},
    {"members": ["canary"]},
    {"receiverBcc": ["canary <c@x.example>"]},
    {"responses": [{"questionId": 3, "response": "canary"}]},
]


@pytest.mark.parametrize("payload", NICE_LISTS, ids=lambda payload: next(iter(payload)))
def test_what_was_said_in_pieces_is_masked(payload: dict[str, Any]) -> None:
    """A transcription's words one by one, and who said them; numbers and types beside them stay."""
    masked = json.dumps(DEFAULT.mask({"payload": payload}, []))
    assert "canary" not in masked
    assert "soup" not in masked
    for stays in ('"speakerTag": 1', '"PartyTypeValue": "Client"', '"Type": "ChatText"', '"questionId": 3'):
        assert stays not in json.dumps(payload) or stays in masked


def test_name_of_a_tag_passes_as_its_title_does() -> None:
    """Under the name that the contacts of NICE's API have for it: known, and without what the detectors find."""
    tags = {"tags": [{"tagId": 7, "tagName": "VIP"}, {"tagId": 8, "tagName": "of anna@x.example"}]}
    detail = orjson.loads(entry({**BODY, "payload": tags}, masking="default").detail)
    assert [tag["tagName"] for tag in detail["payload"]["tags"]] == ["VIP", "of [EMAIL]"]


@pytest.mark.parametrize("name", ["customer", "contact", "caller", "person", "user", "agent"])
def test_first_and_last_of_a_person_are_names(name: str) -> None:
    """Elsewhere they may be the first and the last of anything."""
    masked = DEFAULT.mask({"payload": {name: {"first": "canary", "last": "canary"}}}, [])["payload"]
    assert masked == {name: {"first": "[REDACTED]", "last": "[REDACTED]"}}
    page = {"page": {"first": "msg-1", "last": "msg-9"}, "capacity": 4, "gzip": "no"}
    assert DEFAULT.mask({"payload": page}, []) == {"payload": page}


@pytest.mark.parametrize("name", ["fields", "form-fields", "contactAttributes", "parameters", "answers", "properties"])
def test_values_of_pairs_are_masked(name: str) -> None:
    """A pair of a name and a value says by its name what the value is, and no rule reads that: no value passes."""
    for key in ("name", "key", "fieldId", "label"):
        pairs = [{key: "dob", "value": "canary"}, {key: "age", "value": 53}]
        masked = DEFAULT.mask({"payload": {name: pairs}}, [])["payload"][name]
        assert [pair["value"] for pair in masked] == ["[REDACTED]", "[REDACTED]"]


THINGS = [
    *("calledCount", "callerCount", "village", "ruede", "port", "sort", "portal", "report"),
    *("handleTime", "averageHandleTime", "answerSeconds", "answeredAt", "placeholder", "templateName", "history"),
    *("traceId", "messageId", "tenantName", "brandName", "callbackId", "policyId", "cardType", "location_id"),
    *("errorMessage", "messageType", "originalMessageId", "keywords", "responseCode", "callNumber", "createdByRule"),
    *("contactNo", "reasonCode", "memberCount", "questionId", "authType", "fromState", "toQueue", "nomenclature"),
    *("dtmfMode", "maxDigits", "userMessageId", "sortedBy", "transferType", "inputType"),
    *("dispositionName", "eventName", "stateName", "sessionId", "segmentId", "hostName", "messageHandle", "agentCount"),
]


@pytest.mark.parametrize("name", THINGS)
def test_what_only_sounds_like_a_person_passes(name: str) -> None:
    """Measures, ids and names of things whose names begin or end as a private field's do stay readable."""
    assert DEFAULT.mask({"payload": {name: "billing-7"}}, []) == {"payload": {name: "billing-7"}}


def test_message_that_is_replied_to_keeps_its_id() -> None:
    """`replyTo` is an address, and `replyToMessage` none."""
    payload = {"replyToMessage": {"id": "bb9b6ac9"}}
    assert DEFAULT.mask({"payload": payload}, []) == {"payload": payload}


IDS = ["id", "userId", "UserID", "agentId", "externalId"]


@pytest.mark.parametrize("name", IDS)
def test_id_that_is_an_address_does_not_pass(name: str) -> None:
    """What others join by passes as it is, but an e-mail address never does, and the tag may say `pii-masked`."""
    for address in ("anna@x.example", "email_anna@x.example", "anna%40x.example", "anna&#64;x.example"):
        for payload in ({name: address}, {"user": {name: address}}, {"agent": {name: address}}):
            assert "anna" not in json.dumps(DEFAULT.mask({"payload": payload}, []))
    for own in ("c7b0c07a-2026-49da-be86-839bde82f0e5", "chat_4711", 62713508, "@handle", "2125550199"):
        assert DEFAULT.mask({"payload": {"user": {name: own}}}, []) == {"payload": {"user": {name: own}}}


@pytest.mark.parametrize("name", ["status", "channel", "channelId", "queueName", "direction", "priority"])
def test_what_a_script_writes_does_not_pass_the_allow_list_for_its_name(name: str) -> None:
    """Under `strict` a harmless name passes no address, no number and nothing that is masked elsewhere in the event."""
    assert STRICT.mask({"payload": {name: "sms"}}, []) == {"payload": {name: "sms"}}
    assert STRICT.mask({"payload": {name: 4711}}, []) == {"payload": {name: 4711}}
    for text in ("sms:+4930901820", "by anna@x.example", "called Anna Schmidt"):
        masked = STRICT.mask({"payload": {name: text, "customerName": "Anna Schmidt"}}, [])["payload"][name]
        assert "901820" not in masked
        assert "nna" not in masked


def test_user_whose_id_is_an_address_does_not_pass_the_allow_list() -> None:
    """`strict` lets the ids of NICE's users pass, and no address in their place, nor in an attribute of XML."""
    payload = {"user": {"id": 62713508}, "agent": {"id": "a-3"}, "agentId": 12}
    assert STRICT.mask({"payload": payload}, []) == {"payload": payload}
    for private in ({"user": {"id": "anna@x.example"}}, {"event": {"user": {"@id": "anna@x.example"}}}):
        assert "anna" not in json.dumps(STRICT.mask({"payload": private}, []))
    assert "anna" not in json.dumps(STRICT.mask({"payload": {"agent": {"id": "anna@x.example"}}}, []))


@pytest.mark.parametrize("name", ["conversationId", "originalEventId"])
@pytest.mark.parametrize("masking", [DEFAULT, STRICT], ids=["default", "strict"])
def test_conversation_that_is_an_address_does_not_pass(masking: MaskingPolicy, name: str) -> None:
    """Neither alone nor behind the name of a platform, though nothing else in the event holds it."""
    parts = {"payload": {}, "conversationId": "c", "originalEventId": "i", name: "email_anna@x.example"}
    assert masking.mask(parts, [])[name] == "[EMAIL]"


def test_conversation_that_is_an_address_does_not_pass_inside_the_payload() -> None:
    """Where the payload is the whole event, the id of its conversation stands there again."""
    address = "email_anna@x.example"
    parts = {"payload": {"conversationId": address}, "conversationId": address, "originalEventId": "i"}
    assert "anna" not in json.dumps(DEFAULT.mask(parts, []))


@pytest.mark.parametrize("name", ["customer", "sender", "recipient", "caller", "consumer"])
def test_id_of_a_person_is_a_handle(name: str) -> None:
    """Platforms make it of a phone number or an address: it is redacted, as that of an end user is."""
    assert DEFAULT.mask({"payload": {name: {"id": "+4930901820"}}}, []) == {"payload": {name: {"id": "[REDACTED]"}}}


@pytest.mark.parametrize("name", ["profile", "participant"])
def test_id_of_whoever_took_part_stays_if_it_is_no_handle(name: str) -> None:
    """An agent's is one that others join by; a phone number or an address is not."""
    for given, wanted in (("+4930901820", "[PHONE]"), ("email_anna@x.example", "[EMAIL]"), ("6d1c-77", "6d1c-77")):
        assert DEFAULT.mask({"payload": {name: {"id": given}}}, []) == {"payload": {name: {"id": wanted}}}


@pytest.mark.parametrize("name", ["raw", "source", "negative", "positive", "inbound"])
def test_field_is_known_only_where_nice_has_it(name: str) -> None:
    """NICE's statistics have fields of such names; elsewhere they may hold anything, and the tag says so."""
    detail = orjson.loads(entry({**BODY, "payload": {name: "so says anna@x.example"}}, masking="default").detail)
    assert detail["payload"] == {name: "so says [EMAIL]"}
    assert detail["metadata"]["complianceTag"] == "pii-masked-partly"


@pytest.mark.parametrize("name", PUBLIC)
def test_names_of_things_pass(name: str) -> None:
    """What is called a name but is none of a person stays readable, and is known to the policy."""
    assert DEFAULT.mask({"payload": {name: "Billing"}}, []) == {"payload": {name: "Billing"}}


@pytest.mark.parametrize("name", ["hasVisibleTitle", "isPhoneVerified", "emailSent", "hasNotes"])
def test_yes_and_no_are_no_texts(name: str) -> None:
    """true and false under a name that has the word of a private field stay, since they say nothing of it."""
    for value in (True, False, None):
        assert DEFAULT.mask({"payload": {name: value}}, []) == {"payload": {name: value}}


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("customerPhone", ["phone"]),
        ("CUSTOMER_PHONE_2", ["phone"]),
        ("customerphones", ["phone"]),
        ("postal-code", ["postal code"]),
        ("thePostalCodes", ["postal code"]),
        ("HTTPNotes", ["note"]),
        ("denoted", []),
        ("entitlement", []),
        ("", []),
        ("电话", []),
    ],
)
def test_words_of_a_key(key: str, words: list[str]) -> None:
    """Words are told apart by case, by what stands between them, and long ones also where nothing does."""
    known = KeyWords(map(Word.of, ["phone", "postal code", "note", "title"]))
    assert [" ".join(word.words) for word in known.of(key)] == words


def test_keys_that_are_ids_cost_little() -> None:
    """An object keyed by ids brings keys that were never met: 1,000 of them take no half second of CPU."""
    keys = [str(uuid.UUID(int=number * 0x1234_5678_9ABC_DEF0_1234_5678)) for number in range(1000)]
    began_s = time.process_time()
    DEFAULT.mask({"payload": dict.fromkeys(keys, True)}, [])
    assert time.process_time() - began_s < 0.5


@pytest.mark.parametrize("key", ["a_" * 30_000 + "phone", "phone_" * 10_000 + "a"])
def test_a_key_of_very_many_words_costs_as_much_as_it_is_long(key: str) -> None:
    """One of 60 KB takes no second of CPU; looked at once for each of its words it would take minutes."""
    began_s = time.process_time()
    assert DEFAULT.mask({"payload": {key: "555"}}, []) == {"payload": {key: "****5"}}
    assert time.process_time() - began_s < 1.0


def test_words_that_senders_combine_are_not_remembered_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys of ever other words are masked all the same, and the policy does not grow with them."""
    monkeypatch.setattr(path_patterns, "MEMO_MAX", 4)
    words = ["phone", "note", "title", "text", "mail"]
    automaton = path_patterns.Automaton([path_patterns.tokens(f"**.<{word}>") for word in words])
    keys = ["_".join(some) for count in (1, 2, 3) for some in itertools.combinations(words, count)]
    assert all(automaton.start.step(key).ends for key in keys)
    assert len(automaton._steps) < 10 < len(keys)


def test_of_a_senders_keys_only_short_ones_are_remembered() -> None:
    """Some thousands are, since most come again; of a body's length each, they would fill a child's memory."""
    transform = Transform(config_of(masking="default"), lambda: NOW_MS)
    transform(event(BODY))
    tracemalloc.start()
    try:
        for number in range(20):
            long = f"{'abcdefghij'[number % 10]}{'k' * 50_000}{'k' * number}"
            transform(event({**BODY, "payload": {long: "zz", "more": {long: 1}}}))
        assert tracemalloc.get_traced_memory()[0] < 10 * 50_000
    finally:
        tracemalloc.stop()


RECURRING: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"email": "anna@x.example", "x": "email_anna@x.example"}, {"x": "email_[REDACTED]"}),
    ({"email": "anna@x.example", "x": "ANNA@X.EXAMPLE"}, {"x": "[REDACTED]"}),
    ({"email": "anna@x.example", "x": "https://y.example/?q=anna%40x.example"}, {"x": "[REDACTED]"}),
    ({"email": "anna@x.example", "x": "anna&#64;x.example"}, {"x": "[REDACTED]"}),
    ({"firstName": "Anna", "x": "for Anna, please"}, {"x": "for [REDACTED], please"}),
    ({"firstName": "Anna", "x": "Annabel"}, {"x": "Annabel"}),
    (
        {"customerName": "\u0130brahim Y\u0131ld\u0131z", "x": "Merhaba \u0130brahim Y\u0131ld\u0131z, ho\u015f"},
        {"x": "Merhaba [REDACTED], ho\u015f"},
    ),
    ({"customerName": "\u0130brahim Y\u0131ld\u0131z", "x": "\u0130BRAH\u0130M YILDIZ"}, {"x": "[REDACTED]"}),
    ({"customerName": "Y\u0131ld\u0131z", "x": "YILDIZ"}, {"x": "[REDACTED]"}),
    (
        {"customerName": "\u015e\u00fckr\u00fc \u0130nce", "x": "u/\u015f\u00fckr\u00fc i\u0307nce/1"},
        {"x": "u/[REDACTED]/1"},
    ),
    ({"customerName": "\u0130brahim", "x": "?q=%C4%B0brahim"}, {"x": "[REDACTED]"}),
    ({"customerName": "Jos\u00e9", "x": "hola Jose\u0301, s\u00ed"}, {"x": "hola [REDACTED], s\u00ed"}),
    ({"customerName": "Jose\u0301", "x": "hola JOS\u00c9"}, {"x": "hola [REDACTED]"}),
    ({"customerName": "Jose\u0301", "x": "?q=Jos%C3%A9"}, {"x": "[REDACTED]"}),
    ({"phone": "I\u0307ki 90182077", "x": "\u0130ki 90182077"}, {"x": "[REDACTED]"}),
    (
        {
            "customerName": "\u039f\u03b4\u03c5\u03c3\u03c3\u03ad\u03b1\u03c2",
            "x": "\u039f\u0394\u03a5\u03a3\u03a3\u0388\u0391\u03a3!",
        },
        {"x": "[REDACTED]!"},
    ),
    ({"customerName": "Jos\u00e9", "x": "cafe\u0301"}, {"x": "cafe\u0301"}),
    ({"firstName": "Al", "x": "for Al"}, {"x": "for Al"}),
    ({"customerName": " Anna Schmidt\n", "x": "for Anna Schmidt, please"}, {"x": "for [REDACTED], please"}),
    ({"customerName": "J\u00f6rg Wei\u00df", "x": "Hr. J\u00d6RG WEISS!"}, {"x": "Hr. [REDACTED]!"}),
    ({"customerName": "J\u00f6rg Weiss", "x": "Hr. j\u00f6rg wei\u00df\u00df"}, {"x": "Hr. j\u00f6rg wei\u00df\u00df"}),
    ({"customerName": "Weiss", "x": "Stra\u00dfe: Wei\u00df, Hans"}, {"x": "Stra\u00dfe: [REDACTED], Hans"}),
    ({"customerName": "Anna Schmidt", "x": "Anna\u00a0Schmidt"}, {"x": "[REDACTED]"}),
    ({"customerName": "Anna Schmidt", "x": "https://y.example/?n=Anna+Schmidt&z=1"}, {"x": "[REDACTED]"}),
    ({"customerName": "Anna Schmidt", "x": "n=Anna%2520Schmidt"}, {"x": "[REDACTED]"}),
    ({"customerName": "J\u00f6rg M\u00fcller", "x": r'{"n": "J\u00f6rg M\u00fcller"}'}, {"x": "[REDACTED]"}),
    ({"text": "Hello,\nit's me", "x": r"{\"t\": \"Hello,\nit's me\"}"}, {"x": "[REDACTED]"}),
    ({"phone": "+14155550123", "x": 14155550123, "y": "wa 14155550123"}, {"x": "****0123", "y": "wa ****0123"}),
    ({"firstName": "Anna", "lastName": "Annabel", "x": "Annabel Anna"}, {"x": "[REDACTED] [REDACTED]"}),
    (
        {"pin": "2026", "x": {"id": "c7b0c07a-2026-49da-be86-839bde82f0e5"}, "y": "in 2026"},
        {"x": {"id": "c7b0c07a-2026-49da-be86-839bde82f0e5"}, "y": "in [REDACTED]"},
    ),
    (
        {"pin": "c7b0c07a-2026-49da-be86-839bde82f0e5", "x": "is C7B0C07A-2026-49DA-BE86-839BDE82F0E5"},
        {"x": "is [REDACTED]"},
    ),
    ({"phone": "+49 30 901820", "x": "it was +49 30 901820"}, {"x": "it was ****1820"}),
    ({"accountNumber": 40938475, "x": 40938475, "y": "no. 40938475"}, {"x": "[REDACTED]", "y": "no. [REDACTED]"}),
    (
        {"customFields": [{"ident": "a", "value": "open"}], "status": "open", "x": "open"},
        {"status": "open", "x": "[REDACTED]"},
    ),
    ({"customFields": [{"ident": "a", "value": "1"}], "x": "1"}, {"x": "1"}),
    (
        {"messageContent": {"payload": {"text": "hello\nworld"}}, "x": ["said: hello\nworld"]},
        {"x": ["said: [REDACTED]"]},
    ),
    (
        {"firstName": "Anna", "interactionId": "Anna", "x": {"y": "Anna"}},
        {"interactionId": "Anna", "x": {"y": "[REDACTED]"}},
    ),
]


@pytest.mark.parametrize(("payload", "wanted"), RECURRING)
def test_value_that_is_private_once_is_private_everywhere(payload: dict[str, Any], wanted: dict[str, Any]) -> None:
    """As a whole word of four characters or more, in any case, also encoded; never in structural fields."""
    masked = DEFAULT.mask({"payload": payload}, [])["payload"]
    assert {key: masked[key] for key in wanted} == wanted
    assert DEFAULT.mask({"payload": masked}, [])["payload"] == masked


def test_many_values_that_recur_cost_little() -> None:
    """What recurs is found without a pattern of its own for each value: 100 of them take no half second of CPU."""
    values = [f"canary{number} of {number * 7919}" for number in range(100)]
    payload = {"customFields": [{"value": value} for value in values], "x": [f"said {value}" for value in values]}
    began_s = time.process_time()
    masked = DEFAULT.mask({"payload": payload}, [])["payload"]
    assert time.process_time() - began_s < 0.5
    assert masked["x"] == ["said [REDACTED]"] * 100


def test_many_phones_and_many_numbers_cost_little() -> None:
    """What is private is looked up, not compared: 2,000 phones and 10,000 other numbers take no second of CPU."""
    phones = [{"phone": f"+49 30 9{number:07}"} for number in range(2_000)]
    numbers = " , ".join(f"040 8{number:07}" for number in range(10_000))
    began_s = time.process_time()
    masked = DEFAULT.mask({"payload": {"customers": phones, "externalId": numbers}}, [])["payload"]
    assert time.process_time() - began_s < 1
    assert masked["externalId"] == numbers


@pytest.mark.parametrize("name", ["contact", "participant", "profile"])
def test_id_that_is_an_object_is_decided_on_field_by_field(name: str) -> None:
    """What no rule names in it is not known, and the tag says so."""
    body = {**BODY, "payload": {name: {"id": {"motto": "Anna", "firstName": "Anna-Maria"}}}}
    detail = orjson.loads(entry(body, masking="default").detail)
    assert detail["payload"] == {name: {"id": {"motto": "Anna", "firstName": "[REDACTED]"}}}
    assert detail["metadata"]["complianceTag"] == "pii-masked-partly"


@pytest.mark.parametrize("name", ["contact", "participant", "profile"])
def test_long_id_of_digits_is_no_card(name: str) -> None:
    """One in ten passes the check of a card's digits by chance, and others join by it."""
    payload = {name: {"id": 4111111111111111}}
    assert DEFAULT.mask({"payload": payload}, []) == {"payload": payload}


@pytest.mark.parametrize("masking", [DEFAULT, STRICT], ids=["default", "strict"])
@pytest.mark.parametrize("value", ["+4930901820", "whatsapp:+49 30 901820", "anna@x.example"])
def test_contacts_id_that_is_a_number_or_an_address_does_not_pass(masking: MaskingPolicy, value: str) -> None:
    """In NICE's digital events `contact` is a case, and its id stays; elsewhere it is a person."""
    masked = masking.mask({"payload": {"contact": {"id": value}}}, [])["payload"]["contact"]["id"]
    assert "901820" not in masked
    assert "anna" not in masked
    digital = {"data": {"contact": {"id": "131988342510"}}}
    assert masking.mask({"payload": digital}, []) == {"payload": digital}


@pytest.mark.parametrize(
    "payload", [{"contact": {"id": "Anna"}}, {"participants": [{"id": "Anna"}]}, {"profile": {"id": "Anna"}}]
)
def test_an_id_that_default_only_searches_does_not_pass_the_allow_list(payload: dict[str, Any]) -> None:
    """What is only searched passes where nothing is found, and strict lets nothing pass that it does not name."""
    assert DEFAULT.mask({"payload": payload}, []) == {"payload": payload}
    assert "Anna" not in json.dumps(STRICT.mask({"payload": payload}, []))


@pytest.mark.parametrize("masking", [DEFAULT, STRICT], ids=["default", "strict"])
def test_what_a_tag_is_called_is_searched(masking: MaskingPolicy) -> None:
    """As where a tag is a text: who tags a case types what he likes."""
    for given, wanted in (("vip", "vip"), ("call +49 30 901820", "call [PHONE]"), ("anna@x.example", "[EMAIL]")):
        tags = masking.mask({"payload": {"data": {"case": {"tags": [{"id": 7, "title": given}]}}}}, [])
        assert tags == {"payload": {"data": {"case": {"tags": [{"id": 7, "title": wanted}]}}}}


def test_state_of_an_agent_stays_readable() -> None:
    """An event that an agent takes no contacts is of use only with the reason."""
    payload = {"agentId": 7, "agentStateName": "Unavailable", "outStateId": 3, "outStateDescription": "Lunch"}
    detail = orjson.loads(entry({**BODY, "payload": {**payload, "firstName": "Anna"}}, masking="default").detail)
    assert detail["payload"] == {**payload, "firstName": "[REDACTED]"}
    assert detail["metadata"]["complianceTag"] == "pii-masked"


@pytest.mark.parametrize("masking", [DEFAULT, STRICT], ids=["default", "strict"])
@pytest.mark.parametrize(
    "payload",
    [
        {"from": "Anna Canary"},
        {"to": "anna.canary"},
        {"callerIdName": "ANNA CANARY"},
        {"fromAddress": "sip:anna.canary@pbx"},
        {"phoneNote": "ask for Canary"},
        {"mobilePassword": "canary-nary"},
        {"callerPin": "19701970"},
        {"phoneVerificationCode": "19701970"},
    ],
)
def test_what_stands_where_a_phone_is_expected_leaves_nothing(masking: MaskingPolicy, payload: dict[str, Any]) -> None:
    """Four digits of a phone tell nobody much; four letters of a name, or half of a PIN, do."""
    (value,) = masking.mask({"payload": payload}, [])["payload"].values()
    assert value == "[REDACTED]"


def digital(**data: Any) -> dict[str, Any]:
    return {"eventId": "e-1", "eventType": "MessageCreated", "createdAt": "2026-11-24T09:30:00Z", "data": data}


def test_conversation_named_by_a_private_id_is_masked_too() -> None:
    """A thread id that holds the customer's address leaves neither as conversation nor as order key."""
    body = digital(thread={"id": "email_anna@x.example"}, endUser={"emailAddress": "anna@x.example"})
    sent = entry(body, masking="default")
    assert b"anna" not in sent.detail
    assert "anna" not in sent.order_key


VARIABLES = {"variables": [{"name": "contactId", "value": "40938476"}, {"name": "master", "value": "c-7"}]}


@pytest.mark.parametrize("masking", [DEFAULT, STRICT], ids=["default", "strict"])
def test_id_that_the_payload_shows_is_not_hidden_above_it(masking: MaskingPolicy) -> None:
    """A script's variables often hold the contact's id: all such events would be of one conversation, `[REDACTED]`."""
    payload = {"contactId": 40938476, "masterContactId": "c-7", **VARIABLES}
    parts = {"payload": payload, "originalEventId": "40938476", "conversationId": "c-7"}
    masked = masking.mask(parts, [])
    assert (masked["originalEventId"], masked["conversationId"]) == ("40938476", "c-7")
    assert [pair["value"] for pair in masked["payload"]["variables"]] == ["[REDACTED]", "[REDACTED]"]


@pytest.mark.parametrize("masking", [DEFAULT, STRICT], ids=["default", "strict"])
@pytest.mark.parametrize("more", [{}, {"motto": "40938476"}, {"contactId": "409384760"}])
def test_id_that_only_a_private_field_holds_is_hidden(masking: MaskingPolicy, more: dict[str, Any]) -> None:
    """It may be made of what the field holds, and nothing that stays in the event shows it."""
    parts = {"payload": {**VARIABLES, **more}, "originalEventId": "40938476", "conversationId": "40938476"}
    masked = masking.mask(parts, [])
    assert (masked["originalEventId"], masked["conversationId"]) == ("[REDACTED]", "[REDACTED]")


def test_handle_stays_hidden_although_a_case_has_it() -> None:
    """A phone number or an address of the event is hidden wherever it can be."""
    address = "anna@x.example"
    for handle, private in (("4930901820", {"phone": "+4930901820"}), (address, {"customFields": [address]})):
        parts = {"payload": {"case": {"id": handle}, **private}, "originalEventId": "i", "conversationId": handle}
        assert DEFAULT.mask(parts, [])["conversationId"] in ("****1820", "[REDACTED]")


def test_masking_mixes_no_conversations_and_splits_none() -> None:
    """Order is kept by the id as it came: by the masked one all such threads would be one, or one of them several."""
    anna, bob = (
        entry(digital(thread={"id": f"email_{name}@x.example"}), masking="default") for name in ("anna", "bob")
    )
    assert anna.order_key == bob.order_key
    assert Lanes(enabled=True).enter([anna, bob]) == [anna, bob]
    first, second = (
        entry({**BODY, "conversationId": "conv-48213-1", "payload": payload}, masking="default")
        for payload in ({"phone": "48213"}, {})
    )
    assert first.order_key != second.order_key
    assert Lanes(enabled=True).enter([first, second]) == [first]


def test_unknown_texts_are_searched_by_the_detectors() -> None:
    """Under `default` an address in a field that no rule names is found, and the tag says that it is not known."""
    detail = orjson.loads(entry({**BODY, "payload": {"motto": "write to anna@x.example"}}, masking="default").detail)
    assert detail["payload"] == {"motto": "write to [EMAIL]"}
    assert detail["metadata"]["complianceTag"] == "pii-masked-partly"


@pytest.mark.parametrize(
    ("phone", "elsewhere", "left"),
    [
        ("+49 30 901820", "030 901820", "****1820"),
        ("+49 30 901820", "030/901820", "****1820"),
        ("+49 (0)30 901820", "004930901820", "****1820"),
        ("4930901820", "030901820", "****1820"),
        ("030 901820", "+4930901820", "****1820"),
        ("2125550199", "+1 (212) 555-0199", "****0199"),
        ("+39 06 1234567", "06 1234567", "****4567"),
        (" +49 30 901820 ", "030/901820", "****820 "),
        ("+49 30 901820\u00a0", "030/901820", "****820\u00a0"),
        ("+49 30 901820", "2030901820", "2030901820"),
        ("4930901820", "30901820", "30901820"),
        ("+45 1234567", "1234567", "1234567"),
        ("+49 30 901820", "8030-901820-77", "8030-901820-77"),
    ],
)
def test_a_phone_that_recurs_is_found_with_and_without_its_countrys_code(phone: str, elsewhere: str, left: str) -> None:
    """In any groups, where eight digits are the same and one of the two shows that what goes before is a code."""
    assert DEFAULT.mask({"payload": {"phone": phone, "externalId": elsewhere}}, [])["payload"]["externalId"] == left


@pytest.mark.parametrize(
    ("payload", "wanted"),
    [
        ({"contactNumber": "+49 30 901820"}, {"contactNumber": "****1820"}),
        (
            {"data": {"message": {"contactNumber": "131988342510"}}},
            {"data": {"message": {"contactNumber": "131988342510"}}},
        ),
        ({"customFields": "pin 4711"}, {"customFields": "[REDACTED]"}),
        ({"customFields": ["pin 4711"]}, {"customFields": ["[REDACTED]"]}),
        ({"variables": "pin 4711"}, {"variables": "[REDACTED]"}),
        ({"participants": ["Anna Schmidt", {"id": "7"}]}, {"participants": ["[REDACTED]", {"id": "7"}]}),
        ({"users": ["Anna Schmidt"], "names": "Anna"}, {"users": ["[REDACTED]"], "names": "[REDACTED]"}),
    ],
)
def test_what_elsewhere_is_an_object_is_private_as_a_text(payload: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Persons and custom fields that a sender writes as texts are decided on; so is a `contactNumber`."""
    detail = orjson.loads(entry({**BODY, "payload": payload}, masking="default").detail)
    assert detail["payload"] == wanted
    assert detail["metadata"]["complianceTag"] == "pii-masked"


def test_contact_number_of_a_shape_of_ones_own_does_not_pass_under_strict() -> None:
    """In NICE's digital events it is a case's number; elsewhere it is a phone's."""
    given = {"contact": {"contactNumber": "+49 30 901820"}, "data": {"contact": {"contactNumber": "131988342510"}}}
    masked = STRICT.mask({"payload": given}, [])["payload"]
    assert masked == {
        "contact": {"contactNumber": "****1820"},
        "data": {"contact": {"contactNumber": "131988342510"}},
    }


LABELS = {
    "tags": ["call back 2125550199", "vip", {"id": "7"}],
    "skills": ["anna@x.example", "Billing"],
    "disposition": "callback to +49 30 901820",
    "endReason": "paid with 4111 1111 1111 1111",
    "refuseReason": None,
    "agentId": "40938475",
}
LABELS_MASKED = {
    "tags": ["call back [PHONE]", "vip", {"id": "7"}],
    "skills": ["[EMAIL]", "Billing"],
    "disposition": "callback to [PHONE]",
    "endReason": "paid with [CARD]",
    "refuseReason": None,
    "agentId": "40938475",
}


def test_labels_that_people_type_are_searched() -> None:
    """Tags, skills, dispositions and reasons pass without what the detectors find; the policy decides on each."""
    sent = entry({**BODY, "payload": LABELS}, masking="default")
    detail = orjson.loads(sent.detail)
    assert detail["payload"] == LABELS_MASKED
    assert detail["metadata"]["complianceTag"] == "pii-masked"
    assert STRICT.mask({"payload": {"endReason": "paid with 4111 1111 1111 1111"}}, [])["payload"] == {
        "endReason": "paid with [CARD]"
    }


def test_type_that_is_a_text_shows_in_no_attribute_of_a_masked_dead_letter(tmp_path: Any) -> None:
    """With mask_dead_letters only what can be a type's name becomes the attribute eventType."""
    file = tmp_path / "policy.toml"
    file.write_text('id = "p"\nversion = "1"\nmask_dead_letters = true\nthen = "default"\n')
    assert letter({**BODY, "eventType": "typed by anna@x.example"}, masking=str(file)).event_type == ""
    assert letter({**BODY, "eventType": "typed by anna"}, masking="default").event_type == "typed by anna"
    assert letter({**BODY, "eventType": "SomeType"}, masking=str(file)).event_type == "SomeType"
