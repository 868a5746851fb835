"""``bootd completion``: tab completion for the shell."""

import click


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of SHELL.

    bash: put  eval "$(bootd completion bash)"  into ~/.bashrc
    """
    from click.shell_completion import get_completion_class

    from bootd.cli.main import bootd

    found = get_completion_class(shell)
    assert found is not None  # click.Choice names only shells click knows
    click.echo(found(bootd, {}, "bootd", "_BOOTD_COMPLETE").source())
