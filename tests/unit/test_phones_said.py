"""What the words of a sentence say of the number in it: a phone's, another thing's, how many of something there are."""

import pytest

from stream_router.pipeline.masking.detectors.finder import finder

FIND = finder(("phone",))


@pytest.mark.parametrize(
    "text",
    [
        "I fjor svarte vi på 22334455 anrop.",
        "L'an dernier nos centres ont traité 612345678 appels au total.",
        "W zeszłym roku odebraliśmy 512345678 połączeń.",
        "Robotul a preluat 212345678 de apeluri anul trecut.",
        "콜센터 인입 건수는 5012345678건입니다.",
        "called 12345678 times",
        "45194569 numaralı telefon sözleşmesi bitiyor.",
    ],
)
def test_what_is_counted_is_no_phone(text: str) -> None:
    """A number directly before what it counts stays, though the sentence speaks of calls."""
    assert FIND(text, []) == text


@pytest.mark.parametrize(
    "text",
    [
        "Abonnementet som hører til mobilnummer {}, er sperret.",
        "Výpověď smlouvy k telefonnímu číslu {}",
        "Dotyczy: wypowiedzenie umowy dla numeru telefonu {}",
    ],
)
def test_a_word_for_a_phones_number_directly_before_it_is_stronger_than_any_thing(text: str) -> None:
    """A contract in the same clause does not make another number of what is called a phone's."""
    assert "[PHONE]" in FIND(text.format("21577193" if "mobil" in text else "512345678"), [])


@pytest.mark.parametrize(
    "text",
    [
        "Beni arayın {} saat 10'dan sonra",
        "Telefonum {} mesaj atabilirsiniz",
        "전화번호 {} 회신 주세요",
        "Appelez le {} appels gratuits",
        "Ring oss {} samtaler tas opp",
        "Tel.: {} hívás után",
    ],
)
def test_what_is_announced_directly_counts_nothing(text: str) -> None:
    """A word that numbers count stands behind a phone, too: what says `phone` directly before it is stronger."""
    numbers = {"Ring": "22334455", "전화번호": "01012345678", "Appelez": "612345678"}
    number = numbers.get(text.partition(" ")[0], "05061911076")
    assert "[PHONE]" in FIND(text.format(number), [])


@pytest.mark.parametrize(
    "text",
    [
        "Please call me when you have some news about all this: 2125550199 ext 114.",
        "Please call me when you have some news about all this: 555-1234",
        "troquei de celular pessoal, salva ai o novo: 912345678",
    ],
)
def test_a_call_from_afar_says_it_of_local_numbers_and_of_those_with_an_extension(text: str) -> None:
    """What is no national number is one in its town; an extension is none of its digits."""
    assert "[PHONE]" in FIND(text, [])


def test_a_thing_of_the_phone_keeps_its_number() -> None:
    """A phone's serial number, in either order of the words, and its PUK are no phone numbers."""
    for text in (
        "Mobil s výrobním číslem 602345678 se sám vypíná.",
        "серийный номер моего телефона 4519456945",
        "La factura del teléfono es 612345678 y no la entiendo.",
        "PUK 5078398 ist falsch, das Handy bleibt gesperrt.",
    ):
        assert FIND(text, []) == text


@pytest.mark.parametrize(
    "text",
    [
        "Confermo che il cellulare associato al conto è {}.",
        "Confirmo que el teléfono asociado a la cuenta es {}.",
    ],
)
def test_the_subject_of_is_has_the_number(text: str) -> None:
    """Where nouns stand before what they belong to, the first one is what the number is of."""
    assert "[PHONE]" in FIND(text.format("612345678" if "cuenta" in text else "3123243577"), [])


