"""Shared by every part, without network: the data between the stages, the envelope, the meaning of AWS's codes."""
