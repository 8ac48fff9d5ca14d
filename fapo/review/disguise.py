"""Texts as they would read without a disguise: reversed, shifted by 13 letters, in base64 or hexadecimal, in pieces."""

from __future__ import annotations

import ast
import base64
import binascii
import codecs
import re
from collections.abc import Iterator

from fapo.review.leaks import Passage

_ENCODED = re.compile(r"[A-Za-z0-9+/_-]{24,}={0,2}")
_HEX_BYTES = re.compile(r"(?:[0-9a-fA-F]{2}\s?){16,}")
_LOOK_ALIKES = str.maketrans(
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455\u0410\u0412\u0415\u041a\u041c\u041d\u041e\u0420\u0421"
    "\u0422\u0425\u03bf\u03b1\u03b5\u03b9\u03ba\u03bd\u03c1\u03c4\u03c5\u03c7",
    "aeopcyxijsABEKMHOPCTXoaeiknptux",
)
_SPELLED = re.compile(r"(?:\b\w\b[ .\-_*]){8,}\w\b")


def disguised(text: str) -> Iterator[Passage]:
    """What a text may stand for, with the line it is on; the whole of it counts as line 1."""
    plain = text.translate(_LOOK_ALIKES)
    if plain != text:
        yield Passage(plain, 1)
    yield Passage(codecs.encode(text, "rot13"), 1)
    yield Passage("\n".join(line[::-1] for line in text.splitlines()), 1)
    for match in _ENCODED.finditer(text):
        if (decoded := _from_base64(match.group())) is not None:
            yield Passage(decoded, _line(text, match.start()))
    for match in _HEX_BYTES.finditer(text):
        if (decoded := _from_hex(match.group())) is not None:
            yield Passage(decoded, _line(text, match.start()))
    for match in _SPELLED.finditer(text):
        letters = re.sub(r"[ .\-_*]{2,}", "\0", match.group())
        joined = re.sub(r"[ .\-_*]", "", letters).replace("\0", " ")
        yield Passage(joined, _line(text, match.start()))


def in_pieces(tree: ast.Module) -> Iterator[Passage]:
    """The texts of each list, tuple, set, mapping or call of a module, joined as its code may join them."""
    for node in ast.walk(tree):
        parts: list[ast.expr] = []
        if isinstance(node, ast.List | ast.Tuple | ast.Set):
            parts = list(node.elts)
        elif isinstance(node, ast.Dict):
            parts = list(node.values)
        elif isinstance(node, ast.Call):
            parts = list(node.args)
        elif isinstance(node, ast.JoinedStr):
            parts = list(node.values)
        texts = [part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)]
        if len(texts) > 1 and isinstance(node, ast.expr):
            yield Passage(" ".join(texts), node.lineno)
            yield Passage("".join(texts), node.lineno)


def _line(text: str, start: int) -> int:
    return text.count("\n", 0, start) + 1


def _from_base64(text: str) -> str | None:
    padded = text.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(padded + "=" * (-len(padded) % 4), validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None


def _from_hex(text: str) -> str | None:
    try:
        return bytes.fromhex("".join(text.split())).decode("utf-8")
    except (UnicodeDecodeError, ValueError):
        return None