@pytest.mark.parametrize(
    "text",
    [
        "In case of emergency please contact my daughter Helen ({}).",
        "Em último caso liguem para {}.",
    ],
)
def test_an_idiom_names_no_thing(text: str) -> None:
    """`in case` is no case that has a number."""
    assert "[PHONE]" in FIND(text.format("912409623" if "caso" in text else "2125550199"), [])


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Cevapsız çağrı: 05067534601 (3 kez)", "Cevapsız çağrı: [PHONE] (3 kez)"),
        ("lutfen arayin beni 05061911076 2 gundur internet yok", "lutfen arayin beni [PHONE] 2 gundur internet yok"),
        ("lutfen arayin beni 05061911076 2 saat sonra", "lutfen arayin beni [PHONE] 2 saat sonra"),
        ("고객 부재로 01027819300 3회 통화 시도", "고객 부재로 [PHONE] 3회 통화 시도"),
        ("ring mig på 20 33 44 5 6 tak", "ring mig på [PHONE] tak"),
        ("Tel: 5551234567 ext 5 please", "Tel: [PHONE] please"),
        ("Факс (8 (301) 216-39-14) не отвечает", "Факс ([PHONE]) не отвечает"),
        ("Hívjon fel: (06 1) 231 7891", "Hívjon fel: [PHONE]"),
        ("Aramak için hafta içi 08.00-17.00 arası", "Aramak için hafta içi 08.00-17.00 arası"),
        ("Belgeleri 02128775769 numaralı faksa gönderdim.", "Belgeleri [PHONE] numaralı faksa gönderdim."),
    ],
)
def test_a_number_ends_where_it_ends(text: str, masked: str) -> None:
    """What counts calls or days behind it, the sentence's own parentheses and hours of the day are not the number's."""
    assert FIND(text, []) == masked


@pytest.mark.parametrize(
    "text",
    [
        "Er det dere som eier 21577193? Fikk en sms derfra i dag.",
        "Hvem pokker gemmer sig bag 34441078? De har ringet fem gange i dag.",
        "V O2 tvrdí, že 212348567 je pořád ve vaší síti a nejde přenést.",
        "Co to za numer 512345678? Jak oddzwaniam, to słyszę sygnał.",
    ],
)
def test_a_sentence_that_speaks_of_phones_lets_expect_its_countrys_numbers(text: str) -> None:
    """Nothing announces it, but the text is about calls or networks, and the number's clause names nothing else."""
    assert "[PHONE]" in FIND(text, [])


def test_a_call_from_afar_says_it_only_of_numbers_that_the_language_writes() -> None:
    """Seven or twelve digits are no phone number in France or Norway, unless they are called one directly."""
    far = "Personne ne décroche quand on vous appelle, alors voici encore une fois ce que vous vouliez, {}."
    assert FIND(far.format("7654321"), []) == far.format("7654321")
    assert FIND("Appelez le 7654321.", []) == "Appelez le [PHONE]."


@pytest.mark.parametrize(
    "text",
    [
        "Uppge referens 12345678 när du ringer.",
        "Indique el localizador 612345678 cuando llame.",
        "Vermeld kenmerk 12345678 als u belt.",
        "При звонке назовите шифр 123456789.",
    ],
)
def test_what_is_to_be_quoted_when_one_calls_is_no_phone(text: str) -> None:
    """`… when you call` behind a number says when, and not where, to call."""
    assert FIND(text, []) == text


@pytest.mark.parametrize("text", ["Partij 123456789 is teruggeroepen.", "123456789 partisi geri çağrıldı."])
def test_goods_that_are_called_back_are_no_phones(text: str) -> None:
    """A batch has a number of its own."""
    assert FIND(text, []) == text


@pytest.mark.parametrize(
    "text",
    [
        "Para facturas hable con contabilidad en el 612345678.",
        "Para faturas fale com a contabilidade pelo 912409623.",
        "Για τιμολόγια μιλήστε με το λογιστήριο στο 2101234567.",
        "Στη σύνδεση επιβεβαιώνω έναν κωδικό που έρχεται στο 2101234567.",
        "发票的事请联系财务,13812345678。",
    ],
)
def test_who_is_to_be_spoken_to_has_the_number_whatever_it_is_about(text: str) -> None:
    """What is named before a word that says `speak to` or `contact` is the reason, not what the number belongs to."""
    assert "[PHONE]" in FIND(text, [])


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("abc 40938475. 📞 2125550199", "abc 40938475. 📞 [PHONE]"),
        ("40938475: subscriber 2125550199 is unreachable", "40938475: subscriber [PHONE] is unreachable"),
        ("40938475 abc, 30981274 def", "40938475 abc, 30981274 def"),
        ("order 40938475. phone: 2125550199", "order 40938475. phone: [PHONE]"),
    ],
)
def test_of_several_numbers_each_is_asked_where_anything_may_announce_it(text: str, masked: str) -> None:
    """A text's words are looked at once for all its numbers; a sign or a network's message is no such word."""
    assert FIND(text, []) == masked


