"""The orchestration: one thin Prefect flow a DVC stage. It moves paths and ids; the arithmetic is in arml.

Importing this package settles, before Prefect or a BLAS is imported, where Prefect keeps its files and that
neither tool sends anything anywhere.
"""

from __future__ import annotations

import os

from flows import layout

_SETTINGS = {
    "PREFECT_HOME": str(layout.PREFECT_HOME),
    # no telemetry of either tool
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DVC_NO_ANALYTICS": "1",
    # one declared server, never one embedded in a stage
    "PREFECT_SERVER_EPHEMERAL_ENABLED": "false",
    # a busy machine is not a broken one
    "PREFECT_API_REQUEST_TIMEOUT": "120",
    "PREFECT_API_DATABASE_TIMEOUT": "60",
    "PREFECT_API_DATABASE_CONNECTION_TIMEOUT": "60",
    # a server that has died is given up in a quarter of a minute a call, not in a whole one
    "PREFECT_CLIENT_MAX_RETRIES": "3",
    # records of tasks are JSON: nothing pickled is ever written or loaded
    "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",
    # its server keeps the log of failures; on the console one clear line is printed instead
    "PREFECT_LOGGING_LEVEL": "WARNING",
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "PREFECT_INTERNAL_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_CLI_PROMPT": "false",
}
for _name, _value in _SETTINGS.items():
    os.environ.setdefault(_name, _value)

# Prefect's client cannot speak SOCKS and ends where it is told to, even though its server is on this machine: it is
# not told to; git and DVC are (`flows.processes.commands.outer_environment`)
SOCKS = {
    name: os.environ.pop(name)
    for name in list(os.environ)
    if name.lower() in ("all_proxy", "http_proxy", "https_proxy") and os.environ[name].lower().startswith("socks")
}

# the server is on this machine: never ask a proxy for it
for _name in ("NO_PROXY", "no_proxy"):
    _hosts = [h for h in os.environ.get(_name, "").split(",") if h]
    os.environ[_name] = ",".join(dict.fromkeys([*_hosts, "127.0.0.1", "localhost"]))
