"""National phone numbers that nothing announces, found by the language of the sentence around them."""

import os
import re
import subprocess
import sys

import pytest

from stream_router.pipeline.masking.detectors.finder import finder
from stream_router.pipeline.masking.detectors.phones.languages import languages
from stream_router.pipeline.masking.detectors.phones.written import is_written_in, regions_by_shape

FIND = finder(("phone",))


def _is_masked_as_marked(text: str) -> None:
    """Whether just what a text marks as `[PHONE=…]` is masked in it."""
    given = re.sub(r"\[PHONE=(\d+)\]", r"\1", text)
    assert FIND(given, []) == re.sub(r"=\d+", "", text)


@pytest.mark.parametrize(
    "text",
    [
        "Vi flytter, men 21577193 er den vi har der også.",
        "21 57 71 93 er den jeg har nå, og den skal være med.",
        "Vous trouverez mon mari au 0612331204 ou chez nous.",
        "Si no hay nadie, insistan: el 612315272 es de mi casa.",
        "Wir sind dann nur noch so zu haben: 030 9018203, und zwar bis sechs.",
        "Avisem a minha filha, 912409623, que eu já não vou.",
    ],
)
def test_a_number_of_the_languages_country_is_found_without_an_announcement(text: str) -> None:
    """A sentence of a language lets expect the phone numbers of the countries in which it is spoken."""
    assert "[PHONE]" in FIND(text, [])


@pytest.mark.parametrize(
    "text",
    [
        "Bot 21577193 er betalt for lenge siden, og det er vi glade for.",
        "Vi har 21577193 skruer til dere på lageret nå.",
        "Ordren er den med 21577193 som dere har sendt til oss.",
        "Budsjettet gikk opp fra 21577193 til 31577193 kroner.",
        "El pedido es el 612315272 de la semana que ya pasó.",
        "αριθμός παροχής ρεύματος είναι 2101234567, όπως γράφει στον λογαριασμό.",
        "Det er #21577193 som er til dere.",
        "21577193",
        "value 21577193 ok",
    ],
)
def test_a_number_of_something_else_is_left_alone(text: str) -> None:
    """What stands behind a noun, counts, is named, or stands in no sentence of a known language is no phone's."""
    assert FIND(text, []) == text


def test_a_number_is_taken_only_as_its_country_writes_it() -> None:
    """Germany writes a trunk 0, Norway none: without it, or with it, a number is another's."""
    assert is_written_in("030 901820", "DE")
    assert not is_written_in("30901820", "DE")
    assert is_written_in("21577193", "NO")
    assert regions_by_shape("21577193") >= {"NO", "DK"}
    assert "DE" not in regions_by_shape("21577193")


def test_languages_that_share_their_words_are_both_meant() -> None:
    """Danish and Norwegian cannot be told apart by a short sentence; a sentence of neither gives nothing."""
    assert set(languages(["jeg", "er", "her", "og", "vil", "ikke"], 2)) >= {"da", "no"}
    assert languages(["lorem", "ipsum", "dolor"], 2) == []


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("абонент 89158289842 недоступен, попробую позже", "абонент [PHONE] недоступен, попробую позже"),
        ("abonent 123404853 jest poza zasięgiem", "abonent [PHONE] jest poza zasięgiem"),
        ("абонент 89158289842 не оплатил счёт", "абонент 89158289842 не оплатил счёт"),
        ("we rang you today ((022) 10388), nobody came", "we rang you today ([PHONE]), nobody came"),
        ("Telemóvel de quem recebe a encomenda: 912409623", "Telemóvel de quem recebe a encomenda: [PHONE]"),
        ("De klant belde omdat waardebon 22334455 niet gaat.", "De klant belde omdat waardebon 22334455 niet gaat."),
        ("De aanvraag staat bij ons geboekt onder 123456789.", "De aanvraag staat bij ons geboekt onder 123456789."),
        ("After the call, I moved her claim to 234567890 now.", "After the call, I moved her claim to 234567890 now."),
    ],
)
def test_what_the_words_of_the_same_clause_name_decides(text: str, masked: str) -> None:
    """A thing that has a number, in the number's own clause, is stronger than a call in the one before."""
    assert FIND(text, []) == masked


@pytest.mark.parametrize(
    "text",
    [
        "היא ניתקה וחזרה מ-{}.",
        "הלקוח מבקש שיחזרו אליו ל-{} מחר.",
        "ה-{} הזה תפוס מהבוקר",
    ],
)
def test_a_hebrew_preposition_before_a_hyphen_is_a_word_of_its_own(text: str) -> None:
    """`to-`, `from-` and `the-` set a number apart; a letter that is none of them makes it the rest of something."""
    assert FIND(text.format("054-123-4567"), []) == text.format("[PHONE]")
    assert FIND("חוזה א-054-123-4567 פג", []) == "חוזה א-054-123-4567 פג"


@pytest.mark.parametrize(
    "text",
    [
        "jestem pod [PHONE=512345678] do 20",
        "fra 20538983 til 30538983 kroner har vi ikke",
    ],
)
def test_an_hour_behind_a_number_makes_no_range(text: str) -> None:
    """`… until 20` says until when; `from 20538983 to 30538983` counts."""
    _is_masked_as_marked(text)


