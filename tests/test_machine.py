import signal
import subprocess
import sys
import time

import psutil
import pytest

from runge.machine import compiling_pays


def test_compiling_pays_for_much_work():
    assert not compiling_pays(neurons=2**15, steps=80)
    assert compiling_pays(neurons=2**15, steps=8000)


@pytest.mark.skipif(sys.platform != "linux", reason="a service of Linux")
@pytest.mark.parametrize(("number", "ends"), [(int(signal.SIGTERM), True), (None, False)])
def test_a_process_ends_with_its_parent(number, ends):
    child = f"from runge.machine import end_with_parent; end_with_parent({int(signal.SIGTERM)}); "
    child += f"end_with_parent({number}); print(flush=True); import time; time.sleep(600)"
    parent = "import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', sys.argv[1]], stdout=-1); "
    parent += "child.stdout.readline(); print(child.pid)"
    pid = int(subprocess.run([sys.executable, "-c", parent, child], stdout=-1, check=True).stdout)
    try:
        deadline = time.monotonic() + (60 if ends else 0.5)
        while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            if time.monotonic() > deadline:
                assert not ends
                return
            time.sleep(0.01)
        assert ends
    finally:
        if psutil.pid_exists(pid):
            psutil.Process(pid).kill()
