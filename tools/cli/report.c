/* SPDX-License-Identifier: Apache-2.0 */
/* report.c - executions and boxes as text, as JSON and as exit statuses. */
#include "tools/cli/cli.h"

#include <errno.h>
#include <string.h>

/* ---- states -------------------------------------------------------------------------------------- */

const char *exec_state_name(enum conker_exec_state s)
{
	switch (s) {
	case CONKER_EXEC_RUNNING: return "running";
	case CONKER_EXEC_EXITED: return "exited";
	case CONKER_EXEC_SIGNALED: return "signaled";
	case CONKER_EXEC_TIMED_OUT: return "timed_out";
	case CONKER_EXEC_OOM_KILLED: return "oom_killed";
	case CONKER_EXEC_KILLED: return "killed";
	case CONKER_EXEC_STOPPED: return "stopped";
	case CONKER_EXEC_FAILED: return "failed";
	case CONKER_EXEC_BACKOFF: return "backoff";
	case CONKER_EXEC_LEFT: return "left";
	}
	return "unknown";
}

static const char *state_words(enum conker_exec_state s)
{
	switch (s) {
	case CONKER_EXEC_TIMED_OUT: return "timed out";
	case CONKER_EXEC_OOM_KILLED: return "out of memory";
	case CONKER_EXEC_FAILED: return "failed to start";
	case CONKER_EXEC_BACKOFF: return "restarting";
	case CONKER_EXEC_LEFT: return "left children";
	default: return exec_state_name(s);
	}
}

const char *exec_state_text(enum conker_exec_state s, const conker_status *st, char *buf,
			    size_t size)
{
	int with_code =
		s == CONKER_EXEC_EXITED || s == CONKER_EXEC_SIGNALED || s == CONKER_EXEC_KILLED;

	if (!with_code)
		return state_words(s);
	(void)snprintf(buf, size, "%s (%d)", state_words(s), st->signo ? st->signo : st->code);
	return buf;
}

/* ---- ends ---------------------------------------------------------------------------------------- */

int exit_status_of(const conker_status *st)
{
	return st->timed_out ? EXIT_TIMED_OUT : st->signo ? exit_by_signal(st->signo) : st->code;
}

/* The shell's and docker's distinction: there is no such command, or there is and it cannot be run. What
 * is no matter of the command is our failure. */
int exit_status_of_failure(const conker_failure *f)
{
	if (strcmp(f->step, "exec") == 0 && (f->error == ENOENT || f->error == ENOTDIR))
		return EXIT_NOT_FOUND;
	if (strcmp(f->step, "exec") == 0 || strcmp(f->step, "cwd") == 0 ||
	    strcmp(f->step, "user") == 0)
		return EXIT_CANNOT_EXEC;
	return EXIT_CONKER;
}

int report_failure(conker_box *b, const conker_failure *f)
{
	conker_box_info info = {.size = sizeof(info)};

	if (*f->step)
		fail("%s: %s", f->step, f->text);
	else if (conker_box_info_get(b, &info) == 0)
		fail("box '%s': %s", info.name, f->text);
	else
		fail("%s", f->text);
	return exit_status_of_failure(f);
}

void report_gap(const conker_gap *g, const char *end_of_line)
{
	fflush(stdout);
	fprintf(stderr, "conker: %llu bytes of %s are no longer kept%s",
		(unsigned long long)(g->to - g->from),
		g->stream == CONKER_STDERR ? "stderr" : "stdout", end_of_line);
}

/* ---- JSON ---------------------------------------------------------------------------------------- */

static void json_u64(const char *name, uint64_t v)
{
	printf(",\"%s\":%llu", name, (unsigned long long)v);
}

static void json_flag(const char *name, int v)
{
	printf(",\"%s\":%s", name, v ? "true" : "false");
}

void json_usage(const conker_usage *u)
{
	printf("{\"user_us\":%llu", (unsigned long long)u->user_us);
	json_u64("sys_us", u->sys_us);
	json_u64("memory_bytes", u->memory_bytes);
	json_u64("memory_peak_bytes", u->memory_peak_bytes);
	json_u64("pids", u->pids);
	json_u64("pids_peak", u->pids_peak);
	json_u64("oom_kills", u->oom_kills);
	json_u64("throttled_us", u->throttled_us);
	putchar('}');
}

/* code and signal are null where they mean nothing. */
void json_status(const conker_status *st)
{
	printf("{\"state\":\"%s\"", exec_state_name(st->state));
	if (st->signo)
		printf(",\"code\":null,\"signal\":%d", st->signo);
	else
		printf(",\"code\":%d,\"signal\":null", st->code);
	printf(",\"returncode\":%d", st->returncode);
	json_flag("timed_out", st->timed_out);
	json_u64("duration_us", st->duration_us);
	json_u64("user_us", st->user_us);
	json_u64("sys_us", st->sys_us);
	json_u64("max_rss_kib", st->max_rss_kib);
	json_u64("stdout_bytes", st->stdout_bytes);
	json_u64("stderr_bytes", st->stderr_bytes);
	json_u64("restarts", st->restarts);
	printf(",\"usage\":");
	json_usage(&st->usage);
	putchar('}');
}

