"""What teams write today: Starlette, the same HMAC check, one boto3 PutRecords a request on a thread pool.

Started by `benchmarks.receiver` with uvicorn; needs the extra `bench`.
"""

import hmac
import os

import anyio.to_thread
import boto3
from botocore.config import Config
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

KEY = os.environ["STREAM_ROUTER_WEBHOOK_SECRETS"].encode()
kinesis = boto3.client("kinesis", config=Config(max_pool_connections=50))


def _store(body: bytes) -> int:
    answer = kinesis.put_records(StreamName="cxone-events", Records=[{"Data": body, "PartitionKey": "k"}])
    return int(answer["FailedRecordCount"])


async def events(request: Request) -> JSONResponse:
    body = await request.body()
    expected = hmac.digest(KEY, body, "sha256").hex()
    if not hmac.compare_digest(expected, request.headers.get("x-signature", "")):
        return JSONResponse({"error": "bad_signature"}, 401)
    failed = await anyio.to_thread.run_sync(_store, body)
    return JSONResponse({"accepted": 1}, 503 if failed else 202)


app = Starlette(routes=[Route("/v1/events", events, methods=["POST"])])
