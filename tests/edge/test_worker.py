"""A worker that is made anew after another version was installed beside the running supervisor."""

import pickle
import subprocess
import sys

import tristar


def test_a_worker_that_cannot_read_another_versions_settings_says_what_to_do() -> None:
    """One line with both versions, and a failure, which the supervisor sees."""
    message = pickle.dumps("0.0.1") + b"\x80\x04cgone\nclass\n."
    made = subprocess.run(
        [sys.executable, "-m", "tristar.worker"], input=message, capture_output=True, timeout=60, check=False
    )
    told = made.stderr.decode()

    assert made.returncode == 1
    assert "restart it" in told
    assert "0.0.1" in told
    assert tristar.__version__ in told
    assert "Traceback" not in told


def test_what_one_version_cannot_read_of_its_own_is_a_defect() -> None:
    """It is not called an upgrade."""
    message = pickle.dumps(tristar.__version__) + pickle.dumps("nonsense")
    made = subprocess.run(
        [sys.executable, "-m", "tristar.worker"], input=message, capture_output=True, timeout=60, check=False
    )

    assert made.returncode != 0
    assert "restart it" not in made.stderr.decode()
    assert "Traceback" in made.stderr.decode()