static int has_status(enum conker_exec_state s)
{
	return s != CONKER_EXEC_RUNNING && s != CONKER_EXEC_STOPPED;
}

static void json_argv(const char *const *argv)
{
	printf(",\"argv\":[");
	for (size_t k = 0; argv && argv[k]; k++) {
		fputs(k ? "," : "", stdout);
		json_string(argv[k]);
	}
	putchar(']');
}

static void json_streams(const conker_exec_info *i)
{
	json_u64("stdout_bytes", i->stdout_bytes);
	json_u64("stderr_bytes", i->stderr_bytes);
	json_u64("stdout_from", i->stdout_from);
	json_u64("stderr_from", i->stderr_from);
}

void json_exec(const conker_exec_info *i, int with_usage)
{
	printf("{\"id\":%llu,\"name\":", (unsigned long long)i->id);
	json_string(i->name ? i->name : "");
	printf(",\"key\":");
	json_string(i->key ? i->key : "");
	printf(",\"state\":\"%s\",\"pid\":%d", exec_state_name(i->state), i->pid);
	json_u64("age_us", i->age_us);
	printf(",\"started_us\":%lld,\"ended_us\":", (long long)i->started_us);
	printf(i->ended_us ? "%lld" : "null", (long long)i->ended_us);
	json_argv(i->argv);
	json_flag("stdin_writable", i->stdin_writable);
	json_flag("detached", i->detached);
	json_flag("keep_alive", i->keep_alive);
	json_flag("tty", i->tty);
	json_u64("restarts", i->restarts);
	json_u64("views", i->views);
	json_streams(i);
	if (with_usage) {
		printf(",\"usage\":");
		json_usage(&i->usage);
	}
	printf(",\"status\":");
	if (has_status(i->state))
		json_status(&i->status);
	else
		printf("null");
	putchar('}');
}

/* ---- boxes --------------------------------------------------------------------------------------- */

void json_box(const conker_box_info *i)
{
	printf("{\"name\":");
	json_string(i->name);
	printf(",\"id\":\"%s\",\"state\":\"%s\",\"reason\":", i->id, state_name(i->state));
	json_string(i->reason);
	printf(",\"image\":");
	json_string(i->image);
	printf(",\"memory_mib\":%u,\"cpus\":%u,\"vmm_pid\":%d,\"created\":%lld,\"setup_us\":%llu,"
	       "\"boot_us\":%llu,\"unjailed\":",
	       i->memory_mib, i->cpus, i->vmm_pid, (long long)i->created_s,
	       (unsigned long long)i->setup_us, (unsigned long long)i->boot_us);
	json_string(i->unjailed);
	printf(",\"cgroup\":");
	json_string(i->cgroup);
	printf(",\"from\":");
	json_string(i->from);
	printf(",\"suspended\":%lld,\"suspended_bytes\":%llu,\"max_life_ms\":%d,"
	       "\"idle_timeout_ms\":%d,\"idle_suspend_ms\":%d}",
	       (long long)i->suspended_s, (unsigned long long)i->suspended_bytes, i->max_life_ms,
	       i->idle_timeout_ms, i->idle_suspend_ms);
}

/* ---- images -------------------------------------------------------------------------------------- */

static void json_list(const char *between, const char *name, const char *const *list)
{
	printf(",%s\"%s\":[", between, name);
	for (size_t i = 0; list[i]; i++) {
		if (i)
			putchar(',');
		json_string(list[i]);
	}
	putchar(']');
}

static void json_text(const char *between, const char *name, const char *s)
{
	printf(",%s\"%s\":", between, name);
	json_string(s);
}

static void json_image_config(const char *between, const conker_image *i)
{
	json_list(between, "entrypoint", i->entrypoint);
	json_list(between, "cmd", i->cmd);
	json_list(between, "env", i->env);
	json_text(between, "workdir", i->workdir);
	json_text(between, "user", i->user);
	json_text(between, "stop_signal", i->stop_signal);
	json_list(between, "ports", i->ports);
	json_list(between, "labels", i->labels);
	json_list(between, "ignored", i->ignored);
}

void json_image(const conker_image *i, int pretty)
{
	const char *between = pretty ? "\n " : "";

	printf("{\"name\":");
	json_string(i->name);
	json_text(between, "id", i->id);
	json_text(between, "digest", i->digest);
	json_text(between, "platform", i->platform);
	printf(",%s\"created\":%lld,%s\"bytes\":%llu,%s\"shared_bytes\":%llu,%s\"layers\":%u,"
	       "%s\"names\":%u,%s\"users\":%u",
	       between, (long long)i->created_s, between, (unsigned long long)i->bytes, between,
	       (unsigned long long)i->shared_bytes, between, i->layers, between, i->names, between,
	       i->users);
	json_image_config(between, i);
	putchar('}');
}

/* ---- text ---------------------------------------------------------------------------------------- */

void print_argv(const char *const *argv)
{
	for (size_t k = 0; argv && argv[k]; k++) {
		if (k)
			putchar(' ');
		print_clean(argv[k]);
	}
}
