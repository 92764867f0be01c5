"""A client of an inference server, by the protocol that Triton shares with others (KServe's, version 2).

As a program it asks from where it is started, which may be another network: `grpc HOST:PORT MODEL` and `http HOST:PORT
MODEL` send standard input to a model and write its answer to standard output, both as raw little-endian float32;
`get URL` fetches a page.
"""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from typing import Any, Literal

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from engine.environment import PROJECT_ROOT

Protocol = Literal["grpc", "http"]
SHAPE = (1, 3, 640, 640)
"""Of the one input; what comes back is as long as the model makes it."""

_TIMEOUT_S = 30
_LARGEST = 64 << 20

# The part of grpc_service.proto that a tensor in and a tensor out need: number, name, type of each field.
_TENSOR = {1: ("name", "string"), 2: ("datatype", "string"), 3: ("shape", "int64*")}
_MESSAGES = {
    "Tensor": _TENSOR,
    "ModelInferRequest": {1: ("model_name", "string"), 5: ("inputs", "Tensor*"), 7: ("raw_input_contents", "bytes*")},
    "ModelInferResponse": {
        1: ("model_name", "string"),
        5: ("outputs", "Tensor*"),
        6: ("raw_output_contents", "bytes*"),
    },
}


def infer(address: str, model: str, tensor: bytes, *, protocol: Protocol = "grpc") -> bytes:
    """The first output of ``model`` at ``address`` (HOST:PORT) for ``tensor``, both raw float32.

    Raises grpc.RpcError or OSError with the server's words when it refuses or cannot be reached.
    """
    return (_by_grpc if protocol == "grpc" else _by_http)(address, model, tensor)


def infer_from(pid: int, address: str, model: str, tensor: bytes, *, protocol: Protocol = "grpc") -> bytes:
    """The same from the network of the process ``pid``: from a host's first one, its cluster's services are reached.

    Raises OSError with the server's words.
    """
    return _from(pid, protocol, address, model, stdin=tensor)


def get_from(pid: int, url: str) -> bytes:
    """What ``url`` answers in the network of the process ``pid``. Raises OSError unless that is 200."""
    return _from(pid, "get", url)


def _from(pid: int, *arguments: str, stdin: bytes = b"") -> bytes:
    # Only the network is the other's: its file system has no client.
    command = ["nsenter", f"--target={pid}", "--net", sys.executable, "-m", "lab.inference.client", *arguments]
    done = subprocess.run(
        command, cwd=PROJECT_ROOT, input=stdin, capture_output=True, timeout=2 * _TIMEOUT_S, check=False
    )
    if done.returncode != 0:
        raise OSError(f"{' '.join(arguments)}: {done.stderr.decode().strip()[-2000:]}")
    return done.stdout


def _by_grpc(address: str, model: str, tensor: bytes) -> bytes:
    messages = _message_classes()
    asked = messages["ModelInferRequest"](
        model_name=model,
        inputs=[messages["Tensor"](name="input", datatype="FP32", shape=SHAPE)],
        raw_input_contents=[tensor],
    )
    with grpc.insecure_channel(address, options=[("grpc.max_receive_message_length", _LARGEST)]) as channel:
        call = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer",
            request_serializer=messages["ModelInferRequest"].SerializeToString,
            response_deserializer=messages["ModelInferResponse"].FromString,
        )
        answer: bytes = call(asked, timeout=_TIMEOUT_S, wait_for_ready=True).raw_output_contents[0]
        return answer


def _by_http(address: str, model: str, tensor: bytes) -> bytes:
    """The binary form: JSON that describes the tensors, and their bytes behind it."""
    binary = {"binary_data_size": len(tensor)}
    described = {"name": "input", "datatype": "FP32", "shape": SHAPE, "parameters": binary}
    head = json.dumps({"inputs": [described], "parameters": {"binary_data_output": True}}).encode()
    length = "Inference-Header-Content-Length"
    url = f"http://{address}/v2/models/{model}/infer"
    # Of any other type, the server would take the body for a form, and die of it (Triton 2.51).
    headers = {length: str(len(head)), "Content-Type": "application/octet-stream"}
    request = urllib.request.Request(url, data=head + tensor, headers=headers)
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
        content: bytes = answer.read()
        return content[int(answer.headers[length]) :]


def _message_classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="lab/inference.proto", package="inference", syntax="proto3")
    field = descriptor_pb2.FieldDescriptorProto
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, (title, kind) in fields.items():
            plain = kind.removesuffix("*")
            label = field.LABEL_REPEATED if kind.endswith("*") else field.LABEL_OPTIONAL
            if plain in _MESSAGES:
                message.field.add(
                    name=title, number=number, label=label, type=field.TYPE_MESSAGE, type_name=f".inference.{plain}"
                )
            else:
                message.field.add(name=title, number=number, label=label, type=getattr(field, f"TYPE_{plain.upper()}"))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = (pool.FindMessageTypeByName(f"inference.{name}") for name in _MESSAGES)
    return {each.name: message_factory.GetMessageClass(each) for each in found}


def _main(protocol: str, address: str, model: str = "") -> None:
    if protocol == "get":
        with urllib.request.urlopen(address, timeout=_TIMEOUT_S) as answer:
            content = answer.read()
    else:
        content = infer(address, model, sys.stdin.buffer.read(), protocol="http" if protocol == "http" else "grpc")
    sys.stdout.buffer.write(content)


if __name__ == "__main__":
    _main(*sys.argv[1:])
