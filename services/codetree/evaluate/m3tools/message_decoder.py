"""Tools of M3ToolEval's message_decoder family, written anew from their described behaviour."""

from __future__ import annotations

_ALPHABET = 26


def convert_hex_to_ascii(hex_string: str) -> str:
    """Converts a hexadecimal string to ASCII. Arguments: hex_string (str)."""
    return bytes.fromhex(hex_string).decode()


def reverse_string(string: str) -> str:
    """Reverses a string. Arguments: string (str)."""
    return string[::-1]


def caesar_decode(message: str, shift: int) -> str:
    """Decodes a string using the Caesar cipher. Arguments: message (str), shift (int)."""
    return "".join(_shifted(letter, int(shift)) for letter in message)


def _shifted(letter: str, shift: int) -> str:
    if not (letter.isascii() and letter.isalpha()):
        return letter
    first = ord("A") if letter.isupper() else ord("a")
    return chr((ord(letter) - first - shift) % _ALPHABET + first)


def string_length(string: str) -> int:
    """Finds the length of a string. Arguments: string (str)."""
    return len(string)


def minimum_value(*args: float) -> float:
    """Finds the minimum value from given arguments. Arguments: *args (variable number of arguments)."""
    return min(args)


def maximum_value(*args: float) -> float:
    """Finds the maximum value from given arguments. Arguments: *args (variable number of arguments)."""
    return max(args)
