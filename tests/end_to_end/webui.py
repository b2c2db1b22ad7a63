"""The script behind ``make webui``: a real Open WebUI 0.12.4 with the built bundle, ready for a browser.

Without OPENROUTER_API_KEY the simulator plays OpenRouter, so that nothing is needed and nothing is paid. Chats and
settings stay under ``build/webui-data`` between runs. Here: the order of the steps. Not here: the steps themselves.
"""

import argparse
import contextlib
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import NoReturn

import venvs
import webui_host
import webui_setup

DATA_DIR = venvs.ROOT / "build" / "webui-data"
DEFAULT_PORT = 8080


def _port(wanted: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            other = webui_host.free_port()
            print(f"port {wanted} is taken, using {other}")
            return other
    return wanted


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def run(version: str, port: int, data_dir: Path) -> NoReturn:
    """Starts everything, prints how to reach it and stays until Ctrl-C or SIGTERM."""
    started = time.monotonic()
    bundle = webui_setup.bundle_text()
    venvs.ensure(version)
    key = os.environ.get("OPENROUTER_API_KEY", "")
    with contextlib.ExitStack() as stack:
        environment = {}
        if key:
            # Handed over in the environment, which the pipe reads, so that it is not stored under build/.
            environment["OPENROUTER_API_KEY"] = key
            valves = {}
            print("provider: OpenRouter, with the key of OPENROUTER_API_KEY (answers cost money)")
        else:
            provider = stack.enter_context(webui_setup.simulated_provider())
            valves = {"BASE_URL": provider.url, "API_KEY": webui_setup.SIMULATOR_KEY, **webui_setup.SIMULATOR_ICONS}
            print(f"provider: the simulator at {provider.url} (set OPENROUTER_API_KEY to use OpenRouter itself)")
        print(f"starting Open WebUI {version} (about 15 seconds) ...", flush=True)
        host = stack.enter_context(webui_host.WebUIHost(version, data_dir, port=_port(port), environment=environment))
        print(f"installing {venvs.BUNDLE.relative_to(venvs.ROOT)} ({len(bundle) // 1024} KiB) ...", flush=True)
        webui_setup.install_pipe(host, valves)
        models = host.model_ids()
        print(f"ready after {time.monotonic() - started:.0f} s with {len(models)} models\n")
        print(f"  address   {host.url}")
        print(f"  e-mail    {webui_host.ADMIN_EMAIL}")
        print(f"  password  {webui_host.ADMIN_PASSWORD}")
        print(f"  log       {host.log_path}\n")
        print("Ctrl-C stops it.", flush=True)
        while host.running:
            time.sleep(0.2)
        raise webui_host.HostError(f"Open WebUI ended by itself; its log is {host.log_path}")


def main(arguments: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        description="Start a real Open WebUI with the built pipe (dist/openrouter_pipe.py) and leave it running. "
        "Uses OpenRouter when OPENROUTER_API_KEY is set, the built-in simulator otherwise."
    )
    parser.add_argument(
        "--port", type=int, default=DEFAULT_PORT, help="loopback port to serve on (default %(default)s)"
    )
    parser.add_argument(
        "--version", default=venvs.MAIN_VERSION, choices=sorted(webui_host.PROFILES), help="Open WebUI version"
    )
    parser.add_argument(
        "--data", type=Path, default=DATA_DIR, help="where chats and settings are kept (default build/webui-data)"
    )
    options = parser.parse_args(arguments)
    # SIGTERM takes the way of Ctrl-C, so that the server is stopped with us.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        run(options.version, options.port, options.data)
    except KeyboardInterrupt:
        print("\nstopped")
        return 0
    except (webui_host.HostError, venvs.SetupError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    raise SystemExit(main())
