"""What was sent and is not yet acknowledged; how its loss is noticed and mended."""

from testbed.stack.tcp.recovery.loss import LossRecovery
from testbed.stack.tcp.recovery.outcome import AckOutcome, Fired, Resend

__all__ = ["AckOutcome", "Fired", "LossRecovery", "Resend"]
