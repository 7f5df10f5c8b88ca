"""The eighth draw of sentences, written by somebody who had not seen the detector:
`python -m benchmarks.detectors --draw 8`.

At its first look (seed 80426113): announced phones 0.990 (it 0.84, ru 0.94, the other 22 languages 1.00), all other
kinds and forms 1.00, negatives 0.9750 of 4,000 (one Arabic sentence, a report closed after a call). The judge said
0.961, since parentheses around a whole number went with it; they stay now. Nothing else was changed.
"""

from benchmarks.drawn import Sentences

SENTENCES: dict[str, Sentences] = {
    "en": (
        ("Update for {name}:", "Depot {city} checking in."),
        (
            "Hi, just returning your call, I'm on {} now so try me there.",
            "Do not dial {} any more, that handset belongs to my ex-husband.",
            "Ph: {} / after hours only",
            "We tried to reach you by phone today ({}) but nobody picked up.",
        ),
        ("Logged for {name}.", "Back in {city} on Monday."),
        "Somebody had carved {} into the bench.",
    ),
    "de": (
        ("Info an {name}:", "Lager {city} meldet:"),
        (
            "Die Mailbox von {} ist voll, da kann man nichts mehr draufsprechen.",
            "Simsen Sie mir einfach, {}, ich lese das in der Pause.",
            "Wählen Sie {} und lassen Sie sich mit der Buchhaltung verbinden.",
            "Mobil privat: {}; nur in Notfällen.",
        ),
        ("Vermerkt für {name}.", "Montag wieder in {city}."),
        "Jemand hatte {} in die Bank geritzt.",
    ),
    "fr": (
        ("Point pour {name} :", "Le dépôt de {city} signale :"),
        (
            "On me harcèle depuis le {}, pouvez-vous bloquer ces appels ?",
            "Mon mari décroche plus facilement que moi, essayez le {}.",
            "Standard : {}, demander la comptabilité.",
            "Le SMS de validation est parti sur le {}, or j'ai changé d'opérateur.",
        ),
        ("Noté pour {name}.", "De retour à {city} lundi."),
        "Quelqu'un avait gravé {} sur le banc.",
    ),
    "es": (
        ("Aviso para {name}:", "El almacén de {city} informa:"),
        (
            "Su llamada se transferirá al {} en unos instantes.",
            "¿Sigue siendo el {} su teléfono de contacto?",
            "Wasap: {} (solo mensajes, no audios)",
            "Mi hijo no coge el fijo, pruebe con su móvil, que es el {}.",
        ),
        ("Anotado para {name}.", "El lunes vuelvo a {city}."),
        "Alguien había grabado {} en el banco del parque.",
    ),
    "pt": (
        ("Informação para {name}:", "O armazém de {city} informa:"),
        (
            "A ligação caiu, me chama de volta no {}.",
            "O {} só dá sinal de ocupado.",
            "Telem.: {}",
            "Prefiro que falem com a minha filha, que atende no {} a qualquer hora.",
        ),
        ("Apontado para {name}.", "Segunda volto a {city}."),
        "Alguém tinha gravado {} no banco do jardim.",
    ),
    "it": (
        ("Avviso per {name}:", "Il magazzino di {city} segnala:"),
        (
            "Ho trovato una chiamata persa dal {}, chi siete?",
            "Il contratto me lo mandi via fax, {}.",
            "Il {} non è più attivo, ora rispondo solo dal fisso.",
            "Rif. telefonico custode: {}",
        ),
        ("Annotato per {name}.", "Lunedì torno a {city}."),
        "Qualcuno aveva inciso {} sulla panchina.",
    ),
    "nl": (
        ("Update voor {name}:", "Magazijn {city} meldt:"),
        (
            "App me gerust op {}, dan stuur ik een foto.",
            "U wordt doorverbonden met {}, een ogenblik geduld.",
            "Tel.nr. werk: {}, niet voor reclame.",
            "Ik neem niet op als ik rijd, spreek dan even iets in op {}.",
        ),
        ("Genoteerd voor {name}.", "Maandag weer in {city}."),
        "Iemand had {} in het bankje gekerfd.",
    ),
    "pl": (
        ("Informacja, {name}:", "Magazyn {city} zgłasza:"),
        (
            "Oddzwaniałem, ale pod {} włącza się poczta głosowa.",
            "Tel./fax {}",
            "Kurier niech przedzwoni do żony, {}, ja będę w pracy.",
            "Kod autoryzacyjny poszedł esemesem na {}, proszę go podać.",
        ),
        ("Zanotowano: {name}.", "W poniedziałek wracam do: {city}."),
        "Ktoś wyrył {} na ławce.",
    ),
    "cs": (
        ("Informace: {name}.", "Sklad {city} hlásí:"),
        (
            "Volal mi někdo z {}, ale hned zavěsil.",
            "Vytočte {} a vyčkejte na spojení s operátorem.",
            "Nouzový kontakt: dcera, mobil {}.",
            "Smlouvu pošlete faxem na {}, originál přijde poštou.",
        ),
        ("Zaznamenáno: {name}.", "V pondělí zpět: {city}."),
        "Někdo vyryl {} do lavičky.",
    ),
    "da": (
        ("Opdatering til {name}:", "Lageret i {city} melder:"),
        (
            "Smid en sms på {} når pakken er lagt i skuret.",
            "Hun svarer ikke på {}, så jeg indtalte en besked på svareren.",
            "Tlf. arb.: {}",
            "Tast {} og bed om at blive stillet om til bogholderiet.",
        ),
        ("Noteret for {name}.", "Tilbage i {city} på mandag."),
        "Nogen havde ridset {} i bænken.",
    ),
    "no": (
        ("Oppdatering til {name}:", "Fra lageret i {city}:"),
        (
            "Send meg en tekstmelding på {}, jeg kan ikke prate i møter.",
            "Tapt anrop fra {} i går kveld, var det dere?",
            "Mob. jobb: {}",
            "Bestilte drosje og oppga {} som kontakttelefon.",
        ),
        ("Notert for {name}.", "Tilbake i {city} på mandag."),
        "Noen hadde risset {} inn i benken.",
    ),
    "sv": (
        ("Uppdatering till {name}:", "Lagret i {city} meddelar:"),
        (
            "Messa mig på {} så öppnar jag porten.",
            "Samtalet bröts, slå {} så fortsätter vi.",
            "Tfn arb. {}",
            "Hemtjänsten har jourtelefon dygnet runt, {}.",
        ),
        ("Noterat för {name}.", "Åter i {city} på måndag."),
        "Någon hade ristat in {} i bänken.",
    ),
    "fi": (
        ("Tiedoksi: {name}.", "Varasto {city} ilmoittaa:"),
        (
            "Laita tekstari {}, en voi puhua palaverissa.",
            "Soittopyyntö: {}, mieluiten ennen kello kahta.",
            "Matkapuh. {} (vaimo)",
            "Numerosta {} on soitettu minulle monta kertaa, kuka siellä on?",
        ),
        ("Merkitty muistiin: {name}.", "Maanantaina taas: {city}."),
        "Joku oli kaivertanut {} penkkiin.",
    ),
    "hu": (
        ("Tájékoztatás: {name}.", "A raktár jelenti, {city}:"),
        (
            "Dobjon egy SMS-t a {} számra, ha kész a kocsi.",
            "Mostantól átirányítom a hívásaimat, mégpedig ide: {}.",
            "Tel. (munkahely) {}",
            "Tárcsázza ezt: {}, a portán mindig felveszik.",
        ),
        ("Feljegyezve: {name}.", "Hétfőn újra itt: {city}."),
        "Valaki a padba véste, hogy {} és semmi mást.",
    ),
    "ro": (
        ("Informare pentru {name}:", "Depozitul din {city} anunță:"),
        (
            "Mi s-a furat telefonul, blocați cartela cu numărul {}.",
            "Am un apel pierdut de la {}, dumneavoastră ați fost?",
            "Tel. serviciu {}, interior contabilitate.",
            "Formați {} și cereți legătura cu dispeceratul.",
        ),
        ("Notat pentru {name}.", "Luni sunt înapoi în {city}."),
        "Cineva scrijelise {} pe bancă.",
    ),
    "tr": (
        ("Bilgi: {name}.", "Depo bildiriyor, {city}:"),
        (
            "Eski hattım kapandı, artık {} kullanıyorum, oradan arayın.",
            "Tel (iş): {}",
            "Bugün sizi aradık ama {} kapalıydı.",
            "Doğrulama kodu {} nolu telefona mesaj olarak gitti.",
        ),
        ("Kaydedildi: {name}.", "Pazartesi yine {city}."),
        "Birisi banka {} diye kazımıştı.",
    ),
    "el": (
        ("Ενημέρωση: {name}.", "Η αποθήκη ενημερώνει, {city}:"),
        (
            "Χάθηκε η κλήση, ξαναπάρτε με στο {}.",
            "Ο θυρωρός έχει πάντα πάνω του το κινητό, {}.",
            "Τηλ. εργασίας: {}",
            "Στείλε μήνυμα στο Viber, {}, δεν μπορώ να μιλήσω τώρα.",
        ),
        ("Σημειώθηκε: {name}.", "Τη Δευτέρα πάλι: {city}."),
        "Κάποιος είχε χαράξει {} στο παγκάκι.",
    ),
    "ru": (
        ("К сведению: {name}.", "Склад сообщает, {city}:"),
        (
            "Связь оборвалась, я сейчас на {}, наберите ещё раз.",
            "На {} сразу включается автоответчик.",
            "Тел. раб.: {}, добавочный в письме.",
            "Привяжите, пожалуйста, {} к личному кабинету, старую симку я потерял.",
        ),
        ("Записано: {name}.", "В понедельник снова {city}."),
        "Кто-то вырезал {} на скамейке.",
    ),
    "uk": (
        ("До відома: {name}.", "Склад повідомляє, {city}:"),
        (
            "Скиньте есемеску на {}, я на нараді.",
            "Пропущений виклик від {}, хто це був?",
            "Тел. роб.: {}",
            "Я змінила оператора, тож тепер набирайте {}.",
        ),
        ("Занотовано: {name}.", "У понеділок знову {city}."),
        "Хтось вирізав {} на лавці.",
    ),
    "ar": (
        ("للعلم: {name}.", "مستودع {city} يفيد:"),
        (
            "انقطع الخط، أعد الاتصال رجاء، {}.",
            "هاتف العمل: {}",
            "أوقفوا الشريحة ذات الرقم {} لأن الهاتف سُرق.",
            "الرقم {} مغلق أو خارج نطاق التغطية.",
        ),
        ("سُجل باسم {name}.", "الاثنين أعود إلى {city}."),
        "حفر أحدهم {} على المقعد.",
    ),
    "he": (
        ("לידיעת {name}:", "המחסן ב{city} מודיע:"),
        (
            "תעבירו את השיחה ל-{}, אני כבר לא בתורנות.",
            "טל' בעבודה: {}",
            "המספר {} אינו מחובר, כך אומרת ההקלטה.",
            "תסמסו לי ל-{}, אני בישיבה.",
        ),
        ("נרשם עבור {name}.", "ביום שני שוב ב{city}."),
        "מישהו חרט {} על הספסל.",
    ),
    "zh": (
        ("通知{name}:", "{city}仓库反馈:"),
        (
            "您拨打的{}已关机。",
            "验证码发到了{},可那张卡我早就停机了。",
            "办公电话:{},转财务。",
            "有个{}老是打骚扰电话给我。",
        ),
        ("已为{name}登记。", "周一回{city}。"),
        "有人在长椅上刻了{}就走了。",
    ),
    "ja": (
        ("{name}様への連絡事項:", "{city}倉庫より。"),
        (
            "電話が切れてしまいました、{}にかけ直していただけますか。",
            "勤務先TEL:{}",
            "{}は現在使われておりませんとアナウンスが流れます。",
            "日中は出られないので、{}の留守電に入れておいてください。",
        ),
        ("{name}様の件、記録済み。", "月曜に{city}へ戻ります。"),
        "誰かがベンチに{}と彫っていた。",
    ),
    "ko": (
        ("{name} 님께 전달:", "{city} 창고입니다."),
        (
            "인증번호 문자가 {}로 갔다는데 그건 이제 안 쓰는 폰이에요.",
            "직장 전화: {}",
            "{}은 없는 번호라고 안내 멘트가 나옵니다.",
            "방금 전화드렸던 사람인데요, {}으로 다시 걸어 주시면 됩니다.",
        ),
        ("{name} 님 앞으로 기록함.", "월요일에 {city} 복귀."),
        "누군가 벤치에 {}라고 새겨 놓았다.",
    ),
}

