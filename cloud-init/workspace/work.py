"""Signs of work that show only where there is a workspace, beside those of signals.py and under their names: compilers and package
managers, whatever else computes hard where the workspace's programs run, and the conversations of OpenHands' own agents."""
import common
import signals

BUILDERS = {"cargo", "rustc", "cc1", "cc1plus", "ld", "make", "ninja", "cmake", "go", "compile", "javac", "gradle", "mvn", "tsc",
            "webpack", "esbuild", "npm", "pnpm", "yarn", "pip", "uv", "bazel", "docker-buildx", "buildkitd", "apt-get", "dpkg"}
# Where the workspace's programs run besides containers: with OpenHands, whose agents are on the VM.
UI_PROCESSES = common.ROOT + "/sys/fs/cgroup/system.slice/mayfly-ui.service/cgroup.procs"
# Of one core. A build or a test in whatever language takes more; servers that wait, watchers that poll and UIs take less.
HARD_SHARE = 0.5


def build(sample):
    """A compiler or package manager at work, or anything that computes hard."""
    builders = [pid for pid, process in sample.processes.items() if process[1].partition(" ")[0] in BUILDERS]
    places = [pid for pid, process in sample.processes.items() if process[1].startswith("containerd-shim")]
    places += [int(pid) for pid in common.read(UI_PROCESSES).split() if int(pid) in sample.processes]
    # Both are asked: each keeps its counters for the next look.
    builds = signals.busy(sample, "build", signals.descendants(sample.processes, builders))
    computes = signals.busy(sample, "work", signals.descendants(sample.processes, places), HARD_SHARE)
    return 0 if builds or computes else None


def transcript(sample):
    """What OpenHands writes down of each step of a conversation."""
    return signals.newest(sample, f"{common.DEV_HOME}/.openhands", ["-path", "*conversations/*", "-name", "*.json"])


MORE = {"build": build, "transcript": transcript}
