"""The command line: `videolavit COMMAND ...`, one command per task.

A command is a module of `videolavit.commands` with a docstring (its help, examples included), a `Config` dataclass (its
options, read by tyro, or by the module's own `parse` where they depend on one another) and `run(config) -> exit code`.
Adding one takes that module and one line of `COMMANDS`, or in another package an entry point of the group
`videolavit.commands` (docs/extending.md). Only the module that was asked for is imported, and each
imports torch no earlier than it computes, so that help is instant.
"""

from __future__ import annotations

import importlib
import io
import keyword
import logging
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType, ModuleType

from videolavit import __version__
from videolavit.commands._shared.folders import remove_empty_folders
from videolavit.errors import ConfigError, VideoLaVITError

__all__ = ["COMMANDS", "main", "module_name"]

COMMANDS = {
    "image": "generate an image from a text",
    "video": "generate a video from a text",
    "animate": "bring an image to life",
    "continue": "generate what happens next in a video",
    "redraw": "generate one clip of a story anew",
    "answer": "answer questions about images and videos",
    "remember": "read a long video into a memory, to ask about it",
    "chat": "talk about images and videos in the terminal",
    "tokenize": "an image or a video to tokens, as text",
    "detokenize": "tokens to an image or a video",
    "edit": "reverse, slow, hurry, stop or steady a video; with a model, give it other motion",
    "cuts": "find the cuts of a video, and export its shots",
    "motion": "how a video moves, as numbers and as arrows over the video",
    "search": "find and sort clips of a folder by how they move",
    "info": "what a video or image file holds, and what it was made from",
    "decompose": "videos to keyframes and motion: images, arrays and metadata",
    "reconstruct": "a video to tokens and back, to see and to measure what they keep",
    "convert": "a checkpoint from the released layout to this project's, or back",
    "prepare": "data to train on: rendered videos, your own, a text tokenizer, token shards",
    "data": "check, count and merge prepared data",
    "finetune": "your own videos to a model of your own, in one go",
    "assemble": "exports of training and parts of models to one model",
    "train": "one stage of training, resumed where it stopped",
    "evaluate": "how well a model does, with 95 % intervals",
    "serve": "answer, generate and edit for others by HTTP, in the shape of OpenAI's API",
    "demo": "a page in the browser on which tokens and motion can be seen and touched",
    "doctor": "what is installed, what a checkpoint can do, and how much memory that takes",
}
"""Name of each command, and what it does in one line."""

OK, SOME_FAILED, BAD_USAGE, INTERRUPTED = 0, 1, 2, 130

END_SIGNALS = ("SIGTERM", "SIGHUP")
"""Signals that end a command; what it began to write is removed before. Some systems have not all of them."""

HAVE_QUIET = ("train",)
"""Commands with a `--quiet` of their own, which is about bars alone."""

HELP = """\
usage: videolavit COMMAND ...
       videolavit COMMAND --help
       videolavit --version

One language model that reads and writes text, images and video.

commands:
{commands}

examples:
  videolavit video "a red circle moves right" -o circle.mp4
  videolavit answer "Which way does it move?" --video circle.mp4
  videolavit reconstruct video.mp4 -o again.mp4
  videolavit COMMAND --help

A name that begins with a dash goes after --, or is written ./-name.

options of every command:
  --threads N  compute with N threads of the CPU; by default OMP_NUM_THREADS, or one per core
  -q, --quiet  print results alone: no progress, no lines about what was written, no warnings
  --debug      show the traceback of an error; so does VIDEOLAVIT_DEBUG=1 in the environment

exit codes: 0 all is well; 1 some input failed, or something unexpected happened; 2 the
command line makes no sense; 130 interrupted; 143 ended by SIGTERM, 129 by SIGHUP.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code; never lets an exception through."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments or os.environ.get("VIDEOLAVIT_DEBUG", "") not in ("", "0")
    _replace_closed_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files need not be text
    logging.basicConfig(level=logging.WARNING, handlers=[_log_handler()])
    if not debug:
        _silence_libraries()
    try:
        with _ended_in_order():
            return _flushed(_run(_without_common_options(arguments)))
    except KeyboardInterrupt:
        _say("interrupted")
        return INTERRUPTED
    except _Ended as end:
        _say(f"ended by {end.signal.name}")
        return 128 + end.signal
    except BrokenPipeError:  # whoever read our output, `head` perhaps, has seen enough
        _drop_stdout()
        return OK
    except BaseException as error:  # torch has errors that are no `Exception`
        return _explain(error, debug)
    finally:
        remove_empty_folders()


class _Ended(BaseException):
    """A signal told the process to end; no `Exception`, so that nothing takes it for a fault and goes on."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.signal = signal.Signals(number)


@contextmanager
def _ended_in_order() -> Iterator[None]:
    """Let signals that end the process raise `_Ended`: by itself it would end at once, and leave half files.

    A signal that is ignored, as `nohup` has it, or that the caller handles stays as it is.
    """
    before: list[signal.Signals] = []
    if threading.current_thread() is threading.main_thread():
        numbers = [signal.Signals[name] for name in END_SIGNALS if hasattr(signal, name)]
        before = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]

    def end(number: int, frame: FrameType | None) -> None:
        for each in before:
            signal.signal(each, signal.SIG_IGN)  # a second one would stop the tidying up
        raise _Ended(number)

    for number in before:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in before:
            signal.signal(number, signal.SIG_DFL)


