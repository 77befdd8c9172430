"""`dafsn query`: the command `dafsn-client query`, beside the others."""

import typer
from typer.core import TyperCommand

from dafsn_tf.errors import ServingError


class PassedOn(TyperCommand):
    """A command whose arguments, `--help` too, are read by what it calls."""

    def parse_args(self, ctx, args):
        ctx.args = list(args)
        return ctx.args


def query(context: typer.Context) -> None:
    """Search pictures with a text, texts with a picture, or compare a text with a picture."""
    from dafsn_client import ClientError
    from dafsn_client.command.main import run

    try:
        code = run(["query", *context.args], "dafsn")
    except ClientError as error:
        raise ServingError(str(error)) from error
    raise typer.Exit(code)
