"""foolbox is imported by many threads at once, as in a stage's first tasks."""

import subprocess
import sys

CODE = """
import sys, threading
sys.setswitchinterval(1e-6)
from arml.attacks.model import load_foolbox
failures = []

def use(submodule):
    try:
        load_foolbox()
        __import__(submodule)
    except Exception as error:
        failures.append(repr(error))

names = ["foolbox.attacks.ddn", "foolbox.criteria", "foolbox.attacks.fast_minimum_norm", "foolbox.models.pytorch"]
threads = [threading.Thread(target=use, args=(name,)) for name in names]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(failures)
"""


def test_threads_that_load_it_together_all_get_the_whole() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=300)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
