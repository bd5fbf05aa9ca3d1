"""`mnist_exp.train` in a process that kills itself: python killed_at.py EVENT NAME WORD...

EVENT is an audit event of Python (os.rename: the temporary file is written, and about to be moved);
NAME ends the path.
"""

import os
import runpy
import signal
import sys

event, name, *words = sys.argv[1:]


def kill(happened, arguments):
    if happened == event and any(str(argument).endswith(name) for argument in arguments):
        os.kill(os.getpid(), signal.SIGKILL)


sys.addaudithook(kill)
sys.argv = ["mnist_exp.train", *words]
runpy.run_module("mnist_exp.train", run_name="__main__")