@pytest.mark.parametrize(
    "text",
    [
        "Det er min datter der står for det, hun har [PHONE=21577193].",
        "Vi har 21577193 skruer på lager.",
        "Jeg vil have [PHONE=21577193] flyttet over til jer.",
        "Slet [PHONE=21577193] fra jeres lister, jeg vil ikke have reklamer.",
        "Chcę przenieść [PHONE=512345678] do was.",
        "Vymažte [PHONE=601234567] z databáze, nechci reklamy.",
        "Slett skap 21577193 fra listene deres, jeg vil ikke ha det.",
        "Vymažte objednávku 601234567 z databáze, prosím.",
    ],
)
def test_what_is_done_with_a_number_itself_makes_it_no_other_things(text: str) -> None:
    """What is deleted or moved by its number alone has no other name; `she has` at a clause's end counts nothing."""
    _is_masked_as_marked(text)


@pytest.mark.parametrize(
    "text",
    [
        "Linjen [PHONE=21577193] er nede.",
        "Linia [PHONE=512345678] jest uszkodzona.",
        "Skap 21577193 er nede.",
        "Szafka 512345678 jest uszkodzona.",
    ],
)
def test_a_word_for_a_line_tells_the_language_too(text: str) -> None:
    """A sentence of three words has few articles: what it says of phones tells whose numbers to expect as well."""
    _is_masked_as_marked(text)


@pytest.mark.parametrize(
    "text",
    [
        "Pan Wójcik ([PHONE=512345678]) się zgadza.",
        "Hr. Aydin ([PHONE=21577193]) er indforstået.",
        "O Sr. Almeida ([PHONE=912409623]) concorda.",
        "Szafka Wójcika (512345678) się nie zamyka.",
        "Er wohnt nebenan ([PHONE=0301234567]), sagt er.",
    ],
)
def test_a_number_alone_in_parentheses_behind_a_person_is_theirs(text: str) -> None:
    """With `Mr` before the name it is no thing's; the parentheses stay."""
    _is_masked_as_marked(text)


@pytest.mark.parametrize("text", ["Jeg trenger nytt SIM-kort til [PHONE=21577193].", "Kortet 21577193 er til deg."])
def test_a_sim_card_is_for_a_phone(text: str) -> None:
    """A card has a number of its own; that for which one needs a SIM card is a phone's."""
    _is_masked_as_marked(text)


def test_the_same_words_tell_the_same_languages_in_every_process() -> None:
    """Languages that are as likely keep one order, whatever the process's hashes: a text is masked alike by all."""
    program = (
        "from stream_router.pipeline.masking.detectors.phones.languages import languages;"
        "print(languages(['été', 'não', 'größe', 'läßt', 'pålägg', 'mañana'], 0.5))"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", program], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2", "3", "4")
    }
    assert len(said) == 1


@pytest.mark.parametrize(
    "text",
    [
        "Trasferita dal [PHONE=3123612265], parla solo inglese.",
        "Der stod [PHONE=31234567] i displayet, og han sagde, han var fra banken.",
        "Três tentativas para [PHONE=912345678], caso encerrado.",
        "Kunden ønsker [PHONE=31234567] fjernet fra listen.",
    ],
)
def test_what_is_said_of_phones_tells_the_language_too(text: str) -> None:
    """A short sentence has few articles; its words for calls, and for what is done with a number, are a language's."""
    _is_masked_as_marked(text)


@pytest.mark.parametrize(
    "text",
    [
        "αριθμός παραγγελίας είναι 88429799903 και είναι ακόμα σε επεξεργασία.",
        "Kundekort 88382820607 viser ikke poengene mine.",
        "会員カード17188024813のポイントが見えません。",
        "Na kartě 88382820607 nevidím body.",
    ],
)
def test_a_trunk_prefix_is_one_in_its_countrys_script_alone(text: str) -> None:
    """Russia's 8 stands in Cyrillic texts, a Chinese mobile in those without kana or hangul."""
    assert FIND(text, []) == text


@pytest.mark.parametrize(
    "text",
    [
        "Is [PHONE=2125550199] a premium rate number? It was on my bill.",
        "What's the charge for calls to [PHONE=2125550199]? It shows up three times on my bill.",
        "Tenía contratado el desvío a [PHONE=612345678] y desde el sábado las llamadas se pierden.",
    ],
)
def test_a_word_names_what_has_a_number_in_its_own_language_alone(text: str) -> None:
    """An Italian `rate` is paid in numbers of its own, an English one is none."""
    _is_masked_as_marked(text)