@pytest.mark.parametrize(
    "text",
    [
        "Tilføj {} til min konto som ekstra kontaktnummer.",
        "Añadan el {} a mi cuenta como segundo número de contacto.",
        "Proszę dodać {} do mojego konta jako drugi numer kontaktowy.",
        "Προσθέστε το {} στον λογαριασμό μου ως δεύτερο τηλέφωνο.",
    ],
)
def test_what_a_number_is_kept_as_is_stronger_than_where_it_is_kept(text: str) -> None:
    """`add … to my account as a second contact number` names a phone, and no account's number."""
    assert FIND(text.format("612345678"), []) == text.format("[PHONE]")


@pytest.mark.parametrize(
    "text",
    [
        "Bruk 9195295281 som KID når du betaler.",
        "Jag ringde om paket 245654422 som aldrig kom.",
        "Возврат оформлен, номер заявления 2279874484. Как деньги отправят, мы вам позвоним.",
    ],
)
def test_a_number_kept_as_another_things_is_no_phone(text: str) -> None:
    """Nor is one behind which the word for `as` means something else."""
    assert FIND(text, []) == text


@pytest.mark.parametrize(
    "text",
    [
        "Nummer in dossier, {}, niet meer in gebruik, brief gestuurd.",
        "Registrert nummer {} er ikke i bruk, brev sendt.",
        "Le numéro au dossier, {}, n'est plus attribué.",
        "登録番号{}は使われておらず、書面送付。",
        "档案里的号码{}已停机,已寄信。",
    ],
)
def test_a_number_on_record_that_is_out_of_service_is_a_phone(text: str) -> None:
    """Where a number is kept does not name it, and what it is said to be is said of phones."""
    assert "[PHONE]" in FIND(text.format("21577193" if "Registrert" in text else "0101276523"), [])


@pytest.mark.parametrize(
    "text",
    ["Číslo účtu 21483744 je už zrušené, přeplatek mi pošlete jinam.", "Voucher number 21483744 is no longer active."],
)
def test_another_number_that_is_out_of_use_is_no_phone(text: str) -> None:
    """An account may be closed, too."""
    assert FIND(text, []) == text


@pytest.mark.parametrize(
    "text",
    [
        "Taxi objednáno. Řidič: Ahmed, {}",
        "Táxi confirmado. Motorista: Ahmed, {}",
        "Drosje bestilt. Sjåfør: Ahmed, {}",
        "Такси заказано. Водитель: Ахмед, {}",
    ],
)
def test_who_comes_has_the_number_behind_the_name(text: str) -> None:
    """What another sentence is about does not name a number that stands behind a person."""
    assert "[PHONE]" in FIND(text.format("21577193" if "Drosje" in text else "612345678"), [])


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("14:52 010-2066-8821 부재중 전화 1통", "14:52 [PHONE] 부재중 전화 1통"),
        ("14:52 missed call 09:30 2125550199", "14:52 missed call 09:30 [PHONE]"),
        ("Visszahívást kér 06201289207 15 óra után.", "Visszahívást kér [PHONE] 15 óra után."),
        ("call me at 2125550199 5 pm", "call me at [PHONE] 5 pm"),
    ],
)
def test_an_hour_beside_a_number_is_none_of_its_digits(text: str, masked: str) -> None:
    """A call is noted behind its hour, and asked for with one."""
    assert FIND(text, []) == masked


@pytest.mark.parametrize(
    "text",
    [
        "Randevunuzu {} numarasını arayarak teyit etmenizi rica ederiz.",
        "merhaba iade için {} doğru numara mı?",
        "{} faturasız hattımda kaç dakikam kaldı?",
        "お問い合わせは{}",
        "부재중이셨습니다. 재배송 접수는 {}",
    ],
)
def test_what_is_to_be_done_by_calling_does_not_have_the_number(text: str) -> None:
    """A noun before it may be the object of the call, what it is for, or without what has a number."""
    number = "010-2066-8821" if "수" in text else "02123813592"
    assert "[PHONE]" in FIND(text.format(number), [])


