"""IPython's shell where a cell runs that comes home: without a terminal, history and an end of its own."""

from __future__ import annotations

from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.interactiveshell import InteractiveShell

from . import imports, lines, streams

__builtins__ = imports.BUILTINS


class Results(DisplayHook):
    """Shows the value of an expression: where the program's home says, at home."""

    def write_output_prompt(self):
        """Begin to show it."""
        if not self.shell.is_shown_at_home:
            super().write_output_prompt()

    def write_format_data(self, format_dict, md_dict=None):
        """Show it."""
        if self.shell.is_shown_at_home:
            streams.flush_streams()  # what was printed before comes first
            lines.tell("result", format_dict, md_dict)
        else:
            super().write_format_data(format_dict, md_dict)


class Displays(DisplayPublisher):
    """Shows what is displayed: where the program's home says, at home."""

    def publish(self, data, metadata=None, *arguments, **options):
        """Show it."""
        if self.shell.is_shown_at_home:
            streams.flush_streams()  # what was printed before comes first
            known = {name: options.get(name) for name in ("transient", "update")}
            lines.tell("display", data, metadata, known)
        else:
            super().publish(data, metadata, *arguments, **options)

    def clear_output(self, wait=False):
        """Take back what the cell has shown."""
        if self.shell.is_shown_at_home:
            streams.flush_streams()  # what was printed before comes first
            lines.tell("clear", wait)
        else:
            super().clear_output(wait)


class GuestShell(InteractiveShell):
    """The shell.

    Attributes:
        is_shown_at_home: whether results are shown there, else on standard output.
    """

    display_pub_class = Displays
    displayhook_class = Results
    is_shown_at_home = False

    def init_history(self):
        """Have no database."""
        self.config.HistoryManager.enabled = False
        super().init_history()

    def enable_gui(self, gui=None):
        """No event loop of another kind is below."""
        if gui not in (None, "inline"):
            raise NotImplementedError("a cell that comes home has no event loop of %s" % gui)

    def showtraceback(self, *_arguments, **_options):
        """Show nothing: what a cell raises is raised at home."""

    showsyntaxerror = showtraceback
