"""When two programs are one: the same syntax tree, whatever their comments, layout and docstrings."""

from __future__ import annotations

import ast
import hashlib
import warnings


def fingerprint(code: str) -> str | None:
    """A digest of the program's normalised syntax tree; ``None`` when it is not Python, and so equal to nothing."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a program's style is not the engine's concern
            module = ast.parse(code)
        for node in ast.walk(module):
            _drop_docstring(node)
        text = ast.dump(module, annotate_fields=False)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def _drop_docstring(node: ast.AST) -> None:
    if not isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return
    match node.body:
        case [ast.Expr(value=ast.Constant(value=str())), *rest]:
            node.body = rest
