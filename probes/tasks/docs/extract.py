"""Documentation strings and error messages of one Python file, read with `ast`: the file is never
imported."""

import ast
import inspect
import re
import warnings
from pathlib import Path
from typing import Any

MAX_BODY_CHARS = 1200
"""Source text kept of a definition's body."""
MAX_DOCSTRING_CHARS = 20_000

_DEFINITION = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
# not indented: an indented directive is about one parameter
_DEPRECATED_DIRECTIVE = re.compile(
    r"^\.\. deprecated::|^[\[(*]*deprecated\W", re.IGNORECASE | re.MULTILINE
)

_DEPRECATING_NAME = re.compile(
    r"^(?!.*(arg|param|kw|posit|renam|default)).*deprecat", re.IGNORECASE
)


def extract_file(path: str | Path, package: str, file: str) -> list[dict[str, Any]]:
    """Rows of one file, in the order of its source. Each docstring is a row (`kind` module, class,
    function or method). Each literal error message is a row too: its `kind` is error, `docstring`
    is the message, and `qualname` the name of the exception.

    Args:
        path: where the file lies.
        package: top-level import name. It is copied into the rows.
        file: path relative to the folder that holds the package. It names the file in the rows and
            decides on its split.

    A file that is not UTF-8 or does not parse gives no rows: some packages ship templates and
    Python 2 examples."""
    try:
        source = Path(path).read_text(encoding="utf-8")
    except (UnicodeDecodeError, OSError):
        return []
    if '"""' not in source and "'''" not in source and "raise " not in source:
        return []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in other people's code
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return []
    module = file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    reader = _Reader(package, module, file, source.splitlines())
    reader.add(tree, kind="module", qualname="")
    reader.visit(tree, scope=(), in_class=False)
    return reader.rows


class _Reader:
    def __init__(self, package: str, module: str, file: str, lines: list[str]):
        self.place = {"package": package, "module": module, "file": file}
        self.lines = lines
        self.rows: list[dict[str, Any]] = []

    def visit(self, node: ast.AST, scope: tuple[str, ...], in_class: bool) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, _DEFINITION):
                is_class = isinstance(child, ast.ClassDef)
                kind = "class" if is_class else "method" if in_class else "function"
                inner = (*scope, child.name)
                self.add(child, kind, ".".join(inner))
                self.visit(child, inner, in_class=is_class)
            elif isinstance(child, ast.stmt | ast.excepthandler | ast.match_case):
                if isinstance(child, ast.Raise):
                    self.add_error(child)
                self.visit(child, scope, in_class)

    def add(self, node: Any, kind: str, qualname: str) -> None:
        raw = ast.get_docstring(node, clean=False)
        if not raw or not raw.strip():
            return
        docstring = inspect.cleandoc(raw)[:MAX_DOCSTRING_CHARS].encode("utf-8", "replace").decode()
        is_function = kind in ("function", "method")
        self.rows.append(
            {
                **self.place,
                "kind": kind,
                "qualname": qualname,
                "docstring": docstring,
                "deprecated": bool(_DEPRECATED_DIRECTIVE.search(docstring))
                or _has_deprecation_decorator(node),
                "returns_value": is_function and _returns_value(node),
                "body": self.body(node) if is_function else "",
            }
        )

    def body(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
        """The source lines after the docstring."""
        if len(node.body) < 2:
            return ""
        lines = self.lines[node.body[1].lineno - 1 : node.body[-1].end_lineno]
        return inspect.cleandoc("\n".join(["", *lines]))[:MAX_BODY_CHARS]

    def add_error(self, node: ast.Raise) -> None:
        call = node.exc
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.args):
            return
        message = _literal_text(call.args[0])
        if message:
            row = {"kind": "error", "qualname": call.func.id, "docstring": message}
            self.rows.append(
                {**self.place, **row, "deprecated": False, "returns_value": False, "body": ""}
            )


def _literal_text(node: ast.expr) -> str:
    """The text of a string literal, an f-string (holes become `{}`), a concatenation or a template
    of `%` or `.format`. Empty for other expressions."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        parts = (
            str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values
        )
        return "".join(parts)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod | ast.Add):
        left = _literal_text(node.left)
        return left + _literal_text(node.right) if isinstance(node.op, ast.Add) and left else left
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "format"
    ):
        return _literal_text(node.func.value)
    return ""


def _has_deprecation_decorator(node: Any) -> bool:
    decorators = (getattr(item, "func", item) for item in getattr(node, "decorator_list", ()))
    return any(_DEPRECATING_NAME.search(ast.unparse(decorator)) for decorator in decorators)


def _returns_value(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether the function itself (not one defined in it) has `return` with something other than
    None, or yields."""
    stack: list[ast.AST] = list(node.body)
    while stack:
        inner = stack.pop()
        if isinstance(inner, (*_DEFINITION, ast.Lambda)):
            continue
        if isinstance(inner, ast.Yield | ast.YieldFrom):
            return True
        is_none = (
            isinstance(inner, ast.Return)
            and isinstance(inner.value, ast.Constant)
            and inner.value.value is None
        )
        if isinstance(inner, ast.Return) and inner.value is not None and not is_none:
            return True
        stack.extend(ast.iter_child_nodes(inner))
    return False
