"""The fake AWS: a stand-in for AWS that enforces AWS's limits itself, breaks on request, and keeps a ledger.

Its idea of sizes and limits comes from botocore's models and AWS's text, never from the product, whose mistakes it
would share. It imports nothing of the product. `docs/fakeaws.md` says how to use it.
"""