@pytest.mark.parametrize("text", ["El nuevo número del abonado es {}.", "Новый номер абонента {}."])
def test_the_new_number_of_a_subscriber_is_a_phones(text: str) -> None:
    """Who numbers subscribers otherwise gives no new numbers."""
    assert "[PHONE]" in FIND(text.format("612345678" if "abonado" in text else "89127308149"), [])


def test_just_in_case_is_no_case() -> None:
    """The number is that of the phone named before it."""
    assert FIND("ok tomorrow, my cell just in case 2125550199", []) == "ok tomorrow, my cell just in case [PHONE]"


@pytest.mark.parametrize(
    "text",
    [
        "Kind regards, Amy Stone, Stone & Co, T 2125550199",
        "Med vennlig hilsen\nAnne Stein\nStein AS\nT 22345678",
        "the login code never arrived on 2125550199",
        "der code für den login kam nie an auf 030511245",
        "Your appointment reminders keep going to 2125550199, that's my ex",
        "στείλτε τον λογαριασμό με μήνυμα στο 6912345678",
    ],
)
def test_a_letter_at_the_foot_and_what_is_sent_say_it(text: str) -> None:
    """`, T …` is a sign; a noun before what is sent, or what it is for, does not have the number."""
    assert "[PHONE]" in FIND(text, [])


@pytest.mark.parametrize(
    "text",
    [
        "telefonens serienummer: 12345678901",
        "telefonun seri numarası: 22345678901",
        "Telefonul cu seria 2234567 nu se mai încarcă",
        "Moja rezerwacja to 22345678, dzwoniłem dwa razy",
        "Varaukseni on 22345678, soitin jo kahdesti",
        "saksnr. 22345678, be en leder ringe",
        "제 예약은 22345678, 두 번 전화했어요",
        "予約は22345678です、二回電話しました",
    ],
)
def test_a_thing_keeps_its_number_though_a_call_is_spoken_of_beside_it(text: str) -> None:
    """At a label's end, before its language's `is`, before `…nr.`, and where a clause of its own speaks of the call."""
    assert FIND(text, []) == text


@pytest.mark.parametrize(
    "text",
    [
        "Ieri ho ordinato 223456789 al telefono e niente",
        "Gestern 223456789 am Telefon bestellt, nichts kam",
        "Balance of my prepaid phone is 12345.20",
        "Die Telefon-App 10.22.11.13 stürzt ab",
        "The call app 9.2.13.22 crashes",
        "Приложение для звонков 10.22.11.13 вылетает",
        "telefonmodell 223456",
        "Referansen din er 22345678, oppgi den når du ringer",
        "Kargo takip no: 123456789",
    ],
)
def test_what_was_done_by_phone_and_what_software_or_an_amount_has_is_no_phone(text: str) -> None:
    """`… by phone` behind a number is the means; an app has a version, and cents stand behind a point."""
    assert FIND(text, []) == text


@pytest.mark.parametrize(
    "text",
    [
        "Please erase the recordings of my calls from 2125550199",
        "someone on 2125550199 claims to be from your bank and wanted my PIN",
        "hej det er lisa, gem mit nye nr 32117745",
        "alarmcentralen 32117745, kræver kodeord",
        "jeres system afviser 32117745, jeg kan ikke komme igennem",
    ],
)
def test_a_call_from_a_number_is_a_phones_whatever_is_kept_of_it(text: str) -> None:
    """So is one that claims something, one that is new, and one that is refused."""
    assert "[PHONE]" in FIND(text, [])


@pytest.mark.parametrize(
    "text",
    [
        "Quero mudar o telefone da minha conta para 912345678",
        "Quiero cambiar el teléfono de mi cuenta por el 612345678",
        "Vorrei cambiare il telefono del mio ordine in 3331234567",
        "Αλλάξτε το τηλέφωνο στην παραγγελία σε 6941234567",
        "אני רוצה לעדכן את הטלפון בחשבון ל-0504166084",
    ],
)
def test_the_phone_that_an_account_or_order_is_to_have_is_found(text: str) -> None:
    """`to` directly before a number is stronger than the thing in which the phone is kept."""
    assert "[PHONE]" in FIND(text, [])


