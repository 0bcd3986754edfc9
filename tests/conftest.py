"""What all tests share."""

import signal

# Where the tests run in the background, an ignored SIGINT would be inherited by the programs that they interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
