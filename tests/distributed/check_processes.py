"""Programs in several processes, started as launchers start them.

Usage: check_processes.py TOOLCHAIN QUICKSTART ALONE variables|torchrun|open_mpi|mpich|srun|kill|error_file|port|symbols|gloo_headers

QUICKSTART is examples/quickstart.cpp, which knows nothing of processes; ALONE a program with SingleProcess; gloo_headers takes one program twice,
compiled with Gloo's headers and with stand-ins. Every process has a time limit, after
which what each has said is printed.
"""

import contextlib
import json
import os
import pathlib
import pwd
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


def stacks_of(process):
    """Where the threads of a process stand."""
    if process.poll() is not None:
        return f"it ended with {process.returncode}"
    if not shutil.which("gdb"):
        return "no debugger tells (apt: gdb)"
    done = subprocess.run(["gdb", "-batch", "-p", str(process.pid), "-ex", "thread apply all bt 12"], capture_output=True, text=True, timeout=60)
    return "\n".join(line for line in done.stdout.splitlines() if line.startswith(("Thread", "#")))


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
                if not late:  # all are looked at before the first one is ended
                    for rank, other in enumerate(self.processes):
                        print(f"--- where rank {rank} stands:\n{stacks_of(other)}")
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
    """What a run came to: no times, no rates, and no bars, which it draws on the terminal that Open MPI gives it."""
    lines = text.replace("\r", "\n").replace("\x1b[K", "").splitlines()
    text = "\n".join(line.rstrip() for line in lines if line.strip() and not re.search(r"\[[=> ]+\] +\d+%", line))
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


def variables(quickstart, _):
    expect(by_variables(quickstart, 2) == by_variables(quickstart, 2), "a second run ends elsewhere")


def as_by_variables(launcher, command, quickstart, environment=None):
    """Two processes of a launcher end where those of torchrun's variables do."""
    done = subprocess.run([*command, quickstart, "--epochs", "1"], env=clean_environment() | (environment or {}), capture_output=True, text=True, timeout=LIMIT,
                          stdin=subprocess.DEVNULL)
    results = [(done.returncode, done.stdout, done.stderr)]
    expect(done.returncode == 0, f"{launcher} failed", results)
    expect(without_times(done.stdout) == by_variables(quickstart, 2), f"{launcher}'s two processes end elsewhere", results)


