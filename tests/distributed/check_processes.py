"""Programs in several processes, started as launchers start them.

Usage: check_processes.py TOOLCHAIN QUICKSTART ALONE launchers|torchrun|kill|error_file|port|symbols

QUICKSTART is examples/quickstart.cpp, which knows nothing of processes; ALONE a program with SingleProcess. Every process has a time limit, after
which what each has said is printed.
"""

import json
import os
import pathlib
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import tool

LIMIT = 150  # seconds


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def clean_environment():
    names = ("RANK", "WORLD_SIZE", "LOCAL_", "MASTER_", "OMPI_", "PMI", "MV2_", "SLURM_", "TORCHELASTIC_")
    environment = {name: text for name, text in os.environ.items() if not name.startswith(names)}
    environment["OMP_NUM_THREADS"] = "1"
    return environment


class Ranks:
    """The processes of a job, as torchrun would set their variables."""

    def __init__(self, command, size, port=None, first=0):
        self.processes = []
        port = port or free_port()
        for rank in range(first, size):
            environment = clean_environment() | {
                "RANK": str(rank), "WORLD_SIZE": str(size), "LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": str(size),
                "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
            self.processes.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))

    def wait(self, limit=LIMIT):
        """Exit status, output and errors of each; ends all that are not done in time."""
        deadline = time.monotonic() + limit
        results = []
        late = False
        for process in self.processes:
            try:
                out, err = process.communicate(timeout=max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                late = True
                process.kill()
                out, err = process.communicate()
            results.append((process.returncode, out, err))
        if late:
            show(results)
            sys.exit(f"not done after {limit} s")
        return results


def show(results):
    for rank, (status, out, err) in enumerate(results):
        print(f"--- rank {rank}: status {status}\n{out}{err}")


def without_times(text):
    """What a run came to: no times, no rates."""
    text = re.sub(r"\s+[0-9.]+ ?(?:ms|s|min|h)\b", " TIME", text)
    return re.sub(r"\s+[0-9.]+[kM]? samples/s", " RATE", text)


def expect(good, what, results=()):
    if not good:
        show(results)
        sys.exit(f"wrong: {what}")


def by_variables(quickstart, size):
    results = Ranks([quickstart, "--epochs", "1"], size).wait()
    expect(all(status == 0 for status, _, _ in results), "a rank failed", results)
    expect(all(out == "" for _, out, _ in results[1:]), "other ranks than the main process print, too", results)
    expect(f"rank 0 of {size}" in results[0][1], "nobody says that there are several ranks", results)
    return without_times(results[0][1])


def launchers(quickstart, _):
    two = by_variables(quickstart, 2)
    expect(two == by_variables(quickstart, 2), "a second run ends elsewhere")
    mpirun = shutil.which("mpirun")
    if mpirun is None:
        print("no mpirun here (apt: openmpi-bin): that launcher is left out")
        return
    command = [mpirun, "-n", "2", "--oversubscribe", quickstart, "--epochs", "1"]
    environment = clean_environment() | {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMPI_MCA_rmaps_base_oversubscribe": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LIMIT, stdin=subprocess.DEVNULL)
    expect(done.returncode == 0, "mpirun failed", [(done.returncode, done.stdout, done.stderr)])
    last = [line for line in done.stdout.replace("\r", "\n").splitlines() if line.startswith("accuracy")]
    expect(last == [line for line in two.splitlines() if line.startswith("accuracy")], "mpirun's two processes end elsewhere", [(0, done.stdout, done.stderr)])
    print("two processes by variables, twice, and under mpirun: the same results")


def torchrun(quickstart, _):
    found = shutil.which("torchrun")
    if found is None:
        print("SKIPPED: no torchrun here (pip install torch)")
        sys.exit(tool.SKIP)
    command = [found, "--no-python", "--nproc-per-node", "2", "--master-port", str(free_port()), quickstart, "--epochs", "1"]
    done = subprocess.run(command, env=clean_environment(), capture_output=True, text=True, timeout=LIMIT, stdin=subprocess.DEVNULL)
    expect(done.returncode == 0, "torchrun failed", [(done.returncode, done.stdout, done.stderr)])
    expect(without_times(done.stdout) == by_variables(quickstart, 2), "torchrun's two processes end elsewhere", [(0, done.stdout, done.stderr)])


def kill(quickstart, _):
    ranks = Ranks([quickstart, "--epochs", "1000"], 2)
    select.select([ranks.processes[0].stdout], [], [], 60)  # the main process says that it trains
    time.sleep(2)
    expect(all(process.poll() is None for process in ranks.processes), "a rank ended before it was killed")
    began = time.monotonic()
    ranks.processes[1].send_signal(signal.SIGKILL)
    results = ranks.wait(60)
    took = time.monotonic() - began
    expect(results[0][0] == 1, "the other rank did not end with status 1", results)
    expect("TACIT-RX20" in results[0][2] and "rank 0 of 2 failed while" in results[0][2], "the other rank does not say what happened", results)
    expect(took < 40, f"the other rank ended after {took:.0f} s", results)
    print(f"the other rank ended {took:.1f} s after one was killed: {results[0][2].strip()}")


def error_file(quickstart, _):
    """torchrun reads the root cause from a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "error.json"
        done = subprocess.run([quickstart, "--data", 'no "such" folder\n'], env=clean_environment() | {"TORCHELASTIC_ERROR_FILE": str(path)}, capture_output=True, text=True,
                              timeout=LIMIT)
        results = [(done.returncode, done.stdout, done.stderr)]
        expect(done.returncode == 1 and path.exists(), "no error file", results)
        said = json.loads(path.read_text())["message"]
        expect(said["message"] == done.stderr[:-1], "the file says something else than the program", results)
        expect(abs(int(said["extraInfo"]["timestamp"]) - time.time()) < 60, "the time is wrong", results)


def port(quickstart, _):
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        ranks = Ranks([quickstart, "--epochs", "1"], 1, taken.getsockname()[1])
        # A world of one needs no port; rank 0 of two alone tells at once that it cannot have it.
        results = ranks.wait()
        expect(results[0][0] == 0, "a world of one process wants a port", results)
        two = Ranks([quickstart, "--epochs", "1"], 2, taken.getsockname()[1])
        two.processes[1].kill()
        results = two.wait()
        expect(results[0][0] == 1 and "TACIT-RX18" in results[0][2], "a port that is taken is not named", results)
        expect(f"127.0.0.1:{taken.getsockname()[1]}" in results[0][2] and "RANK=0 WORLD_SIZE=2" in results[0][2], "the message lacks address or variables", results)
        expect(results[0][2].count("\n") == 1, "the diagnosis is longer than a line", results)


def symbols(quickstart, alone):
    nm = shutil.which("nm")
    if nm is None:
        print("SKIPPED: no nm here (apt: binutils)")
        sys.exit(tool.SKIP)

    def of(program):
        text = subprocess.run([nm, "-C", program], capture_output=True, text=True, check=True).stdout
        return [line for line in text.splitlines() if "c10d::" in line or "gloo::" in line]

    found = of(alone)
    expect(not found, "a program with SingleProcess holds symbols of c10d:\n" + "\n".join(found[:5]))
    expect(of(quickstart), "the quickstart holds none either: the test looks at nothing")


def main():
    quickstart, alone, what = sys.argv[2:5]
    {"launchers": launchers, "torchrun": torchrun, "kill": kill, "error_file": error_file, "port": port, "symbols": symbols}[what](quickstart, alone)


main()