def _flushed(code: int) -> int:
    """The exit code, once all that was printed has left: at its end Python would tell what fails by a code of its own.

    Raises:
        OSError: nobody reads stdout any more, or its disk is full.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        try:
            sys.stdout.flush()
        except OSError:
            _drop_stdout()
            raise
    return code


def _replace_closed_streams() -> None:
    """Let what goes to a closed stream go nowhere: `print` would put messages for a closed stderr among the results."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115


def _drop_stdout() -> None:
    """Let what stdout still holds, and what follows, go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _silence_libraries() -> None:
    """Keep off the screen what libraries tell programmers; `--debug` and `python -W` show it."""
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    for library in ("DIFFUSERS", "TRANSFORMERS"):
        os.environ.setdefault(f"{library}_VERBOSITY", "error")


def _without_common_options(arguments: list[str]) -> list[str]:
    """Do what the options say that every command has, and return the others.

    Raises:
        ConfigError: --threads is not followed by a number of at least 1.
    """
    from videolavit.commands._shared.console import be_quiet
    from videolavit.commands._shared.threads import calm_threads, take_threads

    own = arguments[: arguments.index("--")] if "--" in arguments else arguments
    behind = arguments[len(own) :]
    own, threads = take_threads(own)
    calm_threads(threads)
    quiet = "-q" in own or ("--quiet" in own and own[0] not in HAVE_QUIET)
    be_quiet(quiet)
    logging.getLogger().setLevel(logging.ERROR if quiet else logging.WARNING)
    taken = {"--debug", "-q"} | (set() if own and own[0] in HAVE_QUIET else {"--quiet"})
    return [argument for argument in own if argument not in taken] + behind


def module_name(command: str) -> str:
    """Module of a command: Python takes none by one of its own words, such as `continue`."""
    return f"videolavit.commands.{command}{'_' if keyword.iskeyword(command) else ''}"


def _run(arguments: list[str]) -> int:
    if arguments[:1] == ["help"] and len(arguments) == 2:
        arguments = [arguments[1], "--help"]
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        shown = {**_added_commands(), **COMMANDS}
        lines = (f"  {name:12} {shown[name]}" for name in dict.fromkeys([*COMMANDS, *shown]))
        print(HELP.format(commands="\n".join(lines)), end="")
        return OK if arguments else BAD_USAGE
    if arguments[0] == "--version":
        print(f"videolavit {__version__}")
        return OK
    name, *rest = arguments
    if name.startswith("-") and (named := next((one for one in rest if one in COMMANDS), None)):
        raise ConfigError(f"options go behind the command; write: videolavit {named} ... {name}")
    try:
        command = _command(name)
        return command.run(_parse(name, command, rest))
    except SystemExit as stop:  # argument parsing stops this way, after --help too
        return stop.code if isinstance(stop.code, int) else BAD_USAGE


def _parse(name: str, command: ModuleType, arguments: list[str]) -> object:
    from videolavit.commands._shared.arguments import option_names, parse_arguments, quiet_parse
    from videolavit.commands._shared.command_words import speak_for

    asked = arguments[: arguments.index("--")] if "--" in arguments else arguments
    if {"-h", "--help"} & set(asked):
        print(f"\n{(command.__doc__ or '').strip()}\n")  # tyro would join its lines
    if hasattr(command, "parse"):  # its options depend on its arguments
        speak_for([])
        return quiet_parse(lambda: command.parse(arguments), name=name, arguments=arguments)
    speak_for(option_names(command.Config))
    return parse_arguments(name, command.Config, arguments)


def _command(name: str) -> ModuleType:
    """Module of a command, of this package or of another one.

    Raises:
        ConfigError: there is no such command, or another package's cannot be imported.
    """
    if name in COMMANDS:
        return importlib.import_module(module_name(name))
    import difflib

    from videolavit.plugins import COMMANDS as GROUP
    from videolavit.plugins import load_plugin, plugins

    added = plugins(GROUP)
    if name in added:
        return load_plugin(added[name], "command")
    close = difflib.get_close_matches(name, [*COMMANDS, *added], n=1)
    hint = f"did you mean {close[0]}?" if close else f"commands are {', '.join([*COMMANDS, *added])}"
    raise ConfigError(f"no command {name!r}; {hint}")


def _added_commands() -> dict[str, str]:
    """Names of the commands that other packages add, each with the package; none of them is imported."""
    from videolavit.plugins import COMMANDS as GROUP
    from videolavit.plugins import plugins

    return {
        name: f"of the package {point.dist.name}" if point.dist else point.value
        for name, point in plugins(GROUP).items()
    }


def _explain(error: BaseException, debug: bool) -> int:
    """Say on stderr what went wrong, in one message, and return the exit code."""
    if debug:
        traceback.print_exception(error)
    if isinstance(error, VideoLaVITError | OSError | MemoryError):
        from videolavit.commands._shared.command_words import spoken

        _say(f"error: {spoken(error) or type(error).__name__}")
        return BAD_USAGE if isinstance(error, ConfigError) else SOME_FAILED
    _say(f"unexpected {type(error).__name__}: {error}")
    if not debug:
        _say("this is a fault in videolavit or a library under it; the same command with --debug shows where")
    return SOME_FAILED


def _log_handler() -> logging.Handler:
    """Warnings of the library on stderr, each as one line that says who speaks."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("videolavit: %(levelname)s: %(message)s"))
    handler.addFilter(_on_one_line)
    return handler


def _on_one_line(record: logging.LogRecord) -> bool:
    from videolavit.commands._shared.command_words import told
    from videolavit.commands._shared.console import printable

    record.msg, record.args = printable(told(record.getMessage())), ()
    return True


def _say(message: str) -> None:
    from videolavit.commands._shared.console import printable

    print(f"videolavit: {printable(message)}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