@pytest.mark.parametrize(
    "text",
    [
        "Displayet viste 34120719, ingen sagde noget.",
        "Vi traff deg ikke hjemme. Avtal ny levering på 21577193",
        "No le encontramos en casa. Nueva fecha de entrega en el 612305088",
        "Nie zastaliśmy Cię. Umów nową dostawę pod 512306934",
        "Kolik mi zbývá minut na předplacené kartě 601166184?",
        "Quantos minutos ainda tenho no pré-pago 912329265?",
        "Hvem eier 21218914? Ble vekket fire ganger i natt.",
        "Kunden siger, at vi aldrig har fået 34412362 til markedsføring.",
    ],
)
def test_a_number_is_found_where_its_clause_names_only_what_is_yet_to_be_made(text: str) -> None:
    """A new delivery has no number, and who owns a number or uses it for advertising speaks of a phone's."""
    assert "[PHONE]" in FIND(text, [])


@pytest.mark.parametrize("text", ["Etter seks gjelder 21 19 26 61.", "Po šesté 602 234 568, prosim."])
def test_a_number_in_its_countrys_groups_may_stand_anywhere_in_a_sentence(text: str) -> None:
    """What is counted or numbered is hardly written in just such groups."""
    assert "[PHONE]" in FIND(text, [])


@pytest.mark.parametrize(
    "text",
    [
        "zone 67-214-3710",
        "Ordre 21 19 26 61 er betalt.",
        "Pronašli jsme 602 234 568 Kč.",
        "Na última eleição o candidato fez 912329265 votos.",
    ],
)
def test_a_number_in_groups_is_kept_where_something_else_has_or_counts_it(text: str) -> None:
    """A noun directly before it, or what is counted behind it."""
    assert FIND(text, []) == text


@pytest.mark.parametrize(
    "text",
    [
        "Bloddonation lørdag ti til to. Info: 34126426",
        "¿el 610577302 sigue siendo de vuestra tienda?",
        "Vores reception er bemandet til kl. 17 (34466246).",
        "Nuestra recepción atiende hasta las 17 h (810882899).",
        "Pokud se spustí alarm, dejte vědět panu Brandtovi (601214737).",
        "Hvilket abonnement har 34411666?",
        "Piszę w sprawie opłat roamingowych na 512392006.",
        "Der hænger et skilt ved byggepladsen: klager til 32117745.",
        "eSIM aktiveret for 34165820.",
    ],
)
def test_a_number_for_information_of_a_person_or_of_opening_hours_is_found(text: str) -> None:
    """Weekdays tell the language; what is asked for (`which subscription has …`) does not have the number."""
    assert "[PHONE]" in FIND(text, [])


@pytest.mark.parametrize(
    "text",
    [
        "Klinikken lukket til mandag. Vikar: 32948469",
        "Fontanero a las 8 h. Cambios: 810112289",
        "Jeg ga barnehagen 21557632 i tilfelle noe skjer.",
        "Linia 123631534 sprawdzona, usterka w centrali.",
        "zapomněl jsem říct, po páté radši 601784505",
        "Dere har meg registrert med 40613247, ett siffer er feil.",
    ],
)
def test_a_number_behind_a_last_label_or_those_it_is_given_to_is_found(text: str) -> None:
    """`… until Monday. Locum: …`, `I gave the school …`."""
    assert "[PHONE]" in FIND(text, [])


@pytest.mark.parametrize(
    "text",
    [
        "Az adószámunk hiányzik a számláról? Tessék: 275845641.",
        "Ingen ringer meg om reparasjonsordre 21557632",
        "Polis 612345678 gewijzigd na een telefoontje.",
        "Polis 291417776 gewijzigd na een telefoontje.",
        "KID-nummeret på giroen er 021234567, men nettbanken godtar det ikke.",
        "El número del asegurado es 612345678",
    ],
)
def test_a_label_that_answers_a_question_and_an_order_in_a_compound_are_no_phones(text: str) -> None:
    """Nor is the number of who is insured."""
    assert FIND(text, []) == text


@pytest.mark.parametrize(
    "text",
    [
        "Can only talk evenings 2125550199",
        "Kan bare snakke på kvelden 22345678",
        "Solo puedo hablar por la noche 612345678",
        "sorry, last digit was wrong, it's 2125550199",
        "O hóspede quer ser acordado, está no 912345678",
        "Urgencias fuera de horario: 612345678",
        "Akutt utenom åpningstid: 22345678",
    ],
)
def test_a_number_behind_an_adverb_or_the_label_of_a_desk_is_found(text: str) -> None:
    """Times of day are words that numbers stand behind, and a label whose number ends the text needs little beside."""
    assert "[PHONE]" in FIND(text, [])


@pytest.mark.parametrize(
    "text",
    [
        "Med vennlig hilsen J. Berg | 22345678",
        "Saludos, J. Berg | 612345678",
        "please write 2125550199 on the parcel",
        "napište 601184505 na balík",
        "La sig.ra Levi (3471234567) firma",
    ],
)
def test_a_number_at_the_foot_of_a_letter_and_one_to_write_down_are_found(text: str) -> None:
    """A greeting tells the language, and a bar sets the number apart."""
    assert "[PHONE]" in FIND(text, [])


@pytest.mark.parametrize("text", ["socio n. 2234567, nessuno risponde quando chiamo", "člen č. 2234567, nikdo nezvedá"])
def test_a_members_number_is_no_phone_though_nobody_answers(text: str) -> None:
    """The point of one letter ends no sentence."""
    assert FIND(text, []) == text
