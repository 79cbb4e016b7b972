#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""instructions.py - what the guest's kernel executes: from its entry to PID 1, and for one execution.

    instructions.py [--runs N] [--against FILE] [--check]

Runs the shipped box (conker-vmm, kernel, init, base image) in the lab, whose QEMU counts by a plugin
(count.c) what lies between VMRUN and the exit: the guest, nothing of the lab. Time there is a count of
instructions too, and the guest's programs get the same addresses each time (norandmaps), so a run is as the one
before: N runs (2) are compared, and the largest difference is said. Each leaves build/bench/instructions-I.txt:
one line per call path and phase, which --against compares with an older such file and which is what
flame graph programs read, but for its first three columns (instructions, repetitions, calls).

Instructions are those of kernel mode. One with a repeat prefix (copying, clearing) counts once; how often
such repeated is a figure of its own. Not counted is what the clock alone decides: waiting in a loop (delay_tsc),
timer interrupts, the idle loop; it is said apart.

--check: prints lines for tests/run: the budgets below hold, and the runs are equal. A budget is raised
only with a reason: where the kernel is emulated, a million instructions are 0.3 to 0.5 s. What has passed once is in the
cache (tools/cache.sh), by a hash of every file that is run or counted with: the count would be the same again.
"""
import argparse, collections, glob, hashlib, os, statistics, subprocess, sys, tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.join(TOP, "build")
CACHE = os.path.join(TOP, "tools", "cache.sh")
# All that a count depends on.
INPUTS = """build/guest/vmlinux build/guest/System.map-up build/guest/initrd.cpio build/guest/base.erofs build/conker-vmm
            build/bench/instructions build/bench/count.so build/bench/guest/true build/bench/guest/spawn
            build/lab/kernel/* tools/lab/* tools/bench/instructions.py""".split()
# Above the count by less than the smallest patch of kernel-config/patches/ that has its gain here saves. An execution has
# a thousand more than it had: a new process has nothing of init's open when it follows the box's paths. Two
# runs of one build may differ by 150: a tick of the clock falls into it, or does not.
BUDGET_BOOT, BUDGET_REPEATS, BUDGET_EXEC, BUDGET_SPAWN = 4720000, 645000, 96100, 67500
DIFFERENCE_MAX = 0.002  # the guest's clock may be a tick ahead in one of the runs: an execution has been seen with 95352 and with 95499
BOOT, NOTHING, READY, EXEC, SPAWN = range(5)  # mark.h
RUNS = 8  # of each kind, as instructions.c has it; spawn's warm-up marks too
# What calls the steps of a boot: their sums are shown, not its own.
DIRECTORS = {"x86_64_start_kernel", "x86_64_start_reservations", "start_kernel", "setup_arch",
             "rest_init", "kernel_init", "kernel_init_freeable", "do_one_initcall", "kthread",
             "ret_from_fork_asm", "ret_from_fork", "worker_thread", "process_one_work"}


ENTRY = {"x64_sys_call", "syscall_exit_to_user_mode", "schedule", "__schedule"}


def is_wait(path):
    """What the clock decides, but for deferred work that is done on the occasion."""
    if path[-1] == "delay_tsc":
        return True
    if "rcu_process_callbacks" in path or "asm_common_interrupt" in path:
        return False
    return "asm_sysvec_apic_timer_interrupt" in path or "do_idle" in path


class Phase:
    """Counts of one phase: instructions, repetitions and calls by call path, a tuple of names."""

    def __init__(self, mark):
        self.mark, self.paths = mark, {}

    def total(self):
        """(instructions, repetitions) in kernel mode."""
        n = r = 0
        for path, (insns, repeats, _) in self.paths.items():
            if path[-1] != "user" and not is_wait(path):
                n, r = n + insns, r + repeats
        return n, r

    def waits(self):
        return sum(v[0] for path, v in self.paths.items() if is_wait(path))

    def user(self):
        return sum(v[0] for path, v in self.paths.items() if path[-1] == "user")

    def group(self, name_of):
        """Counters of instructions and calls by name_of(path); calls are those of the named one itself."""
        insns, calls = collections.Counter(), collections.Counter()
        for path, (n, _, c) in self.paths.items():
            name = name_of(path)
            if name and path[-1] != "user" and not is_wait(path):
                insns[name] += n
                calls[name] += c if path[-1] == name.split(": ")[-1] else 0
        return insns, calls


def parse(file):
    phases = []
    with open(file, encoding="ascii") as f:
        for line in f:
            if line.startswith("phase "):
                phases.append(Phase(int(line.split()[1])))
            else:
                n, r, c, path = line.rstrip("\n").split(" ", 3)
                phases[-1].paths[tuple(path.split(";"))] = (int(n), int(r), int(c))
    return phases


# --- a run ------------------------------------------------------------------------------------------

def run(out):
    guest = os.path.join(BUILD, "bench", "guest")
    lab = [f"{TOP}/tools/lab/lab", "--icount", "--timeout", "300", "--plugin",
           f"{BUILD}/bench/count.so,map={BUILD}/guest/System.map-up,out={out}",
           "--add", f"{BUILD}/bench/instructions:instructions"]
    for name in ("true", "spawn"):
        lab += ["--add", f"{guest}/{name}:guest/{name}"]
    env = ["env", "CONKER_VMM=/build/conker-vmm", "CONKER_GUEST=/build/guest", "XDG_RUNTIME_DIR=/tmp"]
    status = subprocess.run(lab + ["--"] + env + ["/instructions", "/guest"], check=False).returncode
    if status:
        sys.exit(f"instructions.py: the lab ended with status {status}")
    return parse(out)


# --- tables -----------------------------------------------------------------------------------------

def initcall(path):
    return path[path.index("do_one_initcall") + 1] if "do_one_initcall" in path[:-1] else None


def boot_step(path):
    """The first function on the path that is no director; initcalls have a table of their own."""
    if initcall(path):
        return None
    return next((f for f in path[1:] if f not in DIRECTORS), path[-1])


def deed(path):
    """Whose instruction it was, and for what: a system call, an exception, or a thread."""
    who, cause = path[0], next((f for f in path if f.startswith(("__x64_sys_", "asm_exc_", "asm_sysvec_"))), None)
    if "irq_entries_start" in path or "asm_common_interrupt" in path:
        cause = "device interrupt"
    elif not cause and "do_idle" in path:
        cause = "idle"
    elif not cause and who == "kernel":
        cause = next((f for f in path[1:] if f not in DIRECTORS), "threads")
    elif not cause: # a call whose entry the compiler took apart
        after = path[path.index("do_syscall_64") + 1:] if "do_syscall_64" in path else ()
        cause = next((f for f in after if f not in ENTRY), "entry and exit")
    return f"{who}: {cause}"


def table(title, group, n, per=1):
    insns, calls = group
    print(f"\n{title}")
    for name, count in insns.most_common(n):
        times = f"{calls[name] / per:7.1f}" if calls[name] else "       "
        print(f"  {count / per:10.0f} {times}  {name.replace('__x64_sys_', '')}")


def spread(phases):
    """The median of some phases of one kind, with the least and the most."""
    totals = sorted(p.total()[0] for p in phases)
    repeats = statistics.median_low(p.total()[1] for p in phases)
    return statistics.median_low(totals), f"{totals[0]} to {totals[-1]}, n = {len(totals)}", repeats


def merged(phases):
    all_ = Phase(phases[0].mark)
    for p in phases:
        for path, v in p.paths.items():
            all_.paths[path] = tuple(map(sum, zip(v, all_.paths.get(path, (0, 0, 0)))))
    return all_


class Result:
    def __init__(self, phases):
        by = collections.defaultdict(list)
        for p in phases:
            by[p.mark].append(p)
        if [len(by[m]) for m in (BOOT, READY, EXEC)] != [1, 1, 2 * RUNS] or len(by[SPAWN]) < RUNS:
            sys.exit("instructions.py: the plugin did not see every mark")
        self.boot, self.ready = by[BOOT][0], by[READY][0]
        self.exec, self.image_true, self.spawn = by[EXEC][:RUNS], by[EXEC][RUNS:], by[SPAWN][-RUNS:]

    def figures(self):
        return (*self.boot.total(), self.ready.total()[0], spread(self.exec)[0],
                spread(self.image_true)[0], spread(self.spawn)[0])

    def print(self):
        n, r = self.boot.total()
        print("guest kernel instructions, 128 MiB, one vCPU (counted in the lab, the guest alone):")
        print(f"  {n:10}  from the kernel's entry to PID 1's first instruction; {r} repetitions; "
              f"waiting, not counted: {self.boot.waits()}")
        n, r = self.ready.total()
        print(f"  {n:10}  from there until init takes commands; {r} repetitions; "
              f"{self.ready.user()} in user mode")
        for what, phases in (("an execution of a program of three instructions", self.exec),
                             ("vfork, exec, wait of the same inside the guest", self.spawn),
                             ("an execution of the base image's /bin/true", self.image_true)):
            n, others, r = spread(phases)
            waits = statistics.median_low(p.waits() for p in phases)
            print(f"  {n:10}  {what} ({others}); {r} repetitions; waiting: {waits}")
        print(f"  {spread(self.exec)[0] / spread(self.spawn)[0]:10.2f}  ratio of execution to vfork, exec, wait")

    def details(self):
        table("the 12 steps of the boot with most instructions, and their calls:",
              self.boot.group(boot_step), 12)
        table("the 12 initcalls with most:", self.boot.group(initcall), 12)
        table("the 12 functions with most of their own:", self.boot.group(lambda p: p[-1]), 12)
        for title, phases in (("one execution, by process and cause (calls; exec tells both of the program):", self.exec),
                              ("one vfork, exec, wait, the same way:", self.spawn)):
            table(title, merged(phases).group(deed), 20, len(phases))


def compare(old, new):
    """What became cheaper and dearer in the boot and in an execution, by function on the path."""
    for title, name_of, pick in (
            ("steps of the boot", boot_step, lambda r: r.boot), ("initcalls", initcall, lambda r: r.boot),
            ("functions of the boot, their own", lambda p: p[-1], lambda r: r.boot),
            (f"{RUNS} executions, by cause", deed, lambda r: merged(r.exec)),
            (f"functions of {RUNS} executions, their own", lambda p: p[-1], lambda r: merged(r.exec))):
        diff = pick(new).group(name_of)[0]
        diff.subtract(pick(old).group(name_of)[0])
        print(f"\nchanged, {title}: {sum(diff.values()):+}")
        for name, n in sorted(diff.items(), key=lambda i: -abs(i[1]))[:8]:
            if n:
                print(f"  {n:+10}  {name.replace('__x64_sys_', '')}")


def largest_difference(figures):
    return max((max(f) - min(f)) / max(f) for f in zip(*figures))


def key():
    """Of all inputs, with the emulator and the host's programs that the lab brings along."""
    sums = hashlib.sha256()
    for pattern in INPUTS + ["/bin/busybox", "/bin/sh", "/usr/bin/env"]:
        paths = sorted(glob.glob(os.path.join(TOP, pattern)))
        if not paths:
            sys.exit(f"instructions.py: {pattern} is missing")
        for path in paths:
            with open(path, "rb") as f:
                sums.update(hashlib.sha256(f.read()).digest())
    sums.update(subprocess.run(["qemu-system-x86_64", "--version"], capture_output=True, check=True).stdout)
    return sums.hexdigest()


def has_passed(inputs):
    """Prints the verdicts of a count of the same inputs, if there was one."""
    with tempfile.TemporaryDirectory() as tmp:
        if subprocess.run([CACHE, "take", "instructions", inputs, tmp], check=False).returncode:
            return False
        with open(f"{tmp}/verdicts", encoding="ascii") as f:
            print(f.read(), end="")
    return True


def passed(inputs, text):
    with tempfile.TemporaryDirectory() as tmp:
        with open(f"{tmp}/verdicts", "w", encoding="ascii") as f:
            f.write(text)
        subprocess.run([CACHE, "keep", "instructions", inputs, f"{tmp}/verdicts"], check=True)


def check(figures, inputs):
    """A line for each rule; the exit status."""
    boot, repeats, _, execution, _, spawn = map(max, zip(*figures))
    rules = (("instructions_to_pid_1_within_budget", boot <= BUDGET_BOOT, f"{boot} of {BUDGET_BOOT}"),
             ("repetitions_to_pid_1_within_budget", repeats <= BUDGET_REPEATS, f"{repeats} of {BUDGET_REPEATS}"),
             ("instructions_of_an_execution_within_budget", execution <= BUDGET_EXEC, f"{execution} of {BUDGET_EXEC}"),
             ("instructions_of_a_vfork_exec_wait_within_budget", spawn <= BUDGET_SPAWN, f"{spawn} of {BUDGET_SPAWN}"),
             ("instructions_are_the_same_in_each_run", largest_difference(figures) < DIFFERENCE_MAX, str(figures)))
    for name, holds, why in rules:
        print(f"ok kernel.{name}" if holds else f"not ok kernel.{name}\n    {why}")
    if not all(r[1] for r in rules):
        return 1
    passed(inputs, "".join(f"ok kernel.{name} (counted before)\n" for name, _, _ in rules))
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], prog="instructions.py")
    parser.add_argument("--runs", type=int, default=2, metavar="N", help="how often (2)")
    parser.add_argument("--against", metavar="FILE", help="compare with an instructions-1.txt of before")
    parser.add_argument("--check", action="store_true", help="fail above the budgets")
    args = parser.parse_args()
    inputs = key() if args.check else None
    if inputs and has_passed(inputs):
        return
    old = Result(parse(args.against)) if args.against else None
    results = [Result(run(f"{BUILD}/bench/instructions-{i + 1}.txt")) for i in range(args.runs)]
    figures = [r.figures() for r in results]
    if args.check and check(figures, inputs) == 0:
        return
    results[0].print()
    if args.runs > 1:
        print(f"  {args.runs} runs; the largest difference of a figure is {largest_difference(figures):.3%}")
    results[0].details()
    if old:
        compare(old, results[0])
    if args.check:
        sys.exit(1)


if __name__ == "__main__":
    main()
