"""A backend that knows only the proto files: generates its client from them, sends a command and reads it back.

Prints one JSON document, `{"sent": SendCommandResponse, "command": Command}`, with the field names and the enum words
of the proto files. Ends with 0 if the command ended in time, with 1 otherwise. Leaves out retries.
"""

import argparse
import importlib
import json
import os
import sys
import tempfile
import time

import grpc
from google.protobuf.json_format import MessageToDict
from grpc_tools import protoc

PROTO = "gateway/command/v1/command.proto"
TERMINAL = {
    "COMMAND_STATE_ACKNOWLEDGED",
    "COMMAND_STATE_FAILED",
    "COMMAND_STATE_EXPIRED",
    "COMMAND_STATE_CANCELLED",
}
POLL_S = 0.1


def generate(proto_folder, out):
    """Generates messages and stubs, and imports them."""
    # Google's own protos lie beside the compiler.
    include = os.path.join(os.path.dirname(protoc.__file__), "_proto")
    line = ["protoc", f"-I{proto_folder}", f"-I{include}", f"--python_out={out}", f"--grpc_python_out={out}", PROTO]
    if protoc.main(line) != 0:
        raise SystemExit(f"cannot compile {PROTO} in {proto_folder}")
    sys.path.insert(0, out)
    module = PROTO.removesuffix(".proto").replace("/", ".")
    return importlib.import_module(f"{module}_pb2"), importlib.import_module(f"{module}_pb2_grpc")


def as_dict(message):
    """A message with all its fields under their names in the proto file."""
    return MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


def run(args, out):
    """Sends the command, then reads it until it has ended or the time is over."""
    messages, stubs = generate(args.proto, out)
    with grpc.insecure_channel(args.address) as channel:
        service = stubs.CommandServiceStub(channel)
        sent = service.SendCommand(
            messages.SendCommandRequest(
                charge_point_id=args.charge_point,
                action=args.action,
                payload_json=args.payload,
                idempotency_key=args.idempotency_key,
            ),
            timeout=10,
            wait_for_ready=True,
        )
        until = time.monotonic() + args.wait
        while True:
            request = messages.GetCommandRequest(command_id=sent.command_id)
            command = as_dict(service.GetCommand(request, timeout=10).command)
            if command["state"] in TERMINAL or time.monotonic() >= until:
                break
            time.sleep(POLL_S)
    print(json.dumps({"sent": as_dict(sent), "command": command}), flush=True)
    return 0 if command["state"] in TERMINAL else 1


def main():
    """Reads the arguments and cleans up behind the generator."""
    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", required=True, help="a router's gRPC address, host:port")
    parser.add_argument("--charge-point", required=True)
    parser.add_argument("--action", default="TriggerMessage")
    parser.add_argument("--payload", default='{"requestedMessage":"Heartbeat"}')
    parser.add_argument("--idempotency-key", default="")
    parser.add_argument("--wait", type=float, default=30.0, help="seconds until it must have ended")
    parser.add_argument("--proto", default=os.path.join(here, "..", "..", "..", "proto"), help="the proto files")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as out:
        try:
            return run(args, out)
        except grpc.RpcError as error:
            print(json.dumps({"code": error.code().name, "message": error.details()}), flush=True)
            return 1


if __name__ == "__main__":
    sys.exit(main())
