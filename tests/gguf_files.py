"""GGUF files made byte by byte, right ones and lying ones."""

import struct


def gguf_string(text):
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def gguf(path, *, entries=(), tensors=(), version=3, counts=None, data=b""):
    num_tensors, num_entries = counts or (len(tensors), len(entries))
    raw = b"GGUF" + struct.pack("<IQQ", version, num_tensors, num_entries)
    raw += b"".join(entries) + b"".join(tensors)
    raw += b"\0" * (-len(raw) % 32)
    path.write_bytes(raw + data)
    return path


def text_entry(key, value):
    return gguf_string(key) + struct.pack("<I", 8) + gguf_string(value)


def number_entry(key, value):
    return gguf_string(key) + struct.pack("<II", 4, value)


def strings_entry(key, *values):
    head = gguf_string(key) + struct.pack("<IIQ", 9, 8, len(values))
    return head + b"".join(map(gguf_string, values))


def tensor_entry(name, shape, kind, offset):
    head = gguf_string(name) + struct.pack("<I", len(shape))
    return head + struct.pack(f"<{len(shape)}Q", *shape) + struct.pack("<IQ", kind, offset)


def small_gguf(path):
    return gguf(
        path,
        entries=[
            text_entry("general.architecture", "llama"),
            text_entry("general.license", "apache-2.0"),
            text_entry("tokenizer.chat_template", "{{ messages }}"),
            number_entry("llama.context_length", 2048),
            strings_entry("tokenizer.ggml.tokens", "a", "b", "c"),
        ],
        tensors=[tensor_entry("w", (32, 2), 3, 0), tensor_entry("n", (4,), 0, 64)],
        data=b"\0" * (64 + 16),
    )