@pytest.mark.parametrize(
    "text",
    [
        "Naše zákaznická linka 601141767 je zdarma",
        "お客様窓口は24時間受付、0316262196",
        "Cust req cb on 2027522239 b4 6pm",
        "Cliente pede retorno p/ 919172653 antes das 18h",
        "Indgående 34460513 via IVR, lagde på i køen",
        "Входящий 83011808091 через IVR, сброс в очереди",
        "д.т. 9474949295, м.т. не указан",
        "인바운드 1588-1891 대기 중 끊음",
    ],
)
def test_what_contact_centres_write_of_calls_is_understood(text: str) -> None:
    """A line or desk for customers, a callback, a call that came in: shorthand of agents, and of their systems."""
    assert "[PHONE]" in FIND(text, [])


@pytest.mark.parametrize(
    "text",
    [
        "zákaznické číslo 601141767",
        "受付番号、0316262196",
        "За год обработали 9999999 входящих звонков",
        "CB 612345678",
    ],
)
def test_a_customers_number_and_calls_that_are_counted_are_no_phones(text: str) -> None:
    """The same words beside a word for `number`, or behind what is counted, name something else."""
    assert FIND(text, []) == text


@pytest.mark.parametrize(
    "text",
    [
        "proszę zarejestrować 512337448 do powiadomień sms",
        "rekisteröikää 0138721934 tekstiviesti-ilmoituksiin",
        "ההעברה נכשלה, מספר לחזרה 0502367028",
        "transfer failed, cx cb nr 2075686410",
        "Übergabe gescheitert, RR-Nr. 01 238162647",
    ],
)
def test_a_phone_to_be_registered_and_one_to_call_back_are_found(text: str) -> None:
    """To register is no registration, and a number for callbacks in short is a phone's."""
    assert "[PHONE]" in FIND(text, [])


@pytest.mark.parametrize(
    "text",
    [
        "3x volal kvůli vratce 55269485",
        "volal kvůli zásilce 602123456",
        "dzwonił w przesyłce 512337448",
        "дзвонив по доставці 671234567",
        "Mandatsreferenz 9247-558122, Gläubiger-ID DE98ZZZ01237636818",
        "rekisterinumero 0138721934",
    ],
)
def test_a_thing_has_its_number_in_every_case_of_its_noun(text: str) -> None:
    """Czech, Polish and Ukrainian change the last letter of a stem; a reference in a compound is one."""
    assert FIND(text, []) == text


@pytest.mark.parametrize(
    "text",
    [
        "Lütfen {} numaralı telefonu hesabımdan silin.",
        "{} numaralı telefonumu hesabıma ekleyin",
        "{} nolu hattı aboneliğimden çıkarın",
        "{} numaralı telefondan fatura için aradım",
    ],
)
def test_what_is_done_with_a_turkish_phone_has_not_its_number(text: str) -> None:
    """A noun with the ending of a case is a word of the verb: what follows it is no thing of the phone."""
    assert "[PHONE]" in FIND(text.format("05014327569"), [])


@pytest.mark.parametrize(
    "text",
    [
        "{} numaralı telefonun sözleşmesi bitiyor.",
        "{} numaralı telefon faturası ödendi.",
        "{} numaralı siparişi hesabımdan silin.",
        "{} numaralı çağrı kaydı silinsin.",
    ],
)
def test_what_a_turkish_phone_has_may_have_the_number(text: str) -> None:
    """Behind a nominative or genitive stands what belongs to it; orders and records of calls are no phones."""
    assert FIND(text.format("45194569"), []) == text.format("45194569")


