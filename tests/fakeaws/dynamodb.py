"""DynamoDB as far as a lease table takes it: PutItem, GetItem, and Scan, PAGE items at a time.

The one condition that PutItem knows is that the item is missing.
"""

from tests.fakeaws.call import Call, Document, Item, Operation, Service
from tests.fakeaws.http import Request
from tests.fakeaws.wire import Refusal, Wire

PAGE = 25
"""A page that is smaller than AWS's 1 MB, so that readers have to turn it."""

KEY = "leaseKey"
MISSING = f"attribute_not_exists({KEY})"


class DynamoDb(Service):
    """The items by table and key. A table is there once it has an item."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[str, dict[str, Document]] = {}
        self.page = PAGE

    def operations(self) -> dict[str, Operation]:
        form = Wire.JSON_1_0, "com.amazonaws.dynamodb.v20120810#"
        result = (
            Operation("PutItem", *form, self._read_put, self._put, lambda _: {}),
            Operation("GetItem", *form, self._get),
            Operation("Scan", *form, self._scan),
        )
        return {f"DynamoDB_20120810.{operation.name}": operation for operation in result}

    def _read_put(self, document: Document, _: Request) -> Call:
        row, name = document.get("Item") or {}, str(document.get("TableName") or "")
        key = _key_of(row)
        if self.is_missing(name):
            return _not_found(name)
        if not key or not name:
            return Call([], Refusal("ValidationException", f"The item has no key {KEY}."), name)
        if document.get("ConditionExpression") == MISSING and key in self.rows.get(name, {}):
            return Call([], Refusal("ConditionalCheckFailedException", "The conditional request failed"), name)
        return Call([Item(row, b"", 0, key=key)], None, name)

    def _put(self, call: Call) -> None:
        for item in call.items:
            self.rows.setdefault(call.target, {})[item.key] = item.raw

    def _get(self, document: Document, _: Request) -> Call:
        name = str(document.get("TableName") or "")
        if name not in self.rows or self.is_missing(name):
            return _not_found(name)
        key = _key_of(document.get("Key"))
        if not key:
            return Call([], Refusal("ValidationException", "The provided key element does not match the schema"), name)
        row = self.rows[name].get(key)
        return Call([], None, name, {"Item": row} if row else {})

    def _scan(self, document: Document, _: Request) -> Call:
        name = str(document.get("TableName") or "")
        if name not in self.rows or self.is_missing(name):
            return _not_found(name)
        keys, after = sorted(self.rows[name]), _key_of(document.get("ExclusiveStartKey"))
        page = [key for key in keys if key > after][: min(self.page, int(document.get("Limit", self.page)))]
        rows = [self.rows[name][key] for key in page]
        answer: Document = {"Items": rows, "Count": len(page), "ScannedCount": len(page)}
        if page and page[-1] != keys[-1]:
            answer["LastEvaluatedKey"] = {KEY: {"S": page[-1]}}
        return Call([], None, name, answer)

    def clear(self) -> None:
        self.rows.clear()


def _key_of(row: Document | None) -> str:
    return str((row or {}).get(KEY, {}).get("S", ""))


def _not_found(name: str) -> Call:
    return Call([], Refusal("ResourceNotFoundException", "Requested resource not found"), name)
