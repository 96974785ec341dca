"""A charge point on the PyPI library `ocpp`, unmodified, for the integration tests.

Connects, boots, beats every second, answers commands, reconnects with backoff, and prints a JSON line for each thing
that happens. Ends when its standard input does. Leaves out everything a real charger does with the power.
"""

import argparse
import asyncio
import datetime
import json
import logging
import random
import sys
import threading
from urllib.parse import quote

import websockets
from ocpp import v16, v21, v201
from ocpp.exceptions import OCPPError
from ocpp.routing import on

HEARTBEAT_S = 1.0
CALL_TIMEOUT_S = 10
BACKOFF_FIRST_S = 0.2
BACKOFF_CAP_S = 2.0


def emit(event, **fields):
    """Prints one thing that happened, as one line, at once."""
    print(json.dumps({"event": event, **fields}, separators=(",", ":")), flush=True)


def now():
    """The time as OCPP writes it."""
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def handler(action, name, respond):
    """A method that reports a command and answers it with what `respond` makes of its payload."""

    def handle(self, call_unique_id, **payload):
        emit("command", action=action, message_id=call_unique_id, payload=payload)
        return respond(payload)

    # The library finds its handlers by the names of the functions.
    handle.__name__ = name
    return on(action)(handle)


def charge_point(base, answers):
    """A class on the library's charge point that knows these answers, by the names of the actions."""
    methods = {f"on_{action}": handler(action, f"on_{action}", respond) for action, respond in answers.items()}
    return type("Charger", (base,), methods)


def charger_16():
    """OCPP 1.6."""
    result = v16.call_result
    keys = [{"key": "HeartbeatInterval", "readonly": False, "value": "1"}]
    return charge_point(
        v16.ChargePoint,
        {
            "RemoteStartTransaction": lambda _: result.RemoteStartTransaction(status="Accepted"),
            "RemoteStopTransaction": lambda _: result.RemoteStopTransaction(status="Accepted"),
            "Reset": lambda _: result.Reset(status="Accepted"),
            "ChangeConfiguration": lambda _: result.ChangeConfiguration(status="Accepted"),
            "GetConfiguration": lambda _: result.GetConfiguration(configuration_key=keys),
            "UnlockConnector": lambda _: result.UnlockConnector(status="Unlocked"),
            "TriggerMessage": lambda _: result.TriggerMessage(status="Accepted"),
        },
    )


def charger_2(version):
    """OCPP 2.0.1 and 2.1, whose messages are the same here."""
    result = version.call_result

    def get_variables(payload):
        asked = payload["get_variable_data"]
        found = [{**pick(item), "attribute_status": "Accepted", "attribute_value": "1"} for item in asked]
        return result.GetVariables(get_variable_result=found)

    def set_variables(payload):
        asked = payload["set_variable_data"]
        done = [{**pick(item), "attribute_status": "Accepted"} for item in asked]
        return result.SetVariables(set_variable_result=done)

    def pick(item):
        return {"component": item["component"], "variable": item["variable"]}

    return charge_point(
        version.ChargePoint,
        {
            "RequestStartTransaction": lambda _: result.RequestStartTransaction(status="Accepted"),
            "RequestStopTransaction": lambda _: result.RequestStopTransaction(status="Accepted"),
            "Reset": lambda _: result.Reset(status="Accepted"),
            "GetVariables": get_variables,
            "SetVariables": set_variables,
            "TriggerMessage": lambda _: result.TriggerMessage(status="Accepted"),
        },
    )


def boot_16():
    """The BootNotification of 1.6."""
    return v16.call.BootNotification(charge_point_vendor="Foreign", charge_point_model="Python")


def boot_2(version):
    """The BootNotification of 2.x."""
    station = {"vendor_name": "Foreign", "model": "Python"}
    return version.call.BootNotification(charging_station=station, reason="PowerUp")


def status_16():
    """The StatusNotification of 1.6."""
    return v16.call.StatusNotification(connector_id=1, error_code="NoError", status="Available")


def status_2(version):
    """The StatusNotification of 2.x."""
    return version.call.StatusNotification(
        timestamp=now(), connector_status="Available", evse_id=1, connector_id=1
    )


