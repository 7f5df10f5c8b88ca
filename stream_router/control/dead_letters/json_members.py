"""A JSON object's members as the texts that stand there: what is written again has each number and blank as it came."""

from stream_router.envelope import BLANKS, SCANNER, behind


def member_texts(text: str) -> dict[str, str]:
    """The text of each member's value, by name; the last of two that are named alike. Raises ValueError for no object.

    RecursionError is a ValueError here too: it nests deeper than Python follows.
    """
    at = behind(BLANKS, text, 0)
    if text[at : at + 1] != "{":
        raise ValueError("is no JSON object")
    found: dict[str, str] = {}
    at = behind(BLANKS, text, at + 1)
    try:
        while text[at : at + 1] != "}":
            is_text = text[at : at + 1] == '"'
            name, at = SCANNER.raw_decode(text, at)
            at = behind(BLANKS, text, at)
            if text[at : at + 1] != ":" or not is_text:
                raise ValueError("is no JSON object")
            begin = behind(BLANKS, text, at + 1)
            _, end = SCANNER.raw_decode(text, begin)
            found[name] = text[begin:end]
            at = behind(BLANKS, text, end)
            if text[at : at + 1] == ",":
                at = behind(BLANKS, text, at + 1)
            elif text[at : at + 1] != "}":
                raise ValueError("is no JSON object")
    except RecursionError:
        raise ValueError("nests too deep") from None
    if text[at + 1 :].strip():
        raise ValueError("is more than a JSON object")
    return found