@pytest.mark.parametrize(
    "text",
    [
        "Kundenhotline: 03012345678",
        "Kundentelefon: 03012345678",
        "Kundenservice: 03012345678",
        "Kundendienst: 03012345678",
        "Kundencenter: 03012345678",
        "Εξυπηρέτηση πελατών: 2138759171",
        "Εξυπηρετηση πελατων: 2138759171",
        "Γραμμή εξυπηρέτησης πελατών: 2138759171",
        "Serviciul clienți: 0212345678",
    ],
)
def test_a_label_of_those_who_serve_customers_announces_a_phone(text: str) -> None:
    """As it does in other languages: the customers in its name are no customer with a number."""
    assert "[PHONE]" in FIND(text, [])


@pytest.mark.parametrize("text", ["Kundennummer: 03012345678", "Κωδικός πελατών: 2138759171"])
def test_a_customers_number_is_no_phone(text: str) -> None:
    """Whatever it looks like."""
    assert FIND(text, []) == text


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("Novo telemóvel do utente: {}", "212328629"),
        ("o novo telefone do assinante: {}", "212328629"),
        ("modificat nr. de telefon abonat: {}", "0211269435"),
        ("noul telefon al utilizatorului: {}", "0211269435"),
        ("neue Handynummer des Benutzers: {}", "03012345678"),
        ("nouveau portable de l'adhérent: {}", "0123401102"),
        ("nuovo cellulare dell'utente: {}", "0210289239"),
        ("nuevo móvil del socio: {}", "912345678"),
        ("nieuwe telefoon van de gebruiker: {}", "0201234567"),
        ("nowy telefon ubezpieczonego: {}", "221234567"),
        ("nový telefon pojištěného: {}", "601182077"),
        ("ny telefon till medlemmen: {}", "081234567"),
        ("uusi puhelin käyttäjän: {}", "0912345678"),
        ("yeni cep abonenin: {}", "02123230072"),
        ("νέο τηλέφωνο χρήστη: {}", "2101234567"),
        ("новый телефон пользователя: {}", "84951234567"),
        ("new phone of the member: {}", "2125550199"),
    ],
)
def test_who_has_a_phone_hinders_it_nowhere(text: str, number: str) -> None:
    """Whatever stands before the phone: users, members and subscribers have phones, too."""
    assert FIND(text.format(number), []) == text.format("[PHONE]")


@pytest.mark.parametrize(
    "text",
    [
        "Número de utente: {}",
        "telemóvel, número do utente: {}",
        "nr. de telefon și cod abonat: {}",
        "Cod abonat: {}",
        "codice del telefono utente: {}",
        "telefono dell'utente n. {}",
        "new phone of the member no. {}",
        "Telefon des Benutzers, Vertrag: {}",
    ],
)
def test_the_number_of_a_user_or_member_is_no_phone(text: str) -> None:
    """Where a word for `number` or `code` stands with them."""
    assert FIND(text.format("45194569"), []) == text.format("45194569")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("Kdyby přepojení nevyšlo, přímá telefonní linka na reklamace je {}", "601182077"),
        ("telefon na objednávky je {}", "601182077"),
        ("telefon pro reklamace je {}", "601182077"),
        ("the phone for claims is {}", "2125550199"),
        ("le téléphone pour les commandes est le {}", "0123401102"),
        ("el teléfono para pedidos es el {}", "912345678"),
        ("o telefone para encomendas é o {}", "212328629"),
        ("telefonen til klager er {}", "32136979"),
        ("telefonen för reklamationer är {}", "081234567"),
        ("το τηλέφωνο για παράπονα είναι {}", "2101234567"),
    ],
)
def test_what_a_phone_is_for_does_not_have_its_number(text: str, number: str) -> None:
    """In a sentence as in a label."""
    assert FIND(text.format(number), []) == text.format("[PHONE]")


