"""What the libraries underneath deprecate reaches nobody: everything runs where each warning is an error."""

import subprocess
import sys

CODE = """
import threading
import numpy as np
import arml, arml.attacks

rng = np.random.default_rng(0)
X, y = rng.random((24, 30)), np.arange(24) % 2
X[:, 0] += y
failures = []

def attempt(run, *args, **options):
    try:
        run(*args, **options)
    except Exception as error:
        failures.append(repr(error))

calls = [(arml.NCA(max_iter=2).fit, (X, y)), (arml.LMNN(max_iter=5, engine="metric-learn").fit, (X[:, :4], y)),
         (arml.ITML(max_iter=2).fit, (X, y)), (arml.LFDA().fit, (X, y)), (arml.LFDA(n_components=2).fit, (X, y)),
         (arml.RobustPrototypes(n_prototypes=2, max_iter=2).fit, (X, y)),
         (arml.attacks.pointwise_attack, (X, y, X[:2], y[:2], None, 3)),
         (arml.attacks.hopskipjump_attack, (X, y, X[:2], y[:2], None, 3))]
threads = [threading.Thread(target=attempt, args=(run, *args)) for run, args in calls]
for thread in threads: thread.start()
for thread in threads: thread.join()
attempt(arml.boundary_attack, X, y, X[:2], y[:2], None, 3, steps=5)
print(failures)
"""


def test_no_library_s_warning_gets_out_of_any_thread() -> None:
    done = subprocess.run([sys.executable, "-W", "error", "-c", CODE], capture_output=True, text=True, timeout=300)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
