"""Links to the Temporal Web UI, for the CLI, the logs and admins' answers."""

from dataclasses import dataclass
from urllib.parse import quote


@dataclass(frozen=True, slots=True)
class Pages:
    """Of one namespace; `ui` is the Web UI's base address (`TEMPORAL_UI_URL`)."""

    ui: str
    namespace: str

    def workflow(self, workflow_id: str, run_id: str | None = None) -> str:
        """The page of a workflow: of one run, or of the latest."""
        page = f"{self.ui}/namespaces/{quote(self.namespace, safe='')}/workflows/"
        page += quote(workflow_id, safe="")
        return f"{page}/{run_id}/history" if run_id else page

    def query(self, query: str) -> str:
        """The list of the workflows that a visibility query finds."""
        base = f"{self.ui}/namespaces/{quote(self.namespace, safe='')}/workflows"
        return f"{base}?query={quote(query, safe='')}"