VERSIONS = {
    "1.6": ("ocpp1.6", charger_16(), boot_16, status_16, v16.call.Heartbeat),
    "2.0.1": ("ocpp2.0.1", charger_2(v201), lambda: boot_2(v201), lambda: status_2(v201), v201.call.Heartbeat),
    "2.1": ("ocpp2.1", charger_2(v21), lambda: boot_2(v21), lambda: status_2(v21), v21.call.Heartbeat),
}


class Charger:
    """One charge point across its connections."""

    def __init__(self, url, identity, version):
        self.url = f"{url.rstrip('/')}/{quote(identity, safe='')}"
        self.identity = identity
        self.subprotocol, self.base, self.boot_call, self.status_call, self.heartbeat_call = VERSIONS[version]
        self.booted = False
        self.backoff = BACKOFF_FIRST_S

    async def run(self):
        """Connects again and again, until cancelled."""
        while True:
            try:
                await self.connection()
            except (OSError, asyncio.TimeoutError, websockets.exceptions.WebSocketException) as error:
                emit("disconnected", reason=f"{type(error).__name__}: {error}")
            await asyncio.sleep(self.backoff * random.uniform(0.5, 1.0))
            self.backoff = min(self.backoff * 2, BACKOFF_CAP_S)

    async def connection(self):
        """One connection from the handshake to its end, which is an exception."""
        async with websockets.connect(
            self.url, subprotocols=[self.subprotocol], open_timeout=5, close_timeout=1, ping_interval=5, ping_timeout=5
        ) as socket:
            if socket.subprotocol != self.subprotocol:
                raise ConnectionError(f"the server chose {socket.subprotocol}")
            emit("connected", subprotocol=socket.subprotocol)
            charger = self.base(self.identity, socket, CALL_TIMEOUT_S)
            tasks = [asyncio.create_task(charger.start()), asyncio.create_task(self.talk(charger))]
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def talk(self, charger):
        """What the charger says by itself: boots once in its life, then status and heartbeats."""
        while not self.booted:
            await self.boot(charger)
        if await self.call(charger, self.status_call()) is not None:
            emit("status_notified")
        while True:
            answer = await self.call(charger, self.heartbeat_call())
            if answer is not None:
                # A connection that works ends the backoff; one that only opens does not.
                self.backoff = BACKOFF_FIRST_S
                emit("heartbeat", current_time=answer.current_time)
            await asyncio.sleep(HEARTBEAT_S)

    async def boot(self, charger):
        """One BootNotification; waits as told if it is not accepted."""
        answer = await self.call(charger, self.boot_call())
        if answer is not None and answer.status == "Accepted":
            self.booted = True
            emit("boot_accepted", interval=answer.interval)
            return
        if answer is not None:
            emit("boot_" + answer.status.lower(), interval=answer.interval)
        await asyncio.sleep(min(answer.interval, 5) if answer is not None and answer.interval else HEARTBEAT_S)

    async def call(self, charger, payload):
        """Calls and returns the answer, or reports why there is none."""
        action = type(payload).__name__
        try:
            return await charger.call(payload, suppress=False)
        except (OCPPError, asyncio.TimeoutError) as error:
            emit("call_failed", action=action, reason=f"{type(error).__name__}: {error}")
            return None


async def main():
    """Runs the charger until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True, help="where to connect, without the identity: ws://127.0.0.1:8080/")
    parser.add_argument("--id", required=True, help="the charge point's identity")
    parser.add_argument("--version", required=True, choices=sorted(VERSIONS))
    args = parser.parse_args()
    # The library logs each message; standard output belongs to the events.
    logging.basicConfig(stream=sys.stderr, level=logging.ERROR)

    ended = asyncio.Event()
    loop = asyncio.get_running_loop()

    def wait_for_end():
        sys.stdin.buffer.read()
        loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=wait_for_end, daemon=True).start()
    charger = asyncio.create_task(Charger(args.url, args.id, args.version).run())
    end = asyncio.create_task(ended.wait())
    await asyncio.wait([charger, end], return_when=asyncio.FIRST_COMPLETED)
    if charger.done():
        charger.result()
    charger.cancel()
    await asyncio.gather(charger, return_exceptions=True)
    emit("stopped")


if __name__ == "__main__":
    asyncio.run(main())
