"""What a long run says while it runs: a live line on a terminal, plain lines elsewhere."""

import sys
import time

from .terminal import write


def duration(seconds):
    """3725 -> "1h 02m", 125 -> "2m 05s", 9.4 -> "9s"."""
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h {minutes:02d}m"
    return f"{minutes}m {seconds:02d}s" if minutes else f"{seconds}s"


class Progress:
    """Reports minibatches (on a terminal, a few times a second) and epochs (one lasting line each)."""

    def __init__(self, epochs, done_epochs=0, stream=None):
        self.epochs, self.stream = epochs, stream or sys.stdout
        self.live = self.stream.isatty()
        self.began, self.done_before = time.monotonic(), done_epochs
        self.shown = 0.0

    def tick(self, epoch, done, total, loss):
        """After each minibatch: rewrite the live line."""
        now = time.monotonic()
        if self.live and (now - self.shown > 0.2):
            self.shown = now
            fraction = epoch - 1 - self.done_before + done / total
            self._write(f"\repoch {epoch}/{self.epochs}  {done}/{total}  loss {loss:.4f}  {self._left(fraction)}",
                        end="\x1b[K")

    def epoch(self, record, best_epoch):
        """After each epoch: a line that stays."""
        fraction = record["epoch"] - self.done_before
        start = "\r\x1b[K" if self.live else ""
        star = "  best so far" if record["epoch"] == best_epoch else ""
        left = "  " + self._left(fraction) if record["epoch"] < self.epochs else ""
        line = (f"{start}epoch {record['epoch']}/{self.epochs}  loss {record['loss']:.4f}  validation error "
                f"{record['valid_error']:5.2f} %  {record['seconds']:.1f} s{left}{star}")
        self._write(line, end="\n")

    def testing(self, form, done, total):
        """Before each network that a form is the average of, and after the last: the live line; elsewhere, one line."""
        if self.live:
            self._write("\r" + f"testing with {form}: {done}/{total}" * (done < total), end="\x1b[K")
        elif done == 0:
            self._write(f"testing with {form}", end="\n")

    def _left(self, fraction):
        spent = time.monotonic() - self.began
        left = spent / fraction * (self.epochs - self.done_before - fraction)
        return f"{duration(left)} left"

    def _write(self, text, end):
        write(text + end, self.stream)
