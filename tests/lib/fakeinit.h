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
 *	hangup		closes the connection
 *	bad-offset | bad-window | bad-order | bad-length | bad-bytes | bad-answer	break the protocol
 *	new-kind	a message of a later version, then exit 0
 *
 * Words of the kernel command line (conker_box_opts.cmdline_append):
 *	fake=noready | fail | panic | vanish | stderr | stubborn | hello2 | nohello
 */
#ifndef TESTS_LIB_FAKEINIT_H
#define TESTS_LIB_FAKEINIT_H

enum fake_end { FAKE_NOTHING, FAKE_PANIC, FAKE_POWEROFF, FAKE_CRASH, FAKE_DIE, FAKE_VANISH };

struct fake_server {
	int listener;
	int quit[2];       /* each -1, or: when it becomes readable or ends, the server returns */
	int hello_version; /* 0: sends no Hello */
};

/* Serves until a command or quit ends it. */
enum fake_end fakeinit_serve(const struct fake_server *s);

/* Sets CONKER_VMM and the rest up for this process; its temporary directory, also $XDG_RUNTIME_DIR. */
const char *fakevmm_use(void);
/* Removes it. */
void fakevmm_clean(void);

#endif
