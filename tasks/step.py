"""What all steps share: a Prefect task that is not cached, not stored, and not retried.

The engine keeps its own records on disk, so a step that failed is found out there and not repeated blindly.
"""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE

step = task(cache_policy=NO_CACHE, persist_result=False, retries=0, log_prints=False)
"""Decorator: `@step` above a function makes it a task of its name."""
