"""Help texts as they are laid out: no word broken in two, at 80 columns or fewer."""

from __future__ import annotations

from typing import Any

from typer.core import TyperArgument, TyperCommand


class Command(TyperCommand):
    """A command whose usage line reads `onnxpool rewrite [OPTIONS] IN... OUT`."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        return ["[OPTIONS]", *(_usage(a) for a in self.params if isinstance(a, TyperArgument))]

    def get_short_help_str(self, limit: int = 0) -> str:
        """The first line of the docstring, which is short enough to stand there whole."""
        return (self.help or "").partition("\n")[0]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        arguments = [a for a in self.params if isinstance(a, TyperArgument)]
        options = [p for p in self.get_params(ctx) if p not in arguments]
        for title, rows in (
            ("Arguments", [(_name(a), a.help or "") for a in arguments]),
            ("Options", [r for r in (p.get_help_record(ctx) for p in options) if r]),
        ):
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows, col_max=24)


def _name(argument: TyperArgument) -> str:
    return argument.metavar or str(argument.name)


def _usage(argument: TyperArgument) -> str:
    return _name(argument) if argument.required else f"[{_name(argument)}]"