@pytest.mark.parametrize(
    "text",
    [
        "Phone for order no {}",
        "telefon na objednávku, číslo smlouvy je {}",
        "volal na reklamaci, zakázka je {}",
        "telefon pro smlouvu číslo je {}",
        "la factura del teléfono para el pedido es {}",
    ],
)
def test_what_is_numbered_behind_what_a_phone_is_for_has_its_own(text: str) -> None:
    """Nor where the thing is what `is` speaks of."""
    assert FIND(text.format("45194569"), []) == text.format("45194569")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("Send en tekstmelding til {} når pakken er klar", "21476805"),
        ("Send en tekstbesked til {} når pakken er klar", "32136979"),
        ("Skicka ett textmeddelande till {} när paketet är klart", "081234567"),
        ("Send os et billede af måleren på MMS til {}", "32136979"),
        ("Pošlete fotku elektroměru přes MMS na {}", "601182077"),
        ("Send us a picture of the meter by MMS to {}", "2125550199"),
        ("sms promemoria non consegnato a {}", "0210289239"),
        ("messaggio non consegnato a {}", "0210289239"),
        ("sms recordatorio no entregado a {}", "912345678"),
        ("mensaje no entregado al {}", "912345678"),
        ("Port. : {}", "0123401102"),
        ("Móv.: {}", "912345678"),
    ],
)
def test_what_goes_to_a_phone_by_any_name_announces_it(text: str, number: str) -> None:
    """Text and picture messages, what was delivered to a number, and what is short for a mobile."""
    assert FIND(text.format(number), []) == text.format("[PHONE]")


@pytest.mark.parametrize(
    "text",
    ["Chiamato, non consegnato 45194569", "Chiamato il cliente, pacco non consegnato 45194569", "Port: 49152-65535"],
)
def test_what_goes_to_nobody_has_its_own_number(text: str) -> None:
    """Nor is a port of a computer a portable."""
    assert FIND(text, []) == text


@pytest.mark.parametrize(
    "text",
    [
        "Dilekçeyi {} numarasına fakslayın lütfen",
        "Poliçeyi {} numarasına faks çekin",
        "Belgeyi {} numarasına mesajla gönderdim",
        "Faturamda {} ile üç dakikalık telefon görüşmesi var, ben konuşmadım",
        "Hesabımda {} ile telefon görüşmesi görünüyor",
    ],
)
def test_what_is_faxed_and_where_a_call_stands_has_not_the_number_in_turkish(text: str) -> None:
    """An object belongs to the verb, and so does the bill on which something stands."""
    assert FIND(text.format("02123230072"), []) == text.format("[PHONE]")


@pytest.mark.parametrize(
    "text",
    [
        "Dilekçemi {} numarasıyla gönderdim",
        "Müşteri kaydı {} numarasında, aradım",
        "Siparişimde {} kodlu ürün var, telefonla aradım",
        "Hesabımda {} numaralı sipariş görünüyor, telefon bekliyorum",
        "Faturamda {} lira fazla, telefonla aradım",
    ],
)
def test_what_stands_on_a_turkish_bill_may_be_no_phone(text: str) -> None:
    """Where it is called something else."""
    assert FIND(text.format("45194569"), []) == text.format("45194569")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("Miért szerepel a számlámon a {}? Nem ismerem ezt a telefonszámot", "0618004474"),
        ("Why is {} on my bill? I don't know this phone number.", "2125550199"),
        ("Warum steht {} auf meiner Rechnung? Ich kenne diese Telefonnummer nicht", "03012345678"),
        ("¿Por qué aparece en mi factura el {}? No conozco ese teléfono", "912345678"),
        ("Waarom staat {} op mijn factuur? Ik ken dit telefoonnummer niet", "0201234567"),
        ("Hvorfor står {} på min regning? Jeg kender ikke det telefonnummer", "32136979"),
        ("De ce apare pe factura mea {}? Nu cunosc acest număr de telefon", "0211269435"),
        ("Faturamda neden {} var? Bu telefonu tanımıyorum", "02123230072"),
        ("Почему в моём счёте {}? Я не знаю этот номер телефона", "84951234567"),
    ],
)
def test_what_the_next_sentence_calls_this_phone_number_is_one(text: str, number: str) -> None:
    """Whatever it stands on."""
    assert FIND(text.format(number), []) == text.format("[PHONE]", 1)


@pytest.mark.parametrize(
    "text",
    [
        "Why is invoice 45194569 on my bill? I don't know this phone number",
        "The ticket number is 45194569. This phone number is new",
        "I paid 45194569 for it. This phone is broken.",
        "We have 45194569 here. This phone number is: ",
    ],
)
def test_this_phone_number_is_no_invoice(text: str) -> None:
    """Nor a device, nor a number yet to come."""
    assert FIND(text, []) == text
