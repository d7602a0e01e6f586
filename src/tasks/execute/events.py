"""Tells inv-tui how a run goes: one JSON line for each thing that happens.

Only names of tasks and counts are written, never results, so nothing that no_log hides gets out.
"""

import json
import os

from ansible.plugins.callback import CallbackBase


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "inv_tui_events"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self):
        super().__init__()
        path = os.environ.get("INV_TUI_EVENTS")
        self._file = open(path, "a", encoding="utf-8", buffering=1) if path else None

    def _tell(self, **event):
        if self._file is not None:
            self._file.write(json.dumps(event) + "\n")

    def v2_playbook_on_task_start(self, task, is_conditional):
        self._tell(task=task.get_name().strip()[:200])

    def v2_playbook_on_handler_task_start(self, task):
        self._tell(task=task.get_name().strip()[:200])

    def v2_runner_on_ok(self, result):
        self._tell(ok=1, changed=int(bool(result._result.get("changed", False))))

    def v2_runner_on_failed(self, result, ignore_errors=False):
        if ignore_errors:
            self._tell(ok=1)
        else:
            self._tell(failed=1)

    def v2_runner_on_unreachable(self, result):
        self._tell(unreachable=1)

    def v2_playbook_on_stats(self, stats):
        total = {"ok": 0, "changed": 0, "failures": 0, "unreachable": 0}
        for host in stats.processed:
            summary = stats.summarize(host)
            for key in total:
                total[key] += summary.get(key, 0)
        self._tell(end=total)