NEGATIVES = (
    "Pallet {d8} is short by {d3} units.",
    "Caller is disputing charge {d9}.",
    "Mortgage {d10} in arrears since {date}.",
    "Rang the customer, case {d8} can be closed.",
    "Firmware build {d10} flashed at {time}.",
    "Artikel {d8} nicht lieferbar.",
    "Telefonat zu Ticket {d9} dokumentiert.",
    "Mitgliedsnummer {d8} gesperrt.",
    "Réservation {d9} annulée après appel.",
    "Pièce {d8} en rupture.",
    "Avería {d9} abierta el {date}.",
    "Hablé con el cliente: reclamación {d8} resuelta.",
    "Chamado {d9} encerrado.",
    "Processo {d10} arquivado.",
    "Reclamo {d9} aperto, cliente da richiamare.",
    "Articolo {d8} esaurito.",
    "Storing {d8} is verholpen.",
    "Artikelnummer {d9} is niet op voorraad.",
    "Zgłoszenie {d9} zamknięte po rozmowie.",
    "Umowa {d10} wygasła.",
    "Smlouva {d9} končí {date}.",
    "Medlem {d8} er udmeldt.",
    "Varenummer {d9} er utsolgt.",
    "Artikel {d8} är slut i lager.",
    "Soitettu asiakkaalle, tapaus {d9} suljettu.",
    "A {d9} szerződés lejárt.",
    "Contractul {d9} expiră la {date}.",
    "Arıza kaydı {d9} kapatıldı.",
    "Η αίτηση {d9} εγκρίθηκε.",
    "По обращению {d9} клиенту позвонили.",
    "Звернення {d9} закрито після дзвінка.",
    "تم إغلاق البلاغ {d9} بعد الاتصال بالعميل",
    "תקלה {d9} טופלה",
    "工单{d10}已电话回访",
    "問い合わせ番号{d9}、対応完了",
    "민원 {d9} 통화 후 종결",
    "worker {d3} took {d8} us",
    "blob {hex32}, rev {d4}",
    "aisle {d2}-{d3}-{d4}",
    "lease {uuid} until {iso}",
)
