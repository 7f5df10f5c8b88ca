"""DynamoDB as far as a lease table takes it: PutItem without conditions, GetItem, and Scan, PAGE items at a time."""

from typing import Any

from tests.fakeaws.call import Call, Item, Refusal

PAGE = 25
"""A page that is smaller than AWS's 1 MB, so that readers have to turn it."""

KEY = "leaseKey"
Document = dict[str, Any]


class Tables:
    """The items by table and key. A table is there once it has an item."""

    def __init__(self) -> None:
        self._items: dict[str, dict[str, Document]] = {}

    def clear(self) -> None:
        """Forget all tables."""
        self._items.clear()

    def put(self, document: Document) -> Call:
        """PutItem."""
        row = document.get("Item") or {}
        key = str(row.get(KEY, {}).get("S") or "")
        name = str(document.get("TableName") or "")
        if not key or not name:
            return Call([], Refusal("ValidationException", f"The item has no key {KEY}."), name)
        item = Item(row, b"", 0)
        item.key = key
        return Call([item], None, name)

    def accept(self, call: Call) -> None:
        """Store what is put."""
        for item in call.items:
            self._items.setdefault(call.target, {})[item.key] = item.raw

    def get(self, document: Document) -> Call:
        """GetItem."""
        name = str(document.get("TableName") or "")
        if name not in self._items:
            return Call([], Refusal("ResourceNotFoundException", "Requested resource not found"), name)
        row = self._items[name].get(str((document.get("Key") or {}).get(KEY, {}).get("S")))
        return Call([], None, name, {"Item": row} if row else {})

    def scan(self, document: Document) -> Call:
        """Scan."""
        name = str(document.get("TableName") or "")
        if name not in self._items:
            return Call([], Refusal("ResourceNotFoundException", "Requested resource not found"), name)
        keys = sorted(self._items[name])
        after = (document.get("ExclusiveStartKey") or {}).get(KEY, {}).get("S", "")
        page = [key for key in keys if key > after][:PAGE]
        answer: Document = {"Items": [self._items[name][key] for key in page], "Count": len(page)}
        if page and page[-1] != keys[-1]:
            answer["LastEvaluatedKey"] = {KEY: {"S": page[-1]}}
        return Call([], None, name, answer)
