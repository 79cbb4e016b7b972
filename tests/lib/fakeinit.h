/* SPDX-License-Identifier: Apache-2.0 */
/* fakeinit.h - what the library talks to, without a guest.
 *
 * fakeinit_serve() speaks the server's side of exec.proto with made-up commands; fakevmm_use() makes the
 * test program itself stand in for conker-vmm (started again with its command line, it never reaches
 * main), with guest files and directories in a temporary place. Both keep to the contracts on purpose
 * as narrowly as possible; the commands named `bad-...` break them.
 *
 * Commands (argv):
 *	true | exit N | signal N	end at once
 *	echo WORDS	to stdout		both	"out" to stdout, "err" to stderr
 *	show		argv, env, cwd, user, name, tty as lines
 *	cat		stdin to stdout		deaf	takes no stdin, ends when killed
 *	flood N		N bytes to stdout	sleep	ends when killed
 *	missing		cannot be started: ENOENT in step "exec"
 *	panic | poweroff | crash | die | vanish		what the VMM does then (vanish: SIGKILL)
 *	idle		the box suspends itself
 *	lifetime	what the Resume said of it
 *	hangup		closes the connection
 *	bad-offset | bad-window | bad-order | bad-length | bad-bytes | bad-answer	break the protocol
 *	new-kind	a message of a later version, then exit 0
 * A view that feeds one with the name "clogged" has no window until a moment later.
 *
 * Words of the kernel command line (conker_box_opts.cmdline_append):
 *	fake=noready | fail | panic | vanish | stderr | stubborn | hello2 | nohello
 *	fake=snapfail | snapdie		a snapshot fails, or kills the VMM half-way
 *	fake=norestore | noresume	what is restored fails: the VMM, or the Resume
 *	fake=snapshort	a snapshot's memory is too short
 *	fake=sleepy	suspends itself when it is asked to shut down, unless it was resumed
 *	fake=mute	its first client is its last that gets an answer
 *	mkdir=PATH	makes that directory in the middle of a snapshot
 *	fake=drowsy	is just about to suspend itself when the first client looks; says nothing of starts until then
 *
 * A snapshot's state is "fake-state", the executions there were so far, and the words; its memory is sparse. What has been
 * restored is frozen until Resume; until then a Start waits.
 */
#ifndef TESTS_LIB_FAKEINIT_H
#define TESTS_LIB_FAKEINIT_H

enum fake_end {
	FAKE_NOTHING,
	FAKE_PANIC,
	FAKE_POWEROFF,
	FAKE_CRASH,
	FAKE_DIE,
	FAKE_VANISH,
	FAKE_SUSPEND
};

struct fake_server {
	int listener;
	int quit[2];       /* each -1, or: when it becomes readable or ends, the server returns */
	int hello_version; /* 0: sends no Hello */
	int ctl; /* -1, or the VMM's control socket: on_ctl() is called with each client of it, and
			    * returns whether the server is to end with FAKE_SUSPEND */
	int (*on_ctl)(void *user, int client, unsigned long long execs);
	void *user;
	int frozen, noresume, drowsy, mute, sleepy;
	unsigned long long execs; /* that there were before */
};

/* Serves until a command or quit ends it. */
enum fake_end fakeinit_serve(const struct fake_server *s);

/* Sets CONKER_VMM and the rest up for this process; its temporary directory, also $XDG_RUNTIME_DIR. */
const char *fakevmm_use(void);
/* Removes it. */
void fakevmm_clean(void);

#endif
