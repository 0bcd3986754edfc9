"""The command line: parses, calls the public API, prints. Nothing heavy is imported before it is needed."""

import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

DESCRIPTION = "Diffusion reinforcement learning for communication networks."


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command, and exit: 0 done, 1 failed or no longer read, 2 refused, 130 stopped by Ctrl-C with all saved.

    Args:
        argv: the words after `netdiffuse`; by default those of the process.
    """
    code: str | int | None
    try:
        try:
            with _warnings_in_a_line():
                code = _run(sys.argv[1:] if argv is None else argv)
        except SystemExit as end:  # after --help, or words that are no command
            code = end.code
        print(end="", flush=True)  # what cannot be written is to fail here, not when Python ends
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:  # as with `| head -1`: the reader has had enough, and nobody needs to be told
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    sys.exit(code)


@contextmanager
def _warnings_in_a_line() -> Iterator[None]:
    """Print what netdiffuse warns of without the line of code that it comes from, which tells a user nothing.

    Warnings of anybody else stay as they are.
    """
    from netdiffuse.common.errors import NetdiffuseWarning

    usual = warnings.formatwarning

    def formatted(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
    ) -> str:
        if issubclass(category, NetdiffuseWarning):
            return f"warning: {message}\n"
        return usual(message, category, filename, lineno, line)

    warnings.formatwarning = formatted
    try:
        yield
    finally:
        warnings.formatwarning = usual


def _run(words: Sequence[str]) -> int:
    import tyro

    from netdiffuse.cli.arguments import NUMBERS
    from netdiffuse.cli.compare import compare
    from netdiffuse.cli.decide import decide
    from netdiffuse.cli.denoise import COMMANDS as DENOISE
    from netdiffuse.cli.denoise import denoise
    from netdiffuse.cli.doctor import doctor
    from netdiffuse.cli.evaluate import evaluate
    from netdiffuse.cli.lists import algorithms, problems
    from netdiffuse.cli.plot import plot
    from netdiffuse.cli.studio import studio
    from netdiffuse.cli.train import train
    from netdiffuse.cli.users import COMMANDS as USERS
    from netdiffuse.cli.users import users
    from netdiffuse.common.errors import NetdiffuseError, out_of_memory

    commands: dict[str, Callable[..., int]] = {
        "train": train,
        "evaluate": evaluate,
        "compare": compare,
        "plot": plot,
        "decide": decide,
        "denoise": denoise,
        "users": users,
        "studio": studio,
        "problems": problems,
        "algorithms": algorithms,
        "doctor": doctor,
    }
    prog, description = "netdiffuse", DESCRIPTION
    for name, group, own in (("denoise", denoise, DENOISE), ("users", users, USERS)):
        if words[:1] == [name]:
            prog, description, commands, words = f"netdiffuse {name}", str(group.__doc__), own, words[1:]
            break
    try:
        with NUMBERS:
            code: int = tyro.extras.subcommand_cli_from_dict(
                commands,
                prog=prog,
                description=description,
                args=words,
                config=(tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff),
            )
        return code or 0
    except NetdiffuseError as error:
        print(f"error: {error}", file=sys.stderr)
    except BrokenPipeError:
        raise
    except OSError as error:  # no permission, no space, a file where a folder should be
        print(f"error: {error.strerror or error}: {error.filename or 'writing or reading'}", file=sys.stderr)
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        reason = str(error).splitlines()[0] if str(error) else "it is used up"
        print(f"error: not enough memory, ask for less: {reason}", file=sys.stderr)
    return 2
