"""The command line: parses, calls the public API, prints. Nothing heavy is imported before it is needed."""

import sys
from collections.abc import Callable, Sequence

DESCRIPTION = "Diffusion reinforcement learning for communication networks."


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command, and exit: 0 done, 2 refused, 130 stopped by Ctrl-C with everything saved.

    Args:
        argv: the words after `netdiffuse`; by default those of the process.
    """
    import tyro

    from netdiffuse.cli.compare import compare
    from netdiffuse.cli.decide import decide
    from netdiffuse.cli.doctor import doctor
    from netdiffuse.cli.evaluate import evaluate
    from netdiffuse.cli.lists import algorithms, problems
    from netdiffuse.cli.plot import plot
    from netdiffuse.cli.train import train
    from netdiffuse.common.errors import NetdiffuseError

    commands: dict[str, Callable[..., int]] = {
        "train": train,
        "evaluate": evaluate,
        "compare": compare,
        "plot": plot,
        "decide": decide,
        "problems": problems,
        "algorithms": algorithms,
        "doctor": doctor,
    }
    try:
        code: int = tyro.extras.subcommand_cli_from_dict(
            commands,
            prog="netdiffuse",
            description=DESCRIPTION,
            args=sys.argv[1:] if argv is None else argv,
            config=(tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff),
        )
    except NetdiffuseError as error:
        print(f"error: {error}", file=sys.stderr)
        code = 2
    except OSError as error:  # no permission, no space, a file where a folder should be
        print(f"error: {error.strerror or error}: {error.filename or 'writing or reading'}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        code = 130
    sys.exit(code or 0)