def found(*names, apt):
    programs = [shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin") for name in names]
    if None in programs:
        print(f"SKIPPED: no {names[programs.index(None)]} here ({apt})")
        sys.exit(tool.SKIP)
    return programs


def torchrun(quickstart, _):
    program, = found("torchrun", apt="pip install torch")
    as_by_variables("torchrun", [program, "--no-python", "--nproc-per-node", "2", "--master-port", str(free_port())], quickstart)


def open_mpi(quickstart, _):
    program, = found("mpirun.openmpi", apt="apt: openmpi-bin")
    as_by_variables("Open MPI", [program, "-n", "2", "--oversubscribe"], quickstart,
                    {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMPI_MCA_rmaps_base_oversubscribe": "1"})


def mpich(quickstart, _):
    program, = found("mpirun.mpich", apt="apt: mpich")
    as_by_variables("MPICH", [program, "-n", "2"], quickstart)


@contextlib.contextmanager
def slurm():
    """A cluster of this machine alone, with a key, sockets and ports of its own: the variables that its programs need."""
    munged, controller, daemon, scontrol, sinfo, _ = found("munged", "slurmctld", "slurmd", "scontrol", "sinfo", "srun", apt="apt: slurmctld slurmd slurm-client munge")
    name, user = socket.gethostname().split(".")[0], pwd.getpwuid(os.getuid()).pw_name
    with tempfile.TemporaryDirectory() as folder:
        place = pathlib.Path(folder)
        place.chmod(0o755)  # munged wants its socket to be reached by all
        (place / "key").touch(0o600)
        (place / "key").write_bytes(os.urandom(1024))
        (place / "slurm.conf").write_text("\n".join([
            "ClusterName=tacit", f"SlurmctldHost={name}(127.0.0.1)", f"SlurmUser={user}", f"SlurmdUser={user}", f"AuthInfo=socket={place}/socket",
            f"SlurmctldPort={free_port()}", f"SlurmdPort={free_port()}", f"StateSaveLocation={place}/state", f"SlurmdSpoolDir={place}/spool",
            f"SlurmctldPidFile={place}/slurmctld.pid", f"SlurmdPidFile={place}/slurmd.pid",
            "ProctrackType=proctrack/pgid", "TaskPlugin=task/none", "MpiDefault=none", "SelectType=select/linear", "ReturnToService=2", "SlurmdParameters=config_overrides",
            f"NodeName={name} NodeAddr=127.0.0.1 CPUs=2", "PartitionName=all Nodes=ALL Default=YES State=UP", ""]))
        for sub in ("state", "spool"):
            (place / sub).mkdir()
        environment = {"SLURM_CONF": str(place / "slurm.conf")}
        log = (place / "log").open("w+")
        start = lambda command: subprocess.Popen(command, env=os.environ | environment, stdout=log, stderr=log, start_new_session=True)
        servers = [start([munged, "--foreground", "--force", f"--key-file={place}/key", f"--socket={place}/socket", f"--pid-file={place}/munged.pid",
                          f"--log-file={place}/munged.log", f"--seed-file={place}/seed"])]
        try:
            wait_for(lambda: (place / "socket").exists(), 20)
            servers += [start([controller, "-D"]), start([daemon, "-D", "-N", name])]
            idle = lambda: "idle" in subprocess.run([sinfo, "-h", "-o", "%T"], env=os.environ | environment, capture_output=True, text=True).stdout
            starts = lambda: subprocess.run(["srun", "-n", "2", "--overcommit", "true"], env=os.environ | environment, stdout=log, stderr=log, timeout=60).returncode == 0
            if not (wait_for(idle, 30) and starts()):
                log.seek(0)
                print("SKIPPED: Slurm does not work here:\n" + log.read()[-2000:])
                sys.exit(tool.SKIP)
            yield environment
        finally:
            subprocess.run([scontrol, "shutdown"], env=os.environ | environment, capture_output=True)
            for server in reversed(servers):
                server.terminate()
                try:
                    server.wait(10)
                except subprocess.TimeoutExpired:
                    server.kill()


def wait_for(condition, seconds):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def srun(quickstart, _):
    with slurm() as environment:
        as_by_variables("Slurm", ["srun", "-n", "2", "--overcommit"], quickstart, environment)


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
    nm, = found("nm", apt="apt: binutils")

    def of(program):
        text = subprocess.run([nm, "-C", program], capture_output=True, text=True, check=True).stdout
        return [line for line in text.splitlines() if "c10d::" in line or "gloo::" in line]

    symbols_of_alone = of(alone)
    expect(not symbols_of_alone, "a program with SingleProcess holds symbols of c10d:\n" + "\n".join(symbols_of_alone[:5]))
    expect(of(quickstart), "the quickstart holds none either: the test looks at nothing")


def gloo_headers(with_headers, with_stand_ins):
    """One program, compiled with Gloo's headers and with Tacit's stand-ins for them."""
    outputs = []
    for program in (with_headers, with_stand_ins):
        results = Ranks([program], 2).wait()
        expect(all(status == 0 for status, _, _ in results), f"{program} failed", results)
        outputs.append(without_times(results[0][1]))
    expect(outputs[0] == outputs[1], f"the two programs end elsewhere:\n{outputs[0]}\n{outputs[1]}")


def main():
    quickstart, alone, what = sys.argv[2:5]
    {check.__name__: check for check in (variables, torchrun, open_mpi, mpich, srun, kill, error_file, port, symbols, gloo_headers)}[what](quickstart, alone)


main()
