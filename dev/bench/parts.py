"""Which part of the service a profile's samples belong to.

A sample is a stack as py-spy writes it: frames from the outermost to the innermost, separated by
`;`, and at the end the number of samples.
"""

import re
from collections import Counter
from collections.abc import Iterable

# A stack belongs to the first of these of which it has a frame, at any depth.
_WHOLE = {
    "logging": r"\(structlog/|\(logging/|\(logs\.py|\(telemetry/printable",
    "metrics": r"\(opentelemetry/(sdk/)?metrics|\(telemetry/(metrics|operations|call_times|requ)",
    "tracing": r"\(opentelemetry/|\(telemetry/tracing",
    "conversion": r"\(temporalio/(converter|contrib/pydantic)|\(workflows/payloads",
}
# Otherwise the innermost frame that one of these knows decides.
_INNERMOST = {
    "validation": r"\(pydantic|\(models/",
    "Beanie": r"\(beanie/|\(lazy_model/",
    "MongoDB driver": r"\(pymongo/|\(bson/",
    "Redis driver": r"\(redis/",
    "Kafka driver": r"\(aiokafka/",
    "inventory client": r"\(aiohttp/|\(yarl/|\(adapters/inventory",
    "adapters": r"\(adapters/",
    "step": r"\(activities/|\(temporalio/worker/_activity|\(temporalio/activity",
    "activation": r"\(workflows/|\(temporalio/worker/_workflow|\(temporalio/workflow",
    "Temporal client": r"\(temporalio/",
    "authentication": r"\(jwt/|\(api/auth/|\(cryptography/",
    "routes": r"\(api/",
    "HTTP server": r"\(uvicorn/|\(starlette/|\(fastapi/|httptools",
    "event loop": r"\(asyncio/|uvloop",
}
PARTS = (*_WHOLE, *_INNERMOST, "other")
_SITE_PACKAGES = re.compile(r"\([^()]*?site-packages/")


def part_of(stack: str) -> str:
    """The part of one stack, without its number of samples."""
    stack = _SITE_PACKAGES.sub("(", stack)
    for part, pattern in _WHOLE.items():
        if re.search(pattern, stack):
            return part
    for frame in reversed(stack.split(";")):
        for part, pattern in _INNERMOST.items():
            if re.search(pattern, frame):
                return part
    return "other"


def samples_by_part(lines: Iterable[str]) -> Counter[str]:
    """The number of samples of each part."""
    parts: Counter[str] = Counter()
    for line in lines:
        stack, _, count = line.rpartition(" ")
        parts[part_of(stack)] += int(count)
    return parts
